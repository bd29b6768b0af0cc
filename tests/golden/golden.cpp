// The bits of every result on fixed data: a line each, its hash and its name.
//
//   golden print                  prints them, under the name of this build's configuration
//   golden <file>                 compares them with what the file has for this configuration; exit 77 if nothing
//
// bits.txt has those of -ffp-contract=off: which products and sums a compiler fuses changes with what it inlines.
// A change of arithmetic changes bits: what that is worth is to be said where the file is changed. What is computed
// through the C library's exp or atan2, whose last bits are its own, is printed with "libm" and not compared.
#include <layerwise/layerwise.hpp>

#include <array>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace {

using layerwise::index;
template <class T>
using rows_of = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using columns_of = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::ColMajor>;

#define GOLDEN_TEXT(name) #name
#define GOLDEN_NAME(name) GOLDEN_TEXT(name)

/// What bits depend on: instructions, Eigen, BLAS, and whether the compiler fuses what is written apart.
std::string configuration() {
  const auto is = [](bool holds, const char* name) { return holds ? std::string(" ") + name : ""; };
  std::string text = GOLDEN_NAME(LAYERWISE_ABI_ARCH);
#ifdef __FMA__
  text += " fma";
#endif
#ifdef EIGEN_USE_BLAS
  text += " blas";
#endif
#ifdef __clang__
  text += " clang";
#elif defined(__GNUC__)
  text += " gcc";
#endif
  return text + is(EIGEN_WORLD_VERSION == 3, "eigen3") + is(EIGEN_WORLD_VERSION != 3, "eigen5");
}

/// FNV-1a over the bits of doubles, in order. -0 counts as it is.
struct hash {
  std::uint64_t value = 0xcbf29ce484222325u;

  void add(double number) {
    auto bits = std::bit_cast<std::uint64_t>(number);
    for (int byte = 0; byte < 8; ++byte, bits >>= 8) value = (value ^ (bits & 0xffu)) * 0x100000001b3u;
  }
  template <class M>
  void add_all(const M& m) {
    for (index i = 0; i < m.rows(); ++i)
      for (index j = 0; j < m.cols(); ++j) add(static_cast<double>(m(i, j)));
  }
};

struct line {
  std::string name;
  std::uint64_t bits;
};
std::vector<line> lines;

void put(const std::string& name, double value) {
  hash of;
  of.add(value);
  lines.push_back({name, of.value});
}
template <class M>
requires requires(const M& m) { m.rows(); }
void put(const std::string& name, const M& m) {
  hash of;
  of.add_all(m);
  lines.push_back({name, of.value});
}
void put(const std::string& name, const std::optional<double>& value) { put(name, value.value_or(-7.0)); }

void put(const std::string& name, const layerwise::linearity_result& r) {
  hash of;
  layerwise::visit_values(&r,
                          [&](const std::string&, const auto* value, auto) { of.add(static_cast<double>(*value)); });
  lines.push_back({name, of.value});
}
void put(const std::string& name, const std::optional<layerwise::linearity_result>& r) {
  put(name, r.value_or(layerwise::linearity_result{}));
}

void put(const std::string& name, const layerwise::layer_profile& p) {
  int l = 0;
  for (const layerwise::layer_metrics& m : p.layers) {
    const std::string layer = name + " layer " + std::to_string(++l) + ' ';
    put(layer + "linearity", m.linearity);
    put(layer + "residual linearity", m.residual_linearity);
    put(layer + "displacement", m.displacement);
    put(layer + "angular distance (libm)", m.angular_distance);
    put(layer + "cosine", m.cosine_similarity);
    put(layer + "contribution", m.contribution_ratio);
    put(layer + "contribution frobenius", m.contribution_ratio_frobenius);
    put(layer + "jump rate", m.jump_rate);
    put(layer + "outlier share", m.outlier_share);
    put(layer + "outlier dimension", static_cast<double>(m.outlier_dimension.value_or(-1)));
  }
}

