// Every public call on fixed data: prints what each gives, or compares it with what another build of this
// file printed.
//
//   every_call write <file>      writes "value tolerance name" lines
//   every_call exactly <file>    compares with the file, to the bit
//   every_call roughly <file>    the same, within the tolerances
//
// Data and tolerances are such that a build is right if its values are within them, whatever its instruction
// set. The first lines are exact by construction: 0.4, 0.25, and the map of issue 12's first case.
#include <layerwise/layerwise.hpp>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#ifdef EVERY_CALL_FORKS
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace {

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

struct line {
  std::string name;
  double value, tolerance;
};
std::vector<line> lines;

void put(const std::string& name, double value, double tolerance = 0) { lines.push_back({name, value, tolerance}); }

int faults = 0;

void require(bool holds, const std::string& what) {
  if (holds) return;
  ++faults;
  std::printf("not so: %s\n", what.c_str());
}

/// A few elements of a matrix or vector.
template <class M>
void put_all(const std::string& name, const M& m, double tolerance) {
  for (layerwise::index k = 0; k < m.size(); k += m.size() / 7 + 1)
    put(name + ' ' + std::to_string(k), m(k / m.cols(), k % m.cols()), tolerance);
}

void put(const std::string& name, const layerwise::linearity_result& r) {
  put(name + " score", r.score, r.error_bound + 1e-15);
  put(name + " adjusted_score", r.adjusted_score, 4 * r.error_bound + 1e-14);
  put(name + " rank", static_cast<double>(r.rank));
  put(name + " condition", r.condition, 0.05 * r.condition);  // an estimate
  require(r.error_bound <= 1e-8, name + " to 1e-8");
}

/// The same numbers everywhere: Eigen's Random() is the C library's.
std::uint64_t state = 1;
double next_random() {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return static_cast<double>(state >> 11) * 0x1p-52 - 1;
}
row_major random_states(layerwise::index rows, layerwise::index cols) {
  row_major m(rows, cols);
  for (layerwise::index i = 0; i < rows; ++i)
    for (layerwise::index j = 0; j < cols; ++j) m(i, j) = static_cast<float>(next_random());
  return m;
}

/// h + f(h weight), f(x) = x / (1 + |x|), in arithmetic that no macro and no C library has a say in.
row_major next_states(const row_major& h, const row_major& weight) {
  row_major next = h;
  for (layerwise::index i = 0; i < h.rows(); ++i)
    for (layerwise::index j = 0; j < h.cols(); ++j) {
      double sum = 0;
      for (layerwise::index k = 0; k < h.cols(); ++k) sum += double(h(i, k)) * double(weight(k, j));
      next(i, j) += static_cast<float>(sum / (1 + std::abs(sum)));
    }
  return next;
}

/// Of five orthogonal columns of +-1: 1 - 48/80 of the variance with the residual, 1 - 48/64 without.
void orthogonal_columns() {
  Eigen::Matrix<float, 8, 3, Eigen::RowMajor> x, y;
  for (int i = 0; i < 8; ++i) {
    const float h1 = i & 1 ? -1 : 1, h2 = i & 2 ? -1 : 1, h3 = i & 4 ? -1 : 1, h4 = h1 * h2, h5 = h1 * h3;
    x.row(i) << h1, h1 + h2, h1 + h2 + h3;
    y.row(i) << h1 + h4, h1 + h2 + h4, h3 + 2 * h5;
  }
  const double right[3][3] = {{1, 0, 0}, {0, 1, -1}, {0, 0, 1}};
  const layerwise::linear_map map = layerwise::fit_linear_map(x, y);
  double wrong = std::abs(layerwise::linearity(x, y).score - 0.4) +
                 std::abs(layerwise::residual_linearity(x, y).score - 0.25) +
                 std::abs(layerwise::linearity(x, y).adjusted_score + 0.05);
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 3; ++c) wrong += std::abs(map.weight(r, c) - right[r][c]);
  require(wrong < 1e-14, "orthogonal columns score 0.4 and 0.25");
}

