#include <layerwise/metrics/svcca.hpp>

#include "exact_regression.hpp"
#include "exact_svd.hpp"
#include "hard_data.hpp"
#include "laws/pair_metric_laws.hpp"
#include "support.hpp"

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace {

using layerwise::cca;
using layerwise::cca_result;
using layerwise::centering;
using layerwise::cross_moments;
using layerwise::degenerate_input_error;
using layerwise::index;
using layerwise::option_error;
using layerwise::second_moments;
using layerwise::singular_vector_cca;
using layerwise::svcca;
using namespace layerwise_test;

/// The left singular vectors of the centred rows that have the share, in long double: columns turned until they are
/// orthogonal, the longest of them.
long_matrix exact_components(const row_major& data, double share) {
  long_matrix x = exact_values(data);
  center_exactly(x);
  orthogonalize_columns(x);
  std::vector<index> order;
  for (index j = 0; j < x.cols(); ++j) order.push_back(j);
  std::sort(order.begin(), order.end(), [&](index a, index b) { return x.col(a).norm() > x.col(b).norm(); });
  const long double total = x.squaredNorm();
  long_matrix out(x.rows(), x.cols());
  long double sum = 0;
  index kept = 0;
  while (kept < x.cols() && sum < static_cast<long double>(share) * total * (1 - 1e-15L)) {
    const auto column = x.col(order[static_cast<std::size_t>(kept)]);
    sum += column.squaredNorm();
    out.col(kept++) = column / column.norm();
  }
  return out.leftCols(kept);
}

void check_within_bound(const cca_result& result, const row_major& x, const row_major& y, double share) {
  const long_matrix of_x = exact_components(x, share), of_y = exact_components(y, share);
  REQUIRE(result.x_rank == of_x.cols());
  REQUIRE(result.y_rank == of_y.cols());
  const std::vector<long double> exact = exact_singular_values(of_x.transpose() * of_y);
  REQUIRE(static_cast<std::size_t>(result.correlations.size()) == exact.size());
  long double mean = 0;
  for (std::size_t k = 0; k < exact.size(); ++k) {
    CHECK(std::abs(static_cast<double>(result.correlations[static_cast<index>(k)] - exact[k])) <= result.error_bound);
    mean += exact[k] / static_cast<long double>(exact.size());
  }
  CHECK(std::abs(static_cast<double>(result.mean - mean)) <= result.error_bound);
}

struct of_most {
  auto operator()(const auto& x, const auto& y, const layerwise::token_mask& mask = {}) const {
    return singular_vector_cca(x, y, 0.9, mask);
  }
  auto operator()(const cross_moments& moments) const { return singular_vector_cca(moments, 0.9); }
};

TEST_CASE("SVCCA: what changes it and what does not") {
  check_pair_metric(of_most(), {.rotation_x = true, .rotation_y = true, .scale = true, .shift = true},
                    [] { return cross_moments(second_moments::both); });
}

TEST_CASE("five tokens of two dimensions: both components are CCA, one is the correlation of the first ones") {
  const auto [x, y] = worked_pair();
  CHECK(svcca(x, y) == near(0.9925240183745345));
  CHECK(svcca(x, y, 1.0) == near(0.9925240183745345));
  // The first components have 7.6396 of 11.2 and 27.6... of 29.2.
  const cca_result one = singular_vector_cca(x, y, 0.6);
  CHECK(one.x_rank == 1);
  CHECK(one.y_rank == 1);
  check_within_bound(one, x, y, 0.6);
  CHECK(singular_vector_cca(x, y, 0.69).x_rank == 2);
  CHECK(one.error_bound < 1e-13);
  CHECK(one.tokens == 5);
}

TEST_CASE("components and correlations by Jacobi rotations, in long double, within the bound") {
  std::mt19937_64 random(1);
  for (const index n : {40, 300})
    for (const double offset : {0.0, 1e4})
      for (const double condition : {1.0, 10.0, 1e3})
        for (const double noise : {1e-3, 0.3, 10.0})
          for (const double share : {0.5, 0.95, 1.0}) {
            Eigen::VectorXd spectrum(8);
            for (index k = 0; k < 8; ++k) spectrum[k] = std::pow(condition, -static_cast<double>(k) / 7);
            const row_major u = random_matrix(random, n, 8);
            const row_major x =
                (u * spectrum.asDiagonal() * random_orthogonal(random, 8)).array() + offset * spectrum[7];
            const row_major narrow = (u + noise * random_matrix(random, n, 8)) * random_matrix(random, 8, 5);
            CAPTURE(n);
            CAPTURE(offset);
            CAPTURE(condition);
            CAPTURE(share);
            const double scale = pick(random, std::vector{1.0, 0x1p500, 0x1p-500});
            CAPTURE(scale);
            const cca_result result = singular_vector_cca(row_major(x * scale), row_major(narrow / scale), share);
            check_within_bound(result, x, narrow, share);
            if (condition < 100) CHECK(result.error_bound < 1e-8);
          }
}

TEST_CASE("the share is one of variances: not of standard deviations, nor compared with the total") {
  // Standard deviations 10, 1, 1, 1, of orthogonal columns: variances of 100 of 103, 101, 102, 103.
  row_major x(8, 4);
  for (index i = 0; i < 8; ++i)
    x.row(i) << (i & 1 ? 10 : -10), (i & 2 ? 1 : -1), (i & 4 ? 1 : -1), ((i & 1) ^ ((i >> 1) & 1) ? 1 : -1);
  CHECK(singular_vector_cca(x, x, 0.97).x_rank == 1);
  CHECK(singular_vector_cca(x, x, 0.975).x_rank == 2);
  CHECK(singular_vector_cca(x, x, 0.985).x_rank == 3);
  CHECK(singular_vector_cca(x, x, 0.999).x_rank == 4);
  CHECK(singular_vector_cca(row_major(x.array() + 1000.0), x, 0.97).x_rank == 1);
  // Two of three equal variances: which, no one can know.
  CHECK(singular_vector_cca(x, x, 0.975).error_bound == 1.0);
  // Ten independent columns need all or nearly all of them, however the total.
  std::mt19937_64 random(2);
  for (const double size : {1e-3, 1.0, 1e3}) {
    const row_major wide = size * random_matrix(random, 200, 10);
    CHECK(singular_vector_cca(wide, wide).x_rank == 10);
  }
}

TEST_CASE("components within rounding are left out, with a share of 1, too") {
  std::mt19937_64 random(3);
  row_major x(100, 6);
  const row_major base = random_matrix(random, 100, 3), y = base + random_matrix(random, 100, 3);
  x << base, base * random_matrix(random, 3, 3);
  const cca_result result = singular_vector_cca(x, y, 1.0);
  CHECK(result.x_rank == 3);
  CHECK((result.correlations - cca(base, y).correlations).norm() < 1e-12);
  CHECK(singular_vector_cca(x.topRows(3), y.topRows(3), 1.0).x_rank == 2);
  CHECK(singular_vector_cca(x.topRows(3), y.topRows(3), 1.0).underdetermined);
  CHECK_FALSE(result.underdetermined);
}

TEST_CASE("errors say what was expected") {
  std::mt19937_64 random(4);
  const row_major x = random_matrix(random, 20, 3), y = random_matrix(random, 20, 2);
  check_throws<option_error>([&] { svcca(x, y, 0.0); }, "a share in (0, 1]", "0", "svcca");
  check_throws<option_error>([&] { svcca(x, y, 1.5); }, "a share in (0, 1]", "1.5", "svcca");
  check_throws<option_error>([&] { svcca(x, y, std::numeric_limits<double>::quiet_NaN()); }, "a share in (0, 1]", "nan",
                             "svcca");
  cross_moments input;
  input.add(x, y);
  check_throws<option_error>([&] { svcca(input); }, "moments of both (see second_moments::both)",
                             "moments of the input", "svcca");
  cross_moments both(second_moments::both);
  both.add(x, y);
  CHECK(svcca(both) == svcca(x, y));
  check_throws<option_error>([&] { singular_vector_cca(both.scatter(centering::none)); }, "moments about the means",
                             "centering::none", "svcca");
  check_throws<degenerate_input_error>([&] { svcca(x, row_major::Constant(20, 2, 0.1)); }, "rows that differ",
                                       "no variance", "Y");
}

}  // namespace