void put(const std::string& name, const layerwise::linear_map& map) {
  put(name + " weight", map.weight);
  put(name + " bias", map.bias);
}

std::uint64_t state = 1;
double next_random() {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return static_cast<double>(state >> 11) * 0x1p-52 - 1;
}
rows_of<double> random_rows(index rows, index cols) {
  rows_of<double> m(rows, cols);
  for (index i = 0; i < rows; ++i)
    for (index j = 0; j < cols; ++j) m(i, j) = next_random() + next_random();
  return m;
}

/// h_0 ... h_L with offsets, an outlying dimension, and layers that change little or much.
std::vector<rows_of<double>> stack(index tokens, index dims, int layers, double step = 0.2) {
  std::vector<rows_of<double>> states{random_rows(tokens, dims)};
  states[0].col(dims / 2) *= 40.0;
  states[0].col(0).array() += 25.0;
  for (int l = 1; l <= layers; ++l) {
    const rows_of<double> weight = random_rows(dims, dims) * (step / static_cast<double>(dims));
    rows_of<double> next = states.back();
    for (index i = 0; i < tokens; ++i)
      for (index j = 0; j < dims; ++j) {
        double sum = 0;
        for (index k = 0; k < dims; ++k) {
          const volatile double product = states.back()(i, k) * weight(k, j);  // not fused: the same data everywhere
          sum += product;
        }
        next(i, j) += sum + 0.3 * next_random();
      }
    states.push_back(next);
  }
  return states;
}

template <class T, template <class> class Storage>
std::vector<Storage<T>> stored(const std::vector<rows_of<double>>& states) {
  std::vector<Storage<T>> out;
  for (const auto& h : states) out.push_back(h.template cast<T>());
  return out;
}

void scalar_types_and_layouts() {
  const auto states = stack(700, 40, 3);
  const auto all = [&](const std::string& name, const auto& of) {
    put(name + " profile", layerwise::profile(of));
    put(name + " pair", layerwise::linearity(of[0], of[1]));
    put(name + " residual", layerwise::residual_linearity(of[1], of[2]));
    put(name + " map", layerwise::fit_linear_map(of[0], of[1]));
    put(name + " mapped", layerwise::fit_linear_map(of[0], of[1])(of[2]));
    put(name + " displacements", layerwise::displacement(of[0], of[1]));
    put(name + " angles (libm)", layerwise::angular_distance(of[0], of[1]));
    put(name + " cosines", layerwise::cosine_similarity(of[0], of[1]));
    put(name + " contributions", layerwise::contribution_ratio(of[0], of[1]));
    put(name + " contribution", layerwise::contribution_ratio_frobenius(of[0], of[1]));
    put(name + " normalized", layerwise::procrustes_normalize(of[0]));
    put(name + " update", layerwise::residual_update(of[0], of[1]));
  };
  all("double", states);
  all("float", stored<float, rows_of>(states));
  all("float by columns", stored<float, columns_of>(states));
  all("double by columns", stored<double, columns_of>(states));
  all("half", stored<Eigen::half, rows_of>(states));
  all("bfloat16", stored<Eigen::bfloat16, rows_of>(states));
  all("bfloat16 by columns", stored<Eigen::bfloat16, columns_of>(states));

  std::vector<float> interleaved(static_cast<std::size_t>(700 * 4 * 40));
  for (index i = 0; i < 700; ++i)
    for (index l = 0; l < 4; ++l)
      for (index j = 0; j < 40; ++j)
        interleaved[static_cast<std::size_t>((i * 4 + l) * 40 + j)] =
            static_cast<float>(states[static_cast<std::size_t>(l)](i, j));
  all("token major", layerwise::hidden_states_view<const float>::token_major(interleaved.data(), 700, 4, 40));
  all("run time", layerwise::make_layers(layerwise::scalar_type::float32, static_cast<const void*>(interleaved.data()),
                                         {700, 4, 40}, {160, 40, 1}, 1));
  put("expression", layerwise::linearity(2.0 * states[0], states[1] - states[0]));
  put("mixed", layerwise::linearity(states[0].cast<float>().eval(), columns_of<double>(states[1])));
}

