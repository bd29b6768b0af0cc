// Random pairs (X, Y) of the structures that break error bounds: offsets, near-constant updates, equal
// magnitudes, denormals, dependent columns, rows unlike the first ones.
#pragma once

#include <Eigen/Core>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>

namespace layerwise_test {

/// The same numbers with every standard library, which its distributions do not promise.
class dice {
 public:
  explicit dice(std::uint64_t seed) : engine_(seed) {}

  std::uint64_t bits() { return engine_(); }
  /// 0 .. n - 1
  Eigen::Index below(Eigen::Index n) { return static_cast<Eigen::Index>(engine_() % static_cast<std::uint64_t>(n)); }
  Eigen::Index between(Eigen::Index first, Eigen::Index last) { return first + below(last - first + 1); }
  bool one_in(Eigen::Index n) { return below(n) == 0; }
  /// (0, 1)
  double uniform() { return std::ldexp(static_cast<double>(engine_() >> 11) + 0.5, -53); }
  double normal() { return std::sqrt(-2.0 * std::log(uniform())) * std::cos(6.283185307179586 * uniform()); }
  double sign() { return one_in(2) ? 1.0 : -1.0; }
  double power(Eigen::Index least, Eigen::Index most) {
    return std::ldexp(1.0, static_cast<int>(between(least, most)));
  }
  /// A magnitude with all its digits.
  double size(Eigen::Index least, Eigen::Index most) { return (1.0 + uniform()) * power(least, most); }

