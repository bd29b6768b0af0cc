// What several tests share: random matrices, and checks of an exception down to its message.
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

/// A call of any type, without its type: what takes one is compiled once.
struct any_call {
  const void* call;
  void (*run)(const void*);

  template <class Call>
  any_call(const Call& of) : call(&of), run([](const void* c) { (void)(*static_cast<const Call*>(c))(); }) {}
};

/// Checks that the call throws an exception of just this type, with just this message.
void check_message(const any_call& call, const std::type_info& type, const std::string& message);

/// Checks that call() throws an Error, and none derived from it, that says what was expected, what came, and
/// where.
template <class Error, class Call>
void check_throws(const Call& call, const std::string& expected, const std::string& got, const std::string& place) {
  check_message(call, typeid(Error), "layerwise: expected " + expected + ", got " + got + " (" + place + ")");
}

/// Checks that the call throws an exception of just this type, whose text has `part` in it.
void check_refusal(const any_call& call, const std::type_info& type, const std::string& part);

/// A call that throws an Error, and none derived from it, whose text has `part` in it.
template <class Error, class Call>
void check_refused(const Call& call, const std::string& part = "") {
  check_refusal(call, typeid(Error), part);
}

}  // namespace layerwise_test
