#include <layerwise/data/normalized.hpp>

#include "identical.hpp"
#include "laws/pair_metric_laws.hpp"
#include "support.hpp"

#include <layerwise/layerwise.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <cmath>
#include <limits>
#include <random>
#include <ranges>
#include <vector>

namespace {

using layerwise::degenerate_input_error;
using layerwise::epsilon_position;
using layerwise::index;
using layerwise::layer_normalized;
using layerwise::non_finite_error;
using layerwise::option_error;
using layerwise::rms_normalized;
using layerwise::shape_error;
using layerwise::unit_normalized;
using namespace layerwise_test;
using long_row = Eigen::Matrix<long double, 1, Eigen::Dynamic>;

constexpr auto outside = epsilon_position::outside_root;
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// All rows, as a metric reads them.
template <layerwise::embedding_matrix M>
row_major read(const M& m) {
  const layerwise::detail::row_reader<M> reader(m);
  row_major out(reader.rows(), reader.cols());
  for (index i = 0; i < out.rows(); ++i) reader.read(i, &out(i, 0));
  return out;
}

/// sqrt(mean of squares + epsilon), or epsilon outside.
long double root(const long_row& x, long double epsilon, epsilon_position position) {
  const long double mean = x.squaredNorm() / static_cast<long double>(x.size());
  return position == outside ? std::sqrt(mean) + epsilon : std::sqrt(mean + epsilon);
}

template <class Row>
void check_row(const Row& got, const long_row& expected, double error) {
  for (index j = 0; j < expected.size(); ++j)
    CHECK(std::abs(static_cast<long double>(got[j]) - expected[j]) <=
          static_cast<long double>(error) * (1.0L + std::abs(expected[j])));
}

TEST_CASE("worked values: (1, 2, 3, 4)") {
  const row_major x = (row_major(1, 4) << 1, 2, 3, 4).finished();
  const row_major layer = read(layer_normalized(x)), rms = read(rms_normalized(x));
  for (const index j : {0, 1}) {
    CHECK(layer(0, j) == near(j == 0 ? -1.3416354199689269 : -0.447211806656309, 1e-15));
    CHECK(layer(0, 3 - j) == -layer(0, j));
  }
  for (index j = 0; j < 4; ++j) CHECK(rms(0, j) == near(0.3651483473268884 * static_cast<double>(j + 1), 1e-15));
  CHECK(read(unit_normalized(x))(0, 3) == near(4 / std::sqrt(30), 1e-15));
  const Eigen::MatrixXd columns = layer_normalized(x);
  const row_major rows = layer_normalized(x);
  CHECK(columns == layer);
  CHECK(rows == layer);
  // Gain, bias and Gemma's gain.
  const Eigen::RowVectorXf gain = (Eigen::RowVectorXf(4) << 2, -1, 0.5, 0).finished();
  const Eigen::VectorXd bias = Eigen::VectorXd::LinSpaced(4, 1, 4);
  for (index j = 0; j < 4; ++j) {
    const double g = static_cast<double>(gain[j]);
    CHECK(read(rms_normalized(x, gain))(0, j) == rms(0, j) * g);
    CHECK(read(rms_normalized(x, (gain.array() + 1).matrix()))(0, j) == rms(0, j) * (g + 1));
    CHECK(read(layer_normalized(x, gain, bias))(0, j) == near(layer(0, j) * g + bias[j], 1e-15));
  }
}

TEST_CASE("long double agrees: any offset, any epsilon, in the root or beside it") {
  std::mt19937_64 random(1);
  for (const index d : {1, 2, 7, 64, 771})
    for (const double offset : {0.0, 3.0, 1e8})
      for (const double epsilon : {0.0, 1e-5, 1e-2, 100.0})
        for (const epsilon_position position : {epsilon_position::inside_root, outside}) {
          if (d == 1 && epsilon == 0.0) continue;  // no variance
          CAPTURE(d);
          CAPTURE(offset);
          CAPTURE(epsilon);
          const row_major x = random_matrix(random, 3, d).array() + offset;
          const row_major rms = read(rms_normalized(x, epsilon, position)),
                          layer = read(layer_normalized(x, epsilon, position));
          for (index i = 0; i < 3; ++i) {
            const long_row exact = x.row(i).cast<long double>(), about_first = exact.array() - exact[0],
                           centred = about_first.array() - about_first.mean();
            check_row(rms.row(i), exact / root(exact, static_cast<long double>(epsilon), position), 1e-15);
            check_row(layer.row(i), centred / root(centred, static_cast<long double>(epsilon), position), 2e-14);
            if (epsilon == 0.0) check_row(read(unit_normalized(x)).row(i), exact / exact.norm(), 1e-15);
          }
        }
}

TEST_CASE("squares may leave the range of double") {
  std::mt19937_64 random(2);
  const row_major x = random_matrix(random, 2, 40);
  const row_major rms = read(rms_normalized(x, 0.0)), layer = read(layer_normalized(x, 0.0)),
                  unit = read(unit_normalized(x));
  for (const int power : {-1000, -600, -300, 300, 600, 1020}) {
    CAPTURE(power);
    const row_major scaled = x * std::ldexp(1.0, power);
    CHECK((read(rms_normalized(scaled, 0.0)) - rms).cwiseAbs().maxCoeff() < 1e-15);
    CHECK((read(layer_normalized(scaled, 0.0)) - layer).cwiseAbs().maxCoeff() < 1e-14);
    CHECK((read(unit_normalized(scaled)) - unit).cwiseAbs().maxCoeff() < 1e-15);
    // An epsilon as far from 1 as the squares.
    if (power == 300 || power == -300) {
      const double epsilon = std::ldexp(0.25, 2 * power);
      CHECK((read(rms_normalized(scaled, epsilon)) - read(rms_normalized(x, 0.25))).cwiseAbs().maxCoeff() < 1e-15);
    }
  }
  // Small beside epsilon: x / sqrt(epsilon), x / epsilon.
  const row_major tiny = x * 0x1p-900;
  CHECK((read(rms_normalized(tiny, 0x1p-20)) * 0x1p+890 - x).cwiseAbs().maxCoeff() < 1e-15);
  CHECK((read(rms_normalized(tiny, 0x1p-20, outside)) * 0x1p+880 - x).cwiseAbs().maxCoeff() < 1e-15);
  CHECK((read(rms_normalized(tiny, 0x1p100, outside)) * 0x1p1000 - x).cwiseAbs().maxCoeff() < 1e-15);
}

TEST_CASE("rows of zeros, rows of equal entries") {
  row_major x = row_major::Ones(5, 3);
  x.row(2).setZero();
  x.row(4).setConstant(0.1);
  CHECK(read(rms_normalized(x)).row(2).norm() == 0.0);
  CHECK(read(layer_normalized(x)).norm() == 0.0);
  check_throws<degenerate_input_error>([&] { read(rms_normalized(x, 0.0)); },
                                       "a row other than zero, or an epsilon above 0", "neither",
                                       "rms_normalized, row 2");
  check_throws<degenerate_input_error>([&] { read(layer_normalized(x.bottomRows(1), 0.0)); },
                                       "a row of entries that differ, or an epsilon above 0", "neither",
                                       "layer_normalized, row 0");
  check_throws<degenerate_input_error>([&] { read(unit_normalized(x)); }, "a row other than zero", "a row of zeros",
                                       "unit_normalized, row 2");
  for (const double constant : {0.1, 1e8 + 0.1, 1e308, 1e-310})
    for (const index d : {3, 7, 100, 771}) {
      const row_major same = row_major::Constant(1, d, constant);
      CHECK(read(layer_normalized(same)).norm() == 0.0);
      check_refused<degenerate_input_error>([&] { read(layer_normalized(same, 0.0)); });
    }
}

TEST_CASE("what is refused") {
  row_major x = row_major::Ones(5, 3);
  x(3, 1) = nan;
  check_throws<non_finite_error>([&] { read(rms_normalized(x)); }, "finite values", "nan",
                                 "rms_normalized, row 3, column 1");
  x(3, 1) = HUGE_VAL;
  check_throws<non_finite_error>([&] { read(layer_normalized(x)); }, "finite values", "inf",
                                 "layer_normalized, row 3, column 1");
  check_throws<non_finite_error>([&] { read(unit_normalized(x)); }, "finite values", "inf",
                                 "unit_normalized, row 3, column 1");
  check_throws<option_error>([&] { rms_normalized(x, -1.0); }, "an epsilon >= 0", "-1", "rms_normalized");
  check_throws<option_error>([&] { layer_normalized(x, nan); }, "an epsilon >= 0", "nan", "layer_normalized");
  check_throws<option_error>([&] { rms_normalized(x, Eigen::VectorXd::Ones(3), HUGE_VAL); }, "an epsilon >= 0", "inf",
                             "rms_normalized");
  check_throws<shape_error>([&] { rms_normalized(x, Eigen::VectorXd::Ones(4)); }, "3 values, one for each dimension",
                            "4 x 1", "gain");
  check_throws<shape_error>([&] { layer_normalized(x, Eigen::VectorXd::Ones(3), Eigen::RowVectorXd::Ones(2)); },
                            "3 values, one for each dimension", "1 x 2", "bias");
  check_throws<non_finite_error>([&] { rms_normalized(x, Eigen::VectorXd::Constant(3, nan)); }, "finite values", "nan",
                                 "gain, column 0");
}

TEST_CASE("in metrics, masks, profiles; of temporaries, of one another") {
  std::mt19937_64 random(3);
  std::vector<row_major> states{random_matrix(random, 60, 5)};
  for (int l = 0; l < 3; ++l) states.push_back(states.back() + random_matrix(random, 60, 5));
  const row_major& x = states[0];
  const row_major stored = read(rms_normalized(x));
  CHECK(layerwise::linearity_score(rms_normalized(x), states[1]) == layerwise::linearity_score(stored, states[1]));
  check_identical(layerwise::displacement(rms_normalized(x), unit_normalized(states[1])),
                  layerwise::displacement(stored, read(unit_normalized(states[1]))));

  row_major marked = x;
  std::vector<bool> keep(60, true);
  marked(7, 2) = nan, keep[7] = false;
  const layerwise::token_mask mask(keep);
  CHECK(layerwise::linear_cka(rms_normalized(marked), states[1], mask) ==
        layerwise::linear_cka(stored, states[1], mask));

  std::vector<row_major> normalized;
  std::vector<decltype(unit_normalized(x))> lazy;
  for (const row_major& h : states) normalized.push_back(read(unit_normalized(h))), lazy.push_back(unit_normalized(h));
  const auto expected = layerwise::profile(normalized), profile = layerwise::profile(lazy);
  for (std::size_t l = 0; l < 3; ++l) check_identical(profile.layers[l], expected.layers[l]);

  // A temporary is kept, an expression too; a view is only a view.
  const auto kept = layer_normalized(row_major(x * 2.0));
  const auto of_sum = layer_normalized(x + x);
  check_identical(read(kept).reshaped(), read(layer_normalized(row_major(x + x))).reshaped());
  check_identical(read(of_sum).reshaped(), read(kept).reshaped());
  const auto twice = unit_normalized(layer_normalized(x, 0.0));
  CHECK((read(twice) * std::sqrt(5.0) - read(layer_normalized(x, 0.0))).cwiseAbs().maxCoeff() < 1e-15);
  in_every_form(row_major(x.cast<Eigen::bfloat16>().cast<double>()),
                row_major(x.cast<Eigen::bfloat16>().cast<double>()), [&](const auto& a, const auto& b) {
                  check_identical(read(rms_normalized(a)).reshaped(), read(rms_normalized(b)).reshaped());
                });
}

const Eigen::MatrixXd const_matrix() { return Eigen::MatrixXd::Constant(300, 2, 3.0); }

TEST_CASE("what is passed as a temporary is kept: const ones, and Refs that store what they refer to") {
  const auto of_const = layerwise::unit_normalized(const_matrix());
  row_major rows = row_major::Constant(300, 2, 3.0);
  const auto of_ref = layerwise::unit_normalized(Eigen::Ref<const Eigen::MatrixXd>(rows));  // by columns: a copy
  const Eigen::MatrixXd other = Eigen::MatrixXd::Constant(300, 2, -1.0);  // where a dead one may have been
  std::vector<double> row(2);
  for (const index i : {index{0}, index{150}, index{299}}) {
    of_const.read_row(i, row.data());
    CHECK(row[0] == near(std::sqrt(0.5), 1e-15));
    of_ref.read_row(i, row.data());
    CHECK(row[1] == near(std::sqrt(0.5), 1e-15));
  }
  CHECK(other(0, 0) == -1.0);
}

}  // namespace