void batches_and_merges() {
  auto states = stack(1700, 36, 3);
  const auto rows = [&](index first, index count) {
    std::vector<rows_of<double>> part;
    for (const auto& h : states) part.push_back(h.middleRows(first, count));
    return part;
  };
  layerwise::layer_profiler whole, parts, masked;
  whole.add(states);
  for (index first = 0; first < 1700; first += 170) parts.add(rows(first, 170));
  masked.add(states, layerwise::token_mask::skip_first(1700, 100, 3));
  put("streamed", whole.profile());
  put("streamed in parts", parts.profile());
  put("streamed masked", masked.profile());
  layerwise::layer_profiler left, right, last;
  left.add(rows(0, 640));
  right.add(rows(640, 300));
  last.add(rows(940, 760));
  layerwise::layer_profiler merged = left;
  merged.merge(right);
  merged.merge(last);
  put("merged", merged.profile());
  layerwise::layer_profiler other = last;
  other.merge(left);
  other.merge(right);
  other.merge(right);
  put("merged otherwise", other.profile());
  layerwise::layer_profiler itself = left;
  itself.merge(itself);
  put("merged with itself", itself.profile());

  // Pairs: of different widths, of targets that differ, of scales apart.
  const auto pair = [&](const auto& x, const auto& y) {
    layerwise::cross_moments m;
    m.add(x, y);
    return m;
  };
  const rows_of<double> x = states[0], y = states[1], narrow = states[2].leftCols(11);
  const auto all = [&](const std::string& name, const layerwise::cross_moments& m) {
    for (const layerwise::centering center : {layerwise::centering::columns, layerwise::centering::none}) {
      const std::string full = name + (center == layerwise::centering::none ? " uncentred" : "");
      put(full, layerwise::linearity(m, {.centering = center}));
      put(full + " revealing",
          layerwise::linearity(m, {.centering = center, .method = layerwise::solver::rank_revealing}));
      put(full + " map", layerwise::fit_linear_map(m, {.centering = center}));
      if (m.x_dimensions() == m.y_dimensions())
        put(full + " residual", layerwise::residual_linearity(m, {.centering = center}));
    }
  };
  all("moments", pair(x, y));
  all("moments to narrow", pair(x, narrow));
  all("moments from narrow", pair(narrow, x));
  layerwise::cross_moments apart = pair(x.topRows(900), (-y).topRows(900));
  apart.merge(pair(x.bottomRows(800), y.bottomRows(800)));
  all("targets that differ", apart);
  layerwise::cross_moments scales = pair(x.topRows(900) * 0x1p500, y.topRows(900) * 0x1p500);
  scales.merge(pair(x.bottomRows(800) * 0x1p480, y.bottomRows(800) * 0x1p490));
  all("huge", scales);
  layerwise::cross_moments tiny = pair(x.topRows(600) * 0x1p-800, y.topRows(600) * 0x1p-790);
  tiny.add(x.bottomRows(1100) * 0x1p-801, y.bottomRows(1100) * 0x1p-795);
  all("tiny", tiny);
}

