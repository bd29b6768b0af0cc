// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/detail/config.hpp>

#include <Eigen/Core>

#include <concepts>
#include <type_traits>

// What kind of Eigen expression a type is: with memory behind it, computed when it is read, or drawn at random then.
namespace layerwise::inline LAYERWISE_ABI::detail {

template <class D>
void probe_eigen(const Eigen::DenseBase<D>&);

/// Any dense Eigen expression.
template <class M>
concept eigen_dense = requires(const M& m) { probe_eigen(m); };

/// An Eigen expression with memory behind it: Matrix, Map, Ref, Block ... (Some have the flag, but no
/// data().)
template <class M>
concept eigen_direct = eigen_dense<M> && bool(M::Flags & Eigen::DirectAccessBit) && requires(const M& m) {
  m.data();
  m.innerStride();
  m.outerStride();
};

/// An Eigen expression that is computed when it is read: A + B, A * B, A.cast<float>(), A(rows, cols) ...
template <class M>
concept eigen_lazy = eigen_dense<M> && !eigen_direct<M>;

/// True for Eigen expressions with an element anywhere in them that is computed from no position, and so may
/// be another one each time it is read: M::Random(), M::NullaryExpr(rows, cols, [&] { return draw(); }).
template <class M>
constexpr bool draws_elements();

/// For one of the arguments of an expression's template. An overload for each kind of parameters that they
/// have; where a compiler finds that two of them fit, the later one is taken.
template <class... M>
constexpr bool draws_one() {
  return (draws_elements<M>() || ...);
}
template <int n>
struct preferred : preferred<n - 1> {};
template <>
struct preferred<0> {};

template <class M>
constexpr bool draws_in(std::type_identity<M>, preferred<0>) {
  return false;
}
template <template <class...> class Of, class... M>
constexpr bool draws_in(std::type_identity<Of<M...>>, preferred<1>) {
  return draws_one<M...>();
}
template <template <class, int> class Of, class M, int i>
constexpr bool draws_in(std::type_identity<Of<M, i>>, preferred<2>) {
  return draws_one<M>();
}
template <template <class, int, int> class Of, class M, int i, int j>
constexpr bool draws_in(std::type_identity<Of<M, i, j>>, preferred<3>) {
  return draws_one<M>();
}
template <template <class, int, int, int> class Of, class M, int i, int j, int k>
constexpr bool draws_in(std::type_identity<Of<M, i, j, k>>, preferred<4>) {
  return draws_one<M>();
}
template <template <class, int, int, bool> class Of, class M, int i, int j, bool k>
constexpr bool draws_in(std::type_identity<Of<M, i, j, k>>, preferred<5>) {
  return draws_one<M>();
}
template <template <class, class, int> class Of, class M, class N, int i>
constexpr bool draws_in(std::type_identity<Of<M, N, i>>, preferred<6>) {
  return draws_one<M, N>();
}
template <class Op, class M>
constexpr bool draws_in(std::type_identity<Eigen::CwiseNullaryOp<Op, M>>, preferred<7>) {
  return std::invocable<const Op&>;
}
template <class Scalar, class M>
constexpr bool draws_in(std::type_identity<Eigen::CwiseNullaryOp<Eigen::internal::scalar_constant_op<Scalar>, M>>,
                        preferred<8>) {
  return false;
}

template <class M>
constexpr bool draws_elements() {
  return draws_in(std::type_identity<std::remove_cvref_t<M>>(), preferred<8>());
}

/// True for Eigen objects that own their elements, or may: a Ref to const keeps a copy of what does not fit
/// it.
template <class M>
inline constexpr bool eigen_owns = std::derived_from<M, Eigen::PlainObjectBase<typename M::PlainObject>>;
template <class M, int options, class Stride>
inline constexpr bool eigen_owns<Eigen::Ref<const M, options, Stride>> = true;

}  // namespace layerwise::inline LAYERWISE_ABI::detail
