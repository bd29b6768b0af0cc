// A scalar of 113 bits for Eigen, where the compiler has one, and long double where not: for references that
// must be better than what is tested by more than long double is.
#pragma once

#include <Eigen/Core>

#include <cmath>
#include <limits>

namespace layerwise_test {

#if defined(__SIZEOF_FLOAT128__)
struct quad {
  __extension__ using value_type = __float128;
  value_type value = 0;

  quad() = default;
  template <class T>
  requires std::is_arithmetic_v<T>
  quad(T v) : value(static_cast<value_type>(v)) {}  // implicit, as Eigen expects of a scalar
  static quad of(value_type v) {
    quad q;
    q.value = v;
    return q;
  }
  explicit operator long double() const { return static_cast<long double>(value); }
  explicit operator double() const { return static_cast<double>(value); }

  quad& operator+=(quad b) { return value += b.value, *this; }
  quad& operator-=(quad b) { return value -= b.value, *this; }
  quad& operator*=(quad b) { return value *= b.value, *this; }
  quad& operator/=(quad b) { return value /= b.value, *this; }
  friend quad operator+(quad a, quad b) { return a += b; }
  friend quad operator-(quad a, quad b) { return a -= b; }
  friend quad operator*(quad a, quad b) { return a *= b; }
  friend quad operator/(quad a, quad b) { return a /= b; }
  friend quad operator-(quad a) { return of(-a.value); }
  friend bool operator==(quad a, quad b) { return a.value == b.value; }
  friend auto operator<=>(quad a, quad b) {
    return a.value < b.value ? std::partial_ordering::less
                             : (a.value > b.value ? std::partial_ordering::greater : std::partial_ordering::equivalent);
  }
  friend quad abs(quad a) { return a.value < 0 ? -a : a; }
  friend quad sqrt(quad a) {  // a Newton step doubles the digits of long double's
    if (!(a.value > 0)) return quad();
    const quad root = of(static_cast<value_type>(std::sqrt(static_cast<long double>(a.value))));
    return (root + a / root) / quad(2);
  }
};
#else
using quad = long double;
#endif

}  // namespace layerwise_test

#if defined(__SIZEOF_FLOAT128__)
template <>
struct Eigen::NumTraits<layerwise_test::quad> : Eigen::GenericNumTraits<layerwise_test::quad> {
  using Real = layerwise_test::quad;
  using NonInteger = Real;
  using Nested = Real;
  enum {
    IsComplex = 0,
    IsInteger = 0,
    IsSigned = 1,
    RequireInitialization = 1,
    ReadCost = 2,
    AddCost = 50,
    MulCost = 50
  };
  static Real epsilon() { return Real(0x1p-112L); }
  static Real dummy_precision() { return Real(0x1p-100L); }
  static Real highest() { return Real(std::numeric_limits<long double>::max()); }
  static Real lowest() { return Real(-std::numeric_limits<long double>::max()); }
  static int digits10() { return 33; }
};
#endif