void hard_data() {
  const auto states = stack(900, 30, 2);
  rows_of<double> dependent = states[0], nearly = states[0], repeated(900, 30);
  dependent.col(3) = dependent.col(4) + 2.0 * dependent.col(5);
  for (index i = 0; i < 900; ++i) nearly(i, 3) = nearly(i, 4) + 1e-7 * nearly(i, 5);
  for (index i = 0; i < 900; ++i) repeated.row(i) = states[0].row(i % 17);
  rows_of<double> close = states[0];
  for (index i = 0; i < 900; ++i)
    for (index j = 0; j < 30; ++j) close(i, j) += 1e-9 * states[1](i, (j + 1) % 30);
  const std::vector<std::pair<std::string, rows_of<double>>> inputs = {
      {"dependent", dependent}, {"nearly", nearly}, {"repeated", repeated}, {"few", states[0].topRows(20)}};
  for (const auto& [name, x] : inputs) {
    const rows_of<double> y = states[1].topRows(x.rows()), after = x + 0.5 * y;
    for (const layerwise::solver method :
         {layerwise::solver::automatic, layerwise::solver::orthogonal, layerwise::solver::rank_revealing}) {
      const std::string full = name + " by " + std::to_string(static_cast<int>(method));
      put(full, layerwise::linearity(x, y, {.method = method}));
      put(full + " residual", layerwise::residual_linearity(x, after, {.method = method}));
      put(full + " map", layerwise::fit_linear_map(x, y, {.method = method}));
    }
    put(name + " uncentred", layerwise::linearity(x, y, {.centering = layerwise::centering::none}));
    put(name + " sharp", layerwise::linearity(x, y, {.tolerance = 0.0}));
    put(name + " profile", layerwise::profile(std::vector{x, after, rows_of<double>(after + y)}));
  }
  put("close", layerwise::residual_linearity(states[0], close));
  put("close with", layerwise::linearity(states[0], close));
  put("close profile", layerwise::profile(std::vector{states[0], close, states[1]}));
  put("huge profile", layerwise::profile(std::vector<rows_of<double>>{states[0] * 0x1p600, states[1] * 0x1p600}));
  put("huge contributions", layerwise::contribution_ratio(states[0] * 0x1p600, states[1] * 0x1p600));
  put("narrow angles", layerwise::displacement(states[0], close));
}

void gradients() {
  const auto states = stack(600, 24, 3);
  const auto of_score = [&](const std::string& name, const auto& x, const auto& y,
                            const layerwise::linearity_options& options) {
    rows_of<double> gx = rows_of<double>::Zero(x.rows(), x.cols()), gy = rows_of<double>::Zero(y.rows(), y.cols());
    put(name, layerwise::linearity_and_gradient(x, y, gx, gy, -0.7, options));
    put(name + " x", gx);
    put(name + " y", gy);
    gx.setZero(), gy.setZero();
    if (x.cols() != y.cols()) return;
    put(name + " residual", layerwise::residual_linearity_and_gradient(x, y, gx, gy, 1.3, options));
    put(name + " residual x", gx);
    put(name + " residual y", gy);
  };
  rows_of<double> close = states[0];
  for (index i = 0; i < 600; ++i)
    for (index j = 0; j < 24; ++j) close(i, j) += 1e-9 * states[1](i, (j + 1) % 24);
  rows_of<double> nearly = states[0];
  for (index i = 0; i < 600; ++i) nearly(i, 3) = nearly(i, 4) + 1e-6 * nearly(i, 5);
  of_score("gradient", states[0], states[1], {});
  of_score("gradient uncentred", states[0], states[1], {.centering = layerwise::centering::none});
  of_score("gradient orthogonal", states[0], states[1], {.method = layerwise::solver::orthogonal});
  of_score("gradient narrow", states[0], rows_of<double>(states[1].leftCols(7)), {});
  of_score("gradient close", states[0], close, {});
  of_score("gradient nearly", nearly, states[1], {});
  of_score("gradient huge", rows_of<double>(states[0] * 0x1p500), rows_of<double>(states[1] * 0x1p500), {});
  of_score("gradient float", states[0].cast<float>().eval(), states[1].cast<float>().eval(), {});

  const auto regularize = [&](const std::string& name, const auto& regularizer, const auto& of, auto gradients) {
    for (auto& g : gradients) g.setZero();
    put(name + " value", regularizer.value(of));
    const auto mask = layerwise::token_mask::skip_first(of[0].rows(), 50, 2);
    put(name + " masked", regularizer.value_and_gradient(of, gradients, mask));
    hash bits;
    for (const auto& g : gradients) bits.add_all(g);
    lines.push_back({name + " gradients", bits.value});
  };
  const auto all = [&](const std::string& name, const auto& of) {
    regularize(name + " mse", layerwise::mse_regularizer{.lambda = 0.5}, of, of);
    regularize(name + " mse range",
               layerwise::mse_regularizer{.lambda = 0.5,
                                          .reduction = layerwise::reduction::sum,
                                          .layers = {.first = 2},
                                          .stop_gradient = layerwise::stop_gradient::before},
               of, of);
    regularize(name + " cosine", layerwise::cosine_regularizer{.lambda = 2.0}, of, of);
    regularize(name + " cosine after",
               layerwise::cosine_regularizer{.lambda = 2.0, .stop_gradient = layerwise::stop_gradient::after}, of, of);
    regularize(name + " jreg (libm)", layerwise::jreg_regularizer{.lambda = 0.5, .alpha = 1.5}, of, of);
    regularize(name + " jreg even", layerwise::jreg_regularizer{.lambda = 0.5, .alpha = 0.0}, of, of);
  };
  all("double", states);
  all("float", stored<float, rows_of>(states));
  all("half", stored<Eigen::half, rows_of>(states));
  all("bfloat16 by columns", stored<Eigen::bfloat16, columns_of>(states));
  std::vector<rows_of<double>> huge;
  for (const auto& h : states) huge.push_back(h * 0x1p505);
  all("huge", huge);
  std::vector<rows_of<double>> turning{states[0], close, states[0]};
  all("narrow", turning);
  put("schedule", layerwise::linear_schedule{.from = 0.1, .to = 0.7, .begin = 3, .end = 19}(11));
  const std::vector<double> rates = layerwise::jump_rates({0.1, 0.05, 0.2, 0.15, 0.4});
  put("jump rates", Eigen::Map<const Eigen::VectorXd>(rates.data(), static_cast<index>(rates.size())));
}