void every_call(layerwise::index tokens, layerwise::index dims) {
  const std::string size = std::to_string(tokens) + " x " + std::to_string(dims) + ' ';
  std::vector<row_major> states = {random_states(tokens, dims)};
  const row_major weight = 0.3f * random_states(dims, dims);
  for (int layer = 1; layer <= 3; ++layer) states.push_back(next_states(states.back(), weight));
  const row_major &x = states[0], &y = states[1];
  const Eigen::MatrixXd column_major = y.cast<double>();

  put(size + "linearity", layerwise::linearity(x, y));
  put(size + "column-major", layerwise::linearity(x, column_major));
  put(size + "expression", layerwise::linearity(2 * x, y - x));
  put(size + "bfloat16", layerwise::linearity(row_major(x).cast<Eigen::bfloat16>().eval(), y));
  put(size + "orthogonal", layerwise::linearity(x, y, {.method = layerwise::solver::orthogonal}));
  put(size + "residual", layerwise::residual_linearity(x, y, {.centering = layerwise::centering::none}));
  row_major dependent = x;
  dependent.col(1) = dependent.col(0) * 2;
  put(size + "dependent", layerwise::linearity(dependent, y));

  layerwise::cross_moments moments, half;
  moments.add(x.topRows(tokens / 3), y.topRows(tokens / 3));
  half.add(x.bottomRows(tokens - tokens / 3), y.bottomRows(tokens - tokens / 3));
  moments.merge(half);
  put(size + "merged score", layerwise::linearity_score(moments), 1e-8);
  put(size + "merged residual score", layerwise::residual_linearity_score(moments), 1e-8);

  const layerwise::linear_map map = layerwise::fit_linear_map(x, y);
  put_all(size + "weight", map.weight, 1e-9);
  put_all(size + "bias", map.bias, 1e-9);
  put_all(size + "mapped", map(x), 1e-9);
  put_all(size + "normalized", layerwise::procrustes_normalize(x), 1e-15);
  put_all(size + "update", Eigen::MatrixXd(layerwise::residual_update(x, column_major)), 1e-15);

  put_all(size + "cosine", layerwise::cosine_similarity(x, y), 1e-14);
  put_all(size + "angle", layerwise::angular_distance(x, y), 1e-14);
  put_all(size + "displacement", layerwise::displacement(x, y), 1e-14);
  put_all(size + "scaled", layerwise::displacement(x, 3 * x), 1e-28);
  put_all(size + "contribution", layerwise::contribution_ratio(x, y), 1e-14);
  put(size + "contribution of all", layerwise::contribution_ratio_frobenius(x, y), 1e-14);

  layerwise::cross_moments both(layerwise::second_moments::both);
  both.add(x, y.leftCols(dims - 3));
  put(size + "cka", layerwise::linear_cka(both), 1e-12);
  put(size + "debiased cka", layerwise::debiased_linear_cka(both), 1e-11);
  put(size + "rsa", layerwise::representational_similarity(both), 1e-11);
#ifndef EVERY_CALL_WITHOUT_SVD  // which takes half of the time to compile
  put(size + "procrustes", layerwise::procrustes(both).similarity, 1e-11);
  put(size + "cca", layerwise::mean_cca(both), 1e-9);
  put(size + "svcca", layerwise::svcca(both), 1e-9);
  put(size + "condition number", layerwise::condition_number(x), 1e-9);
#endif
  put(size + "fast weight", layerwise::fast_weight_score(both), 1e-11);
  put_all(size + "fast weights", layerwise::fast_weight_map(x, y.leftCols(dims - 3).eval()), 1e-11);
  put_all(size + "delta rule", layerwise::delta_rule_map(x, y, 0.01), 1e-9);
  put(size + "neighbours", layerwise::mutual_knn(x, y), 1e-14);
  const layerwise::spectrum_result spectrum = layerwise::spectrum(x);
  put_all(size + "eigenvalues", spectrum.eigenvalues, 1e-12);
  put(size + "ranks", spectrum.effective_rank + spectrum.participation_ratio + spectrum.anisotropy, 1e-9);
  put(size + "pairs", layerwise::mean_pairwise_cosine(x), 1e-14);
  put_all(size + "cosines", layerwise::pairwise_cosines(x, {.sample = 20}).cosines, 1e-14);
  put(size + "squared cosines", layerwise::mean_squared_cosine(x), 1e-13);
  put(size + "dimension", layerwise::intrinsic_dimension(x).dimension, 1e-10);
  put(size + "curvature", layerwise::curvature(x, tokens / 3), 1e-12);
  put(size + "norms", layerwise::norm_distribution(x).mean, 1e-12);
  put(size + "median", layerwise::massive_activations(x).median, 0);
  put(size + "normalized rows", layerwise::linearity(layerwise::rms_normalized(x), layerwise::unit_normalized(y)));
  put_all(size + "angles", layerwise::angular_distance_matrix(states), 1e-14);
  put(size + "path", layerwise::path_efficiency(states), 1e-13);
  put_all(size + "alignments", layerwise::cka_matrix(states).scores, 1e-12);
  put_all(size + "debiased alignments", layerwise::debiased_cka_matrix(states).scores, 1e-11);
  put(size + "growth", layerwise::norm_growth(states)[3].mean_square, 1e-13);
  put(size + "collapse", layerwise::rank_collapse(x).residual, 1e-12);
  put(size + "ridge", layerwise::ridge_linearity(both, 0.1).score, 1e-11);
  put(size + "predictivity", layerwise::linear_predictivity(both).backward);

  layerwise::layer_profiler profiler, other;
  profiler.add(states, layerwise::token_mask::skip_first(tokens, tokens / 3));
  other.add(states);
  profiler.merge(other);
  const layerwise::layer_profile profiles[] = {layerwise::profile(states), profiler.profile()};
  for (const layerwise::layer_profile& profile : profiles)
    for (const layerwise::layer_metrics& layer : profile.layers) {
      put(size + "profile", *layer.linearity);
      put(size + "profile residual", *layer.residual_linearity);
      put(size + "profile angle", layer.angular_distance + layer.cosine_similarity + layer.displacement, 1e-14);
      put(size + "profile contribution", layer.contribution_ratio + layer.contribution_ratio_frobenius, 1e-14);
      put(size + "profile jump", layer.jump_rate.value_or(-1), 1e-11);
      put(size + "profile outlier", *layer.outlier_share + 1000 * static_cast<double>(*layer.outlier_dimension), 1e-12);
    }

  const auto regularize = [&](const std::string& name, const auto& regularizer) {
    std::vector<Eigen::MatrixXd> gradients(states.size(), Eigen::MatrixXd::Zero(tokens, dims));
    put(size + name, regularizer.value(states), 1e-13);
    put(size + name, regularizer.value_and_gradient(states, gradients), 1e-13);
    for (const Eigen::MatrixXd& gradient : gradients) put_all(size + name, gradient, 1e-13);
  };
  regularize("mse", layerwise::mse_regularizer{.lambda = 0.5});
  regularize("cosine", layerwise::cosine_regularizer{.lambda = 0.5});
  regularize("jreg", layerwise::jreg_regularizer{.lambda = 0.5, .alpha = 2.0});

  Eigen::MatrixXd gradient_x = Eigen::MatrixXd::Zero(tokens, dims), gradient_y = gradient_x;
  put(size + "gradient", layerwise::linearity_and_gradient(x, y, gradient_x, gradient_y));
  put(size + "gradient", layerwise::residual_linearity_and_gradient(x, y, gradient_x, gradient_y));
  put_all(size + "gradient x", gradient_x, 1e-11);
  put_all(size + "gradient y", gradient_y, 1e-11);
}

