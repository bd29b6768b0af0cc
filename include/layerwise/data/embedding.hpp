// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/any_view.hpp>
#include <layerwise/data/detail/eigen_expression.hpp>
#include <layerwise/data/detail/embedding_forms.hpp>
#include <layerwise/data/strided_view.hpp>

#include <ranges>
#include <type_traits>
#include <variant>

/// @file
/// What can be read, and written, as an embedding matrix, and as the hidden states h_0 ... h_L.
namespace layerwise::inline LAYERWISE_ABI {

/// The customization point: how a type is read as an embedding matrix. Specialize it for a type of your own, in one of
/// three forms.
///
/// Memory of a scalar type that the compiler knows, by five functions:
///
///     struct my_matrix { std::vector<float> values; layerwise::index tokens, width; };
///
///     template <> struct layerwise::embedding_traits<my_matrix> {
///       static const float* data(const my_matrix& m) { return m.values.data(); }
///       static layerwise::index rows(const my_matrix& m) { return m.tokens; }
///       static layerwise::index cols(const my_matrix& m) { return m.width; }
///       static layerwise::index row_stride(const my_matrix& m) { return m.width; }  // in elements
///       static layerwise::index col_stride(const my_matrix&) { return 1; }
///     };
///
/// What it can be viewed as, another embedding matrix; where the scalar type is known only when the program runs, an
/// any_view:
///
///     struct my_tensor { layerwise::scalar_type type; const void* data; layerwise::index tokens, width; };
///
///     template <> struct layerwise::embedding_traits<my_tensor> {
///       static layerwise::any_view view(const my_tensor& t) {
///         return layerwise::make_view(t.type, t.data, t.tokens, t.width, t.width, 1);
///       }
///     };
///
/// Rows that are not in memory as they are to be read: quantized, transformed, on another device. read_row(m, i, out)
/// writes row i as cols(m) doubles to out. It is called from several threads at a time, for any row, as often as the
/// row is needed (by moments twice), and gives the same values each time. What it throws passes through; moments or a
/// profiler that rows were being added to must then be thrown away:
///
///     struct my_codes { std::vector<std::int8_t> codes; std::vector<double> scales; layerwise::index width; };
///
///     template <> struct layerwise::embedding_traits<my_codes> {
///       static layerwise::index rows(const my_codes& m) { return std::ssize(m.scales); }
///       static layerwise::index cols(const my_codes& m) { return m.width; }
///       static void read_row(const my_codes& m, layerwise::index i, double* out) {
///         for (layerwise::index j = 0; j < m.width; ++j) out[j] = m.scales[i] * m.codes[i * m.width + j];
///       }
///     };
///
/// For gradients to be written into it, add `static float* data(my_matrix&)` to the first, `static any_writable_view
/// view(my_tensor&)` to the second; rows are only read. For a type that only refers to its elements, so that a
/// temporary may be viewed, add `static constexpr bool is_view = true` to any of them.
template <class M>
struct embedding_traits;

/// M is an Eigen dense object or expression, or embedding_traits<M> is specialized, or M is a std::variant.
template <class M>
concept has_embedding_traits = detail::eigen_dense<M> || detail::has_data_traits<M> || detail::has_view_traits<M> ||
                               detail::has_row_traits<M> || detail::is_variant<M>;

/// Its elements are float, double, Eigen::half or Eigen::bfloat16; or it gives its rows as doubles.
template <class M>
concept has_embedding_scalars =
    detail::viewable<M> || detail::has_row_traits<M> ||
    (detail::eigen_lazy<M> && embedding_scalar<typename M::Scalar>) || detail::is_variant_of_matrices<M>;

/// An n_tokens x d matrix of float, double, Eigen::half or Eigen::bfloat16: an Eigen dense object or expression, or any
/// type for which embedding_traits is specialized. Or a std::variant of such types, where the type is known only when
/// the program runs: one may be memory, another rows.
template <class M>
concept embedding_matrix = has_embedding_traits<M> && has_embedding_scalars<M>;

/// An embedding matrix whose elements can be written: what gradients are added to.
template <class M>
concept writable_embedding_matrix = embedding_matrix<std::remove_const_t<M>> && detail::may_be_written<M>;

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

template <class T>
struct embedding_traits<strided_view<T>> {
  static constexpr bool is_view = true;
  static strided_view<T> view(const strided_view<T>& m) { return m; }
};

/// any_view and any_writable_view.
template <class... Ts>
struct embedding_traits<std::variant<strided_view<Ts>...>> {
  static constexpr bool is_view = true;
  static std::variant<strided_view<Ts>...> view(const std::variant<strided_view<Ts>...>& m) { return m; }
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

template <class M>
constexpr bool is_embedding_matrix() {
  return embedding_matrix<M>;
}

}  // namespace detail
}  // namespace layerwise::inline LAYERWISE_ABI
