// Every metric against tests/reference/metrics.py, which evaluates the definitions exactly or with 60 digits: to 1e-12,
// absolutely up to 1 and relative to the value above, or to the error bound that comes with it.
#include "reference/metrics_data.hpp"

#include "support.hpp"

#include <layerwise/data/normalized.hpp>
#include <layerwise/metrics.hpp>
#include <layerwise/statistics/stack_moments.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

namespace {

using layerwise::centering;
using layerwise::epsilon_position;
using layerwise::index;
using namespace layerwise_test;

/// The integers of metrics.py.
struct sequence {
  std::uint64_t state;

  double next() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<double>(state >> 54) - 512.0;
  }
  row_major matrix(index rows, index cols, double divisor = 1.0) {
    row_major m(rows, cols);
    for (index i = 0; i < rows; ++i)
      for (index j = 0; j < cols; ++j) m(i, j) = std::floor(next() / divisor);
    return m;
  }
};

struct reference_case {
  std::string name;
  index n, d_x, d_y;
  int fall;
  double outlier, offset, closeness;
};

/// All integers below 2^53, and so exact.
void make_case(std::uint64_t number, const reference_case& c, row_major& x, row_major& y) {
  sequence random{number + 1};
  x = random.matrix(c.n, c.d_x);
  for (index j = 0; j < c.d_x; ++j) x.col(j) *= std::ldexp(1.0, c.fall * static_cast<int>(c.d_x - 1 - j));
  x = x * random.matrix(c.d_x, c.d_x, 128.0);
  const row_major noise = random.matrix(c.n, c.d_y);
  if (c.closeness > 0.0) {
    x *= c.closeness;
    y = x + noise;
  } else {
    y = x * random.matrix(c.d_x, c.d_y, 128.0);
    y += 8.0 * noise;
  }
  for (row_major* m : {&x, &y}) {
    m->col(1) *= c.outlier;
    for (index j = 0; j < m->cols(); ++j) m->col(j).array() += random.next() * c.offset;
  }
}

std::vector<row_major> make_stack() {
  sequence random{100};
  std::vector<row_major> states{random.matrix(24, 5)};
  for (int l = 1; l <= 4; ++l) {
    const row_major update = states.back() * random.matrix(5, 5, 256.0);
    states.push_back(4.0 * states.back() + update + 2.0 * random.matrix(24, 5));
  }
  return states;
}

/// Compares one value after the other; each of the file's is to be asked for.
class reference_checks {
 public:
  ~reference_checks() { CHECK(used_.size() == std::size(metrics_data)); }

  /// A value without a bound of its own.
  void check(const std::string& name, double got) { compare(name, got, 1e-12 * std::max(1.0, std::abs(find(name)))); }
  /// One within its bound, which is to be small; a unit of rounding is of the reference.
  void check(const std::string& name, double got, double bound, double largest_bound = 1e-9) {
    compare(name, got, bound + 0x1p-53 * std::abs(find(name)));
    CAPTURE(name);
    CHECK(bound < largest_bound * std::max(1.0, std::abs(find(name))));
  }

 private:
  static double find(const std::string& name) {
    const auto* found = std::find_if(std::begin(metrics_data), std::end(metrics_data),
                                     [&](const reference_value& one) { return name == one.name; });
    CAPTURE(name);
    REQUIRE(found != std::end(metrics_data));
    return found->value;
  }
  void compare(const std::string& name, double got, double allowed) {
    CAPTURE(name);
    CAPTURE(got);
    CAPTURE(allowed);
    CHECK(std::abs(got - find(name)) <= allowed);
    if (std::find(used_.begin(), used_.end(), name) == used_.end()) used_.push_back(name);
  }

  std::vector<std::string> used_;
};

/// One number of all entries and their places.
template <class M>
double fingerprint(const M& m) {
  double sum = 0.0;
  for (index i = 0; i < m.rows(); ++i)
    for (index j = 0; j < m.cols(); ++j) sum += static_cast<double>((i * 7 + j * 3) % 5 - 2) * m(i, j);
  return sum;
}

template <class Rows>
row_major read(const Rows& rows) {
  row_major out(rows.rows(), rows.cols());
  for (index i = 0; i < out.rows(); ++i) rows.read_row(i, &out(i, 0));
  return out;
}