/// NaN and infinity are found, and where.
void bad_input() {
  row_major x = random_states(64, 4), y = random_states(64, 4);
  for (const double bad : {std::strtod("nan", nullptr), std::strtod("inf", nullptr)}) {
    x(3, 1) = static_cast<float>(bad);
    const std::vector<row_major> states = {x, y};
    int call = 0;
    const auto found = [&](const auto& body) {
      bool right = false;
      try {
        body();
      } catch (const layerwise::non_finite_error& e) {
        right = std::strstr(e.what(), "row 3, column 1") != nullptr;
      }
      require(right, "call " + std::to_string(++call) + " finds bad input");
    };
    found([&] { layerwise::linearity(x, y); });
    found([&] { layerwise::linearity(y, x); });
    found([&] { layerwise::residual_linearity(x, y); });
    found([&] { layerwise::profile(states); });
    found([&] { layerwise::displacement(x, y); });
    found([&] { layerwise::contribution_ratio(x, y); });
    found([&] { layerwise::procrustes_normalize(x); });
    found([&] { layerwise::mse_regularizer{.lambda = 1}.value(states); });
    found([&] { layerwise::cosine_regularizer{.lambda = 1}.value(states); });
    found([&] { layerwise::jreg_regularizer{.lambda = 1, .alpha = 1}.value(states); });
  }
}

void all() {
  lines.clear();
  state = 1;
  orthogonal_columns();
  every_call(600, 40);
  every_call(150, 70);
  bad_input();
}

int compare(const std::vector<line>& expected, bool exactly) {
  int differ = lines.size() != expected.size();
  for (std::size_t k = 0; k < lines.size() && k < expected.size(); ++k) {
    const double difference = std::abs(lines[k].value - expected[k].value);
    const double allowed = exactly ? 0 : lines[k].tolerance + expected[k].tolerance;
    if (lines[k].name == expected[k].name && difference <= allowed) continue;
    if (++differ > 10) continue;
    std::printf("%s: %.17g, expected %.17g, off by %.2g, allowed %.2g\n", lines[k].name.c_str(), lines[k].value,
                expected[k].value, difference, allowed);
  }
  std::printf("%d of %zu values differ\n", differ, lines.size());
  return differ;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 1;
  const std::string how = argv[1];
  all();
  if (faults > 0) return 1;

#ifdef EVERY_CALL_FORKS
  // A child, and its own child, compute the same bits, and in time.
  const std::vector<line> parents = lines;
  for (int generation = 0; generation < 2; ++generation) {
    const pid_t child = fork();
    if (child != 0) {
      int status = -1;
      waitpid(child, &status, 0);
      if (WIFSIGNALED(status)) std::printf("the forked child hangs, or ends by signal %d\n", WTERMSIG(status));
      return status == 0 ? 0 : 1;
    }
    alarm(60);
    const int threads = omp_get_max_threads();
    all();
    if (faults > 0 || compare(parents, true) != 0 || omp_get_max_threads() != threads) return 1;
  }
#endif

  if (how == "write") {
    std::FILE* out = std::fopen(argv[2], "w");
    if (out == nullptr) return 1;
    for (const line& l : lines) std::fprintf(out, "%a %a %s\n", l.value, l.tolerance, l.name.c_str());
    return std::fclose(out);
  }
  std::vector<line> expected;
  std::ifstream file(argv[2]);
  for (std::string value, tolerance, name; file >> value >> tolerance && std::getline(file >> std::ws, name);)
    expected.push_back({name, std::strtod(value.c_str(), nullptr), std::strtod(tolerance.c_str(), nullptr)});
  return compare(expected, how == "exactly") == 0 ? 0 : 1;
}