 private:
  std::mt19937_64 engine_;
};

using matrix = Eigen::MatrixXd;

template <class Element>
matrix filled(Eigen::Index n, Eigen::Index d, const Element& element) {
  matrix out(n, d);
  for (Eigen::Index j = 0; j < d; ++j)
    for (Eigen::Index i = 0; i < n; ++i) out(i, j) = element(i, j);
  return out;
}

inline matrix normal_matrix(dice& random, Eigen::Index n, Eigen::Index d) {
  return filled(n, d, [&](auto, auto) { return random.normal(); });
}

inline matrix integer_matrix(dice& random, Eigen::Index n, Eigen::Index d, Eigen::Index most) {
  return filled(n, d, [&](auto, auto) { return static_cast<double>(random.between(-most, most)); });
}

/// v, some units in its last place further.
inline double nudged(dice& random, double v, Eigen::Index most) {
  const double to = random.sign() * std::numeric_limits<double>::infinity();
  for (Eigen::Index k = random.between(0, most); k > 0; --k) {
    const double next = std::nextafter(v, to);
    if (!std::isfinite(next)) break;
    v = next;
  }
  return v;
}

struct x_kind {
  const char* name;
  matrix (*make)(dice&, Eigen::Index n, Eigen::Index d);
};

/// Rows that come first and are unlike the rest: a block of them, where there are that many.
inline Eigen::Index first_rows(dice& random, Eigen::Index n) {
  return n > 512 && !random.one_in(4) ? 512 : random.between(0, n);
}

inline const auto& x_kinds() {
  using Eigen::Index;
  static const std::array kinds{
      x_kind{"normal", normal_matrix},
      x_kind{"integers", [](dice& r, Index n, Index d) { return integer_matrix(r, n, d, r.between(1, 9)); }},
      x_kind{"offset",
             [](dice& r, Index n, Index d) {
               const double all = r.sign() * r.size(0, 60);
               const bool each = r.one_in(2), whole = r.one_in(2);
               matrix x = whole ? integer_matrix(r, n, d, 9) : normal_matrix(r, n, d);
               for (Index j = 0; j < d; ++j) x.col(j).array() += each ? r.sign() * r.size(0, 60) : all;
               return x;
             }},
      x_kind{"last places",
             [](dice& r, Index n, Index d) {
               const double c = r.one_in(2) ? 1.0 : r.size(-3, 3);
               const Index most = r.between(1, 12);
               return filled(n, d, [&](auto, auto) { return nudged(r, c, most); });
             }},
      x_kind{"equal magnitudes",
             [](dice& r, Index n, Index d) {
               matrix x(n, d);
               for (Index j = 0; j < d; ++j) {
                 const double a = r.size(-1, 1);
                 const bool alternating = r.one_in(2);
                 for (Index i = 0; i < n; ++i) x(i, j) = a * (alternating ? (i % 2 ? 1.0 : -1.0) : r.sign());
               }
               return x;
             }},
      x_kind{"hadamard",
             [](dice& r, Index n, Index d) {
               const double a = r.one_in(2) ? 1.0 : r.size(-1, 1);
               const Index first = r.between(0, 3);
               return filled(n, d, [&](Index i, Index j) {
                 return std::popcount(static_cast<std::uint64_t>(i & (j + first))) % 2 ? -a : a;
               });
             }},
      x_kind{"repeated rows",
             [](dice& r, Index n, Index d) {
               const Index distinct = r.between(1, (std::min)(n, d + 3));
               const matrix rows = normal_matrix(r, distinct, d);
               matrix x(n, d);
               for (Index i = 0; i < n; ++i) x.row(i) = rows.row(r.below(distinct));
               return x;
             }},
      x_kind{"dependent",
             [](dice& r, Index n, Index d) {
               const bool exact = r.one_in(2);
               matrix x = exact ? integer_matrix(r, n, d, 5) : normal_matrix(r, n, d);
               for (Index j = r.between(1, d); j < d; ++j) {
                 x.col(j) = static_cast<double>(r.between(-3, 3)) * x.col(r.below(j));
                 if (r.one_in(2)) x.col(j) += static_cast<double>(r.between(-3, 3)) * x.col(0);
               }
               if (r.one_in(3)) x.array() += r.size(0, 40);
               return x;
             }},
      x_kind{"nearly dependent",
             [](dice& r, Index n, Index d) {
               matrix x = normal_matrix(r, n, d);
               const double level = r.one_in(3) ? 0.0 : r.size(-56, -2);
               for (Index j = 1; j < d; ++j)
                 for (Index i = 0; i < n; ++i)
                   x(i, j) = level == 0.0 ? nudged(r, x(i, 0), 3) : x(i, 0) + level * x(i, j);
               return x;
             }},
      x_kind{"scales",
             [](dice& r, Index n, Index d) {
               matrix x = normal_matrix(r, n, d);
               const Index reach = r.one_in(2) ? 100 : r.between(1, 225);
               for (Index j = 0; j < d; ++j) x.col(j) *= r.power(-reach, reach);
               return x;
             }},
      x_kind{"constant and tiny",
             [](dice& r, Index n, Index d) {
               matrix x = normal_matrix(r, n, d) * r.size(-450, -380);
               x.col(r.below(d)).setConstant(r.size(-2, 2));
               return x;
             }},
      x_kind{"denormal",
             [](dice& r, Index n, Index d) { return matrix(normal_matrix(r, n, d) * r.power(-1073, -1000)); }},
      x_kind{"huge",
             [](dice& r, Index n, Index d) {
               matrix x = normal_matrix(r, n, d) * 0x1p996;
               return matrix(x * r.power(0, 20));
             }},
      x_kind{"constant columns",
             [](dice& r, Index n, Index d) {
               matrix x = normal_matrix(r, n, d);
               for (Index j = 0; j < d; ++j)
                 if (r.one_in(2)) x.col(j).setConstant(r.sign() * r.size(-40, 40));
               return x;
             }},
      x_kind{"constant but one",
             [](dice& r, Index n, Index d) {
               matrix x = matrix::Constant(n, d, r.size(-4, 4));
               for (Index j = 0; j < d; ++j) x(r.below(n), j) += r.sign() * r.size(-60, 60);
               return x;
             }},
      x_kind{"powers of two",
             [](dice& r, Index n, Index d) {
               const Index reach = r.between(1, 60);
               return filled(n, d, [&](auto, auto) { return r.sign() * r.power(-reach, reach); });
             }},
      x_kind{"first rows unlike",
             [](dice& r, Index n, Index d) {
               matrix x = normal_matrix(r, n, d);
               const Index first = first_rows(r, n);
               if (r.one_in(3)) {
                 x.topRows(first) *= r.power(-60, 60);
               } else {
                 x.topRows(first).array() += r.sign() * r.size(0, 60);
               }
               return x;
             }},
      x_kind{"outlier row",
             [](dice& r, Index n, Index d) {
               matrix x = normal_matrix(r, n, d);
               x.row(r.below(n)) *= r.power(1, 120);
               return x;
             }},
  };
  return kinds;
}

inline matrix any_matrix(dice& random, Eigen::Index n, Eigen::Index d) {
  const auto& kinds = x_kinds();
  return kinds[static_cast<std::size_t>(random.below(static_cast<Eigen::Index>(kinds.size())))].make(random, n, d);
}

struct y_kind {
  const char* name;
  bool needs_square;  ///< d_y = d_x
  matrix (*make)(dice&, const matrix& x, Eigen::Index d);
};

inline matrix small_map(dice& r, Eigen::Index d_x, Eigen::Index d_y) {
  return r.one_in(2) ? integer_matrix(r, d_x, d_y, 3) : normal_matrix(r, d_x, d_y);
}

inline const auto& y_kinds() {
  using Eigen::Index;
  static const std::array kinds{
      y_kind{"independent", false, [](dice& r, const matrix& x, Index d) { return normal_matrix(r, x.rows(), d); }},
      y_kind{"another kind", false, [](dice& r, const matrix& x, Index d) { return any_matrix(r, x.rows(), d); }},
      y_kind{"map", false,
             [](dice& r, const matrix& x, Index d) {
               matrix y = x * small_map(r, x.cols(), d);
               if (r.one_in(3)) y.array() += r.size(0, 50);
               return y;
             }},
      y_kind{"map and noise", false,
             [](dice& r, const matrix& x, Index d) {
               const double size = x.cwiseAbs().maxCoeff();
               return matrix(x * small_map(r, x.cols(), d) + (size * r.power(-60, 2)) * normal_matrix(r, x.rows(), d));
             }},
      y_kind{"x + c", true,
             [](dice& r, const matrix& x, Index) {
               const double size = r.one_in(2) ? x.cwiseAbs().maxCoeff() : 1.0;
               matrix y = x;
               const double c = r.one_in(3) ? r.power(-4, 60) : r.size(-4, 60);
               for (Index j = 0; j < x.cols(); ++j) y.col(j).array() += r.sign() * size * c;
               return y;
             }},
      y_kind{"x (1 + e)", true,
             [](dice& r, const matrix& x, Index) { return matrix(x * (1.0 + r.sign() * r.size(-53, -3))); }},
      y_kind{"x", true, [](dice&, const matrix& x, Index) { return x; }},
      y_kind{"-x", true, [](dice&, const matrix& x, Index) { return matrix(-x); }},
      y_kind{"2^k x", true, [](dice& r, const matrix& x, Index) { return matrix(x * r.power(-20, 20)); }},
      y_kind{"x + one change", true,
             [](dice& r, const matrix& x, Index) {
               matrix y = x;
               double& one = y(r.below(x.rows()), r.below(x.cols()));
               one = r.one_in(2) ? nudged(r, one, 3) : one + r.sign() * r.size(-40, 40);
               return y;
             }},
      y_kind{"x + last places", true,
             [](dice& r, const matrix& x, Index) {
               return filled(x.rows(), x.cols(), [&](Index i, Index j) { return nudged(r, x(i, j), 4); });
             }},
      y_kind{"x + a little", true,
             [](dice& r, const matrix& x, Index) {
               const double size = r.one_in(2) ? x.cwiseAbs().maxCoeff() : 1.0;
               return matrix(x + (size * r.size(-60, -2)) * normal_matrix(r, x.rows(), x.cols()));
             }},
      y_kind{"far integers", false,
             [](dice& r, const matrix& x, Index d) {
               const double unit = r.power(0, 3);
               matrix y = unit * integer_matrix(r, x.rows(), d, 3);
               y.array() += r.power(20, 56);
               return y;
             }},
      y_kind{"equal magnitudes", false,
             [](dice& r, const matrix& x, Index d) {
               const double b = r.size(-1, 1);
               const Index flipped = r.between(1, x.rows());
               return filled(x.rows(), d, [&](Index i, Index j) {
                 return (j % 2 ? r.sign() : (i % 2 ? 1.0 : -1.0) * (i < flipped / 4 ? -1.0 : 1.0)) * b;
               });
             }},
      y_kind{"x + equal magnitudes", true,
             [](dice& r, const matrix& x, Index) {
               const double c = r.size(-2, 2);
               return filled(x.rows(), x.cols(), [&](Index i, Index j) {
                 const auto both = static_cast<std::uint64_t>(i & (j + x.cols() + 1));
                 return x(i, j) + (std::popcount(both) % 2 ? -c : c);
               });
             }},
      y_kind{"constant and tiny", false,
             [](dice& r, const matrix& x, Index d) {
               matrix y = normal_matrix(r, x.rows(), d);
               y.col(0) += x.col(0) / (1e-300 + x.col(0).cwiseAbs().maxCoeff());
               y *= r.size(-545, -470);
               y.col(d - 1).setConstant(r.size(-2, 2));
               return y;
             }},
      y_kind{"near x in part", true,
             [](dice& r, const matrix& x, Index d) {
               const Index first = first_rows(r, x.rows()), rest = x.rows() - first;
               const double level = r.power(-30, -3), offset = r.one_in(2) ? 0.0 : x(x.rows() - 1, 0);
               matrix y = normal_matrix(r, x.rows(), d);
               if (r.one_in(2))
                 y.bottomRows(rest) = x.bottomRows(rest).array() - offset + level * y.bottomRows(rest).array();
               else
                 y.topRows(first) = x.topRows(first).array() - offset + level * y.topRows(first).array();
               return y;
             }},
      y_kind{"about x's offset", true,
             [](dice& r, const matrix& x, Index d) {
               const double unit = r.power(2, 10);
               return matrix((x / unit).array().round().matrix() * unit + normal_matrix(r, x.rows(), d));
             }},
      y_kind{"first rows unlike", false,
             [](dice& r, const matrix& x, Index d) {
               matrix y = x * small_map(r, x.cols(), d) + normal_matrix(r, x.rows(), d);
               y.topRows(first_rows(r, x.rows())).array() += r.sign() * r.size(0, 60);
               return y;
             }},
  };
  return kinds;
}

/// A pair, and how it was made.
struct fuzz_pair {
  matrix x, y;
  std::string x_name, y_name;
  Eigen::Index splice = 0;  ///< from this row on it is another pair; 0: it is one
};

inline fuzz_pair one_pair(dice& random, Eigen::Index n, Eigen::Index d_x, Eigen::Index d_y) {
  const auto& xs = x_kinds();
  const auto& ys = y_kinds();
  const x_kind& x = xs[static_cast<std::size_t>(random.below(static_cast<Eigen::Index>(xs.size())))];
  const y_kind* y;
  do y = &ys[static_cast<std::size_t>(random.below(static_cast<Eigen::Index>(ys.size())))];
  while (y->needs_square && d_x != d_y);
  fuzz_pair out{x.make(random, n, d_x), {}, x.name, y->name};
  out.y = y->make(random, out.x, d_y);
  return out;
}

/// Of n x d_x and n x d_y. Elements are finite; those of `single` are of single precision.
inline fuzz_pair make_pair(dice& random, Eigen::Index n, Eigen::Index d_x, Eigen::Index d_y, bool single) {
  fuzz_pair out;
  if (n >= 2 && random.one_in(4)) {
    const Eigen::Index splice = n > 1024 && !random.one_in(4) ? random.between(512, n - 512) : random.between(1, n - 1);
    const fuzz_pair first = one_pair(random, splice, d_x, d_y), rest = one_pair(random, n - splice, d_x, d_y);
    out.x.resize(n, d_x), out.y.resize(n, d_y);
    out.x << first.x, rest.x;
    out.y << first.y, rest.y;
    out.x_name = first.x_name + " | " + rest.x_name, out.y_name = first.y_name + " | " + rest.y_name;
    out.splice = splice;
  } else {
    out = one_pair(random, n, d_x, d_y);
  }
  for (matrix* m : {&out.x, &out.y})
    for (double& v : m->reshaped()) {
      if (single) v = static_cast<float>(v);
      if (!std::isfinite(v)) v = std::copysign(1.0, v);
    }
  return out;
}

}  // namespace layerwise_test