/// As many columns as make several tiles and panels, and more rows than a block.
void large() {
  const auto states = stored<float, rows_of>(stack(1100, 203, 2));
  put("large", layerwise::profile(states));
  put("large uncentred", layerwise::linearity(states[0], states[2], {.centering = layerwise::centering::none}));
  put("large orthogonal", layerwise::linearity(states[0], states[1], {.method = layerwise::solver::orthogonal}));
  layerwise::layer_profiler first, second;
  first.add(states);
  second.add(states, layerwise::token_mask::skip_first(1100, 10));
  first.merge(second);
  put("large merged", first.profile());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 1;
  scalar_types_and_layouts();
  batches_and_merges();
  hard_data();
  gradients();
  large();

  if (std::strcmp(argv[1], "print") == 0) {
    std::printf("[%s]\n", configuration().c_str());
    for (const line& l : lines) std::printf("%016llx %s\n", static_cast<unsigned long long>(l.bits), l.name.c_str());
    return 0;
  }
  std::map<std::string, std::string> expected;
  std::ifstream file(argv[1]);
  bool here = false;
  for (std::string text; std::getline(file, text);) {
    if (text.starts_with('['))
      here = text == '[' + configuration() + ']';
    else if (here && text.size() > 17)
      expected[text.substr(17)] = text.substr(0, 16);
  }
  if (expected.empty()) {
    std::printf("no golden bits of [%s]\n", configuration().c_str());
    return 77;
  }
  std::size_t differ = expected.size() != lines.size();
  for (const line& l : lines) {
    std::array<char, 17> bits{};
    std::snprintf(bits.data(), bits.size(), "%016llx", static_cast<unsigned long long>(l.bits));
    if (l.name.find("libm") != std::string::npos || expected[l.name] == bits.data()) continue;
    if (++differ <= 20) std::printf("%s: %s, expected %s\n", l.name.c_str(), bits.data(), expected[l.name].c_str());
  }
  std::printf("[%s]: %zu of %zu differ\n", configuration().c_str(), differ, lines.size());
  return differ == 0 ? 0 : 1;
}
