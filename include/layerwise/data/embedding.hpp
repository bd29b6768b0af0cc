// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/any_view.hpp>
#include <layerwise/data/detail/eigen_expression.hpp>
#include <layerwise/data/strided_view.hpp>

#include <concepts>
#include <ranges>
#include <type_traits>
#include <utility>

/// @file
/// What can be read, and written, as an embedding matrix, and as the hidden states h_0 ... h_L.
namespace layerwise::inline LAYERWISE_ABI {

/// The customization point: how a type is read as an embedding matrix. Specialize it for a type of your own:
///
///     template <> struct layerwise::embedding_traits<my_matrix> {
///       static const float* data(const my_matrix& m) { return m.values.data(); }
///       static layerwise::index rows(const my_matrix& m) { return m.tokens; }
///       static layerwise::index cols(const my_matrix& m) { return m.width; }
///       static layerwise::index row_stride(const my_matrix& m) { return m.width; }  // in elements
///       static layerwise::index col_stride(const my_matrix&) { return 1; }
///     };
///
/// or, all at once, and the only way for a type whose scalar type is known only when the program runs:
///
///     template <> struct layerwise::embedding_traits<my_tensor> {
///       static layerwise::any_view view(const my_tensor& t);  // or a strided_view
///     };
///
/// For gradients to be written into it, add `static float* data(my_matrix&)`, or `static any_writable_view
/// view(my_tensor&)`. For a type that only refers to its elements, so that a temporary may be viewed, add
/// `static constexpr bool is_view = true`.
template <class M>
struct embedding_traits;

template <class T>
struct embedding_traits<strided_view<T>> {
  static constexpr bool is_view = true;
  static strided_view<T> view(const strided_view<T>& m) { return m; }
};
template <>
struct embedding_traits<any_view> {
  static constexpr bool is_view = true;
  static any_view view(const any_view& m) { return m; }
};
template <>
struct embedding_traits<any_writable_view> {
  static constexpr bool is_view = true;
  static any_writable_view view(const any_writable_view& m) { return m; }
};

template <detail::eigen_direct M>
struct embedding_traits<M> {
  static constexpr bool is_view = !detail::eigen_owns<M>;
  static auto* data(M& m) { return m.data(); }
  static const typename M::Scalar* data(const M& m) { return m.data(); }
  static index rows(const M& m) { return m.rows(); }
  static index cols(const M& m) { return m.cols(); }
  static index row_stride(const M& m) { return M::IsRowMajor ? m.outerStride() : m.innerStride(); }
  static index col_stride(const M& m) { return M::IsRowMajor ? m.innerStride() : m.outerStride(); }
};

namespace detail {

/// Five functions: memory, sizes, strides.
template <class M>
concept has_data_traits = requires(const M& m) {
  { *embedding_traits<M>::data(m) };
  { embedding_traits<M>::rows(m) } -> std::convertible_to<index>;
  { embedding_traits<M>::cols(m) } -> std::convertible_to<index>;
  { embedding_traits<M>::row_stride(m) } -> std::convertible_to<index>;
  { embedding_traits<M>::col_stride(m) } -> std::convertible_to<index>;
};

/// One function.
template <class M>
concept has_view_traits = requires(const M& m) { embedding_traits<M>::view(m); };

/// The element type of what data() points to, for a matrix that may be const.
template <class M>
using element = std::remove_pointer_t<decltype(embedding_traits<std::remove_const_t<M>>::data(std::declval<M&>()))>;

template <class View>
inline constexpr bool may_be_written = std::same_as<View, any_writable_view>;
template <class T>
inline constexpr bool may_be_written<strided_view<T>> = std::negation_v<std::is_const<T>>;

/// The view of any matrix with memory behind it, writable if the matrix is.
template <class M>
requires has_view_traits<std::remove_const_t<M>>
auto view_of(M& m) {
  return embedding_traits<std::remove_const_t<M>>::view(m);
}

template <class M>
requires has_data_traits<std::remove_const_t<M>> && embedding_scalar<std::remove_const_t<element<M>>>
auto view_of(M& m) {
  using traits = embedding_traits<std::remove_const_t<M>>;
  return strided_view<element<M>>(traits::data(m), traits::rows(m), traits::cols(m), traits::row_stride(m),
                                  traits::col_stride(m));
}

template <class M>
using view_type = decltype(view_of(std::declval<M&>()));

template <class M>
concept viewable = requires(const M& m) { view_of(m); };

}  // namespace detail

/// M is an Eigen dense object or expression, or embedding_traits<M> is specialized.
template <class M>
concept has_embedding_traits = detail::eigen_dense<M> || detail::has_data_traits<M> || detail::has_view_traits<M>;

/// Its elements are float, double, Eigen::half or Eigen::bfloat16.
template <class M>
concept has_embedding_scalars = detail::viewable<M> || (detail::eigen_lazy<M> && embedding_scalar<typename M::Scalar>);

/// An n_tokens x d matrix of float, double, Eigen::half or Eigen::bfloat16: an Eigen dense object or
/// expression, or any type for which embedding_traits is specialized.
template <class M>
concept embedding_matrix = has_embedding_traits<M> && has_embedding_scalars<M>;

/// An embedding matrix whose elements can be written: what gradients are added to.
template <class M>
concept writable_embedding_matrix =
    embedding_matrix<std::remove_const_t<M>> && detail::may_be_written<detail::view_type<M>>;

namespace detail {

/// True for types that refer to elements owned elsewhere, so that a temporary of them can be viewed.
template <class M>
constexpr bool is_view = [] {
  if constexpr (eigen_lazy<M>)
    return true;
  else if constexpr (requires { embedding_traits<M>::is_view; })
    return embedding_traits<M>::is_view;
  else
    return false;
}();

template <class R, class M = std::remove_cvref_t<std::ranges::range_reference_t<R>>>
concept outlives_iteration = std::is_lvalue_reference_v<std::ranges::range_reference_t<R>> || is_view<M>;

}  // namespace detail

/// h_0 ... h_L: any forward range of embedding matrices. Its elements are lvalues, or views returned by
/// value.
template <class R>
concept hidden_states = std::ranges::forward_range<const R> &&
                        embedding_matrix<std::remove_cvref_t<std::ranges::range_reference_t<const R>>> &&
                        detail::outlives_iteration<const R>;

/// The same shape of range, to write to: what the regularizers add their gradients to.
template <class R>
concept hidden_state_gradients =
    std::ranges::forward_range<R> &&
    writable_embedding_matrix<std::remove_reference_t<std::ranges::range_reference_t<R>>> &&
    detail::outlives_iteration<R>;

}  // namespace layerwise::inline LAYERWISE_ABI