void check_spectrum(reference_checks& of, const std::string& name, const row_major& x, centering center) {
  const auto s = layerwise::spectrum(x, {.centering = center});
  of.check(name + "eigenvalue", s.eigenvalues[0], s.error_bound);
  of.check(name + "anisotropy", s.anisotropy, s.anisotropy_error);
  of.check(name + "stable rank", s.stable_rank, s.stable_rank_error);
  of.check(name + "participation ratio", s.participation_ratio, s.participation_ratio_error);
  of.check(name + "effective rank", s.effective_rank, s.effective_rank_error, 1e-4);
  of.check(name + "entropy 1", s.matrix_entropy, s.matrix_entropy_error);
  of.check(name + "entropy 2", layerwise::matrix_entropy(x, 2.0, {center}));
  of.check(name + "entropy 0.5", layerwise::matrix_entropy(x, 0.5, {center}), 1e-11);  // roots of small eigenvalues
  of.check(name + "condition", s.condition, s.condition_error, 1e-3);
}

void check_layer(reference_checks& of, const std::string& name, const row_major& x) {
  check_spectrum(of, name + "centred ", x, centering::columns);
  check_spectrum(of, name + "about 0 ", x, centering::none);
  const auto collapse = layerwise::rank_collapse(x);
  of.check(name + "rank collapse", collapse.residual, collapse.error_bound);
  const auto cosine = layerwise::pairwise_cosine_contributions(x);
  of.check(name + "mean cosine", cosine.mean, cosine.error_bound);
  of.check(name + "share of dimension 1", cosine.contributions[1], cosine.error_bound);
  const auto norms = layerwise::norm_distribution(x);
  of.check(name + "mean norm", norms.mean);
  of.check(name + "deviation of norms", norms.standard_deviation);
  of.check(name + "median norm", norms.median);
  const auto activations = layerwise::massive_activations(x);
  of.check(name + "peak", activations.peak, 0.0);
  of.check(name + "median", activations.median, 0.0);
  of.check(name + "TwoNN", layerwise::intrinsic_dimension(x).dimension);
  of.check(name + "TwoNN likelihood",
           layerwise::intrinsic_dimension(x, {.fit = layerwise::twonn_fit::maximum_likelihood}).dimension);
  of.check(name + "curvature", layerwise::curvature(x, 10));
  of.check(name + "rms inside", fingerprint(read(layerwise::rms_normalized(x))));
  of.check(name + "rms outside", fingerprint(read(layerwise::rms_normalized(x, 0.5, epsilon_position::outside_root))));
  of.check(name + "layer norm", fingerprint(read(layerwise::layer_normalized(x))));
  of.check(name + "unit", fingerprint(read(layerwise::unit_normalized(x))));
}

void check_kernels(reference_checks& of, const std::string& name, const layerwise::cross_moments& moments) {
  const auto biased = layerwise::cka(moments), debiased = layerwise::debiased_cka(moments);
  of.check(name + "cka", biased.score, biased.error_bound);
  of.check(name + "debiased cka", debiased.score, debiased.error_bound);
  const auto rsa = layerwise::rsa(moments);
  of.check(name + "rsa", rsa.score, rsa.error_bound);
}

