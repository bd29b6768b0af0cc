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
#include <variant>

// Which of its forms a specialization of embedding_traits has (see embedding.hpp), and what follows from it.
namespace layerwise::inline LAYERWISE_ABI {

template <class M>
struct embedding_traits;

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

/// One function: what it is viewed as.
template <class M>
concept has_view_traits = requires(const M& m) { embedding_traits<M>::view(m); };

/// Three functions: sizes, and rows as doubles.
template <class M>
concept has_row_traits = requires(const M& m, index row, double* out) {
  { embedding_traits<M>::rows(m) } -> std::convertible_to<index>;
  { embedding_traits<M>::cols(m) } -> std::convertible_to<index>;
  embedding_traits<M>::read_row(m, row, out);
};

template <class M>
inline constexpr bool is_variant = false;
template <class... Ms>
inline constexpr bool is_variant<std::variant<Ms...>> = true;

/// Whether M is an embedding_matrix, for what that concept itself asks of views and variants. Defined in embedding.hpp.
template <class M>
constexpr bool is_embedding_matrix();

/// One of several embedding matrices: which one is known when the program runs.
template <class M>
inline constexpr bool is_variant_of_matrices = false;
template <class... Ms>
inline constexpr bool is_variant_of_matrices<std::variant<Ms...>> = (is_embedding_matrix<Ms>() && ...);

/// True for types that refer to elements owned elsewhere, so that a temporary of them can be viewed.
template <class M>
inline constexpr bool is_view = [] {
  if constexpr (eigen_lazy<M>)
    return true;
  else if constexpr (requires { embedding_traits<M>::is_view; })
    return embedding_traits<M>::is_view;
  else
    return false;
}();
template <class... Ms>
inline constexpr bool is_view<std::variant<Ms...>> = (is_view<Ms> && ...);

template <class R, class M = std::remove_cvref_t<std::ranges::range_reference_t<R>>>
concept outlives_iteration = std::is_lvalue_reference_v<std::ranges::range_reference_t<R>> || is_view<M>;

/// The element type of what data() points to, for a matrix that may be const.
template <class M>
using element = std::remove_pointer_t<decltype(embedding_traits<std::remove_const_t<M>>::data(std::declval<M&>()))>;

/// The view of a matrix that has one, to write to if the matrix may be written.
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

/// What view() may return: M itself, or another embedding matrix that is a view.
template <class View, class M>
concept view_for = is_view<View> && (std::same_as<M, View> || is_embedding_matrix<View>());

/// Read through its view.
template <class M>
concept viewable = requires(const M& m) {
  { view_of(m) } -> view_for<M>;
};

/// Read row by row, because nothing else is known of it.
template <class M>
concept read_by_rows = has_row_traits<M> && !viewable<M>;

template <class View>
inline constexpr bool is_writable_view = false;
template <class T>
inline constexpr bool is_writable_view<strided_view<T>> = !std::is_const_v<T>;
template <class... Ts>
inline constexpr bool is_writable_view<std::variant<strided_view<Ts>...>> = (!std::is_const_v<Ts> && ...);

template <class M>
concept may_be_written = requires(M& m) { requires is_writable_view<decltype(view_of(m))>; };

}  // namespace detail
}  // namespace layerwise::inline LAYERWISE_ABI
