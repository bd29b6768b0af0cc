// What several tests share: random matrices, and the check of an exception down to its message.
#pragma once

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <iterator>
#include <random>
#include <string>
#include <typeinfo>

namespace layerwise_test {

using row_major = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// The values of any scalar type here, exactly.
template <class Matrix>
row_major doubles(const Matrix& m) {
  return m.template cast<double>();
}

/// Normally distributed entries.
template <class Generator>
row_major random_matrix(Generator& random, Eigen::Index rows, Eigen::Index cols) {
  std::normal_distribution<double> normal;
  return row_major::NullaryExpr(rows, cols, [&] { return normal(random); });
}

/// The rows of m that `which` lists, in its order.
template <class Matrix, class Indices>
row_major rows_of(const Matrix& m, const Indices& which) {
  row_major out(static_cast<Eigen::Index>(std::size(which)), m.cols());
  Eigen::Index to = 0;
  for (const auto row : which) out.row(to++) = m.row(row);
  return out;
}

/// Equality up to a relative error, however small the value. (doctest's own Approx has an absolute part of
/// epsilon.)
inline doctest::Approx near(double value, double relative_error = 1e-14) {
  return doctest::Approx(value).epsilon(relative_error).scale(0);
}

/// Checks that call() throws an Error, and none derived from it, that says what was expected, what came, and
/// where.
template <class Error, class Call>
void check_throws(const Call& call, const std::string& expected, const std::string& got, const std::string& place) {
  const std::string message = "layerwise: expected " + expected + ", got " + got + " (" + place + ")";
  CAPTURE(message);
  try {
    call();
    FAIL_CHECK("nothing was thrown");
  } catch (const Error& e) {
    CHECK(typeid(e) == typeid(Error));
    CHECK(std::string(e.what()) == message);
  } catch (const std::exception& e) {
    FAIL_CHECK("another exception was thrown: ", std::string(e.what()));
  }
}

}  // namespace layerwise_test