void check_pair(reference_checks& of, const std::string& name, const row_major& x, const row_major& y) {
  layerwise::cross_moments moments(layerwise::second_moments::both), backward(layerwise::second_moments::both);
  moments.add(x, y);
  backward.add(y, x);
  check_kernels(of, name, moments);
  const auto shape = layerwise::procrustes(moments);
  of.check(name + "procrustes", shape.similarity, shape.error_bound);
  of.check(name + "procrustes distance", shape.distance, shape.distance_error_bound, 1e-6);
  of.check(name + "procrustes angle", shape.angle, shape.angle_error_bound, 1e-6);
  of.check(name + "size and shape", shape.size_and_shape_distance, shape.size_and_shape_error_bound, 1e-4);
  const auto cca = layerwise::cca(moments);
  of.check(name + "mean cca", cca.mean, cca.error_bound, 1e-6);
  of.check(name + "mean squared cca", cca.mean_square, 2.0 * cca.error_bound, 1e-6);
  const auto svcca = layerwise::singular_vector_cca(moments);
  of.check(name + "svcca", svcca.mean, svcca.error_bound, 1e-6);
  const auto weighted = layerwise::projection_weighted_cca(moments);
  const auto weighted_backward = layerwise::projection_weighted_cca(backward);
  of.check(name + "pwcca", weighted.score, weighted.error_bound, 1e-3);
  of.check(name + "pwcca backward", weighted_backward.score, weighted_backward.error_bound, 1e-3);
  for (const auto& both : {layerwise::linear_predictivity(x, y), layerwise::linear_predictivity(moments)}) {
    of.check(name + "linearity", both.forward.score, both.forward.error_bound);
    of.check(name + "linearity backward", both.backward.score, both.backward.error_bound, 1e-6);
  }
  const auto ridge = layerwise::ridge_linearity(moments, 0.125);
  of.check(name + "ridge", ridge.score, ridge.error_bound);
  of.check(name + "mutual knn", layerwise::mutual_knn(x, y, 5));
  const auto fast = layerwise::fast_weight(moments);
  of.check(name + "fast weight", fast.score, fast.error_bound);
  const double beta = std::ldexp(0.5, -std::ilogb(x.rowwise().squaredNorm().maxCoeff()));
  of.check(name + "delta rule", layerwise::delta_rule_map(x, y, beta).norm());
  if (x.cols() != y.cols()) return;
  const auto residual = layerwise::residual_linearity(x, y);
  of.check(name + "residual linearity", residual.score, residual.error_bound);
  of.check(name + "block influence", layerwise::block_influence(x, y));
  of.check(name + "contribution", layerwise::contribution_ratio(x, y).mean());
  const auto h = layerwise::unit_normalized(x), target = layerwise::unit_normalized(y);
  of.check(name + "hypersphere step", fingerprint(layerwise::hypersphere_step(h, target, 0.2)));
  of.check(name + "slerp", fingerprint(layerwise::slerp(h, target, 0.2)));
}

void check_stack(reference_checks& of, const std::vector<row_major>& states) {
  const Eigen::MatrixXd angles = layerwise::angular_distance_matrix(states);
  of.check("stack angle 0 1", angles(0, 1));
  of.check("stack angle 0 4", angles(0, 4));
  of.check("stack angle 2 3", angles(2, 3));
  const auto block = layerwise::best_block(angles, 2);
  of.check("stack best block", static_cast<double>(block.start), 0.0);
  of.check("stack best block distance", block.distance);
  std::vector<double> psi;
  for (std::size_t l = 1; l < states.size(); ++l)
    psi.push_back(layerwise::displacement(states[l - 1], states[l]).mean());
  of.check("stack collapse index", layerwise::collapse_indices(psi).back());
  of.check("stack jump rate", layerwise::jump_rate(psi));
  of.check("stack total jump rate", layerwise::jump_rate(psi, 2));
  of.check("stack path efficiency", layerwise::path_efficiency(states));
  const auto growth = layerwise::norm_growth(states);
  of.check("stack growth 0", growth[0].mean_square);
  of.check("stack growth 4", growth[4].mean_square);
  layerwise::stack_moments to_last(layerwise::layer_pairs::to_last()), all(layerwise::layer_pairs::all());
  to_last.add(states);
  all.add(states);
  for (const index l : {0, 2}) {
    const auto result = layerwise::linearity(to_last.pair(l, 4));
    of.check("stack to last " + std::to_string(l), result.score, result.error_bound);
  }
  check_kernels(of, "stack 0 4 ", all.pair(0, 4));
  check_kernels(of, "stack 1 2 ", all.pair(1, 2));
  const auto biased = layerwise::cka_matrix(all), debiased = layerwise::debiased_cka_matrix(all);
  of.check("stack 0 4 cka", biased.scores(0, 4), biased.error_bound);
  of.check("stack 1 2 debiased cka", debiased.scores(2, 1), debiased.error_bound);
}

TEST_CASE("every metric is its definition, evaluated exactly or with 60 digits") {
  const reference_case cases[] = {{"plain ", 40, 6, 5, 0, 1.0, 0.0, 0.0},
                                  {"offset ", 60, 7, 7, 1, 64.0, 0x1p14, 0.0},
                                  {"few ", 13, 6, 5, 0, 8.0, 4.0, 0.0},
                                  {"close ", 50, 6, 6, 0, 1.0, 2.0, 4096.0}};
  reference_checks of;
  for (std::size_t number = 0; number < std::size(cases); ++number) {
    row_major x, y;
    make_case(number, cases[number], x, y);
    check_layer(of, cases[number].name, x);
    check_pair(of, cases[number].name, x, y);
  }
  check_stack(of, make_stack());
}

}  // namespace
