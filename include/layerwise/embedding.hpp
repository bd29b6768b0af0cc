// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/error.hpp>

#include <Eigen/Core>

#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <memory>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

// Everywhere in the library: one row per token, one column per hidden dimension (n_tokens x d).
namespace layerwise {

/// The scalar types read without conversion by the caller. All arithmetic is done in double.
template <class T>
concept embedding_scalar = std::same_as<T, float> || std::same_as<T, double> ||
    std::same_as<T, Eigen::half> || std::same_as<T, Eigen::bfloat16>;

/// A rank-2 view of memory that somebody else owns: element (i, j) is data[i * row_stride + j * col_stride].
///
/// T may be const; strides are in elements and may be negative. Throws shape_error for a negative size, a
/// zero stride over more than one element, or a null pointer to a non-empty matrix.
template <class T>
requires embedding_scalar<std::remove_const_t<T>>
class strided_view {
 public:
  using scalar = std::remove_const_t<T>;

  strided_view(T* data, index rows, index cols, index row_stride, index col_stride = 1)
      : data_(data), rows_(rows), cols_(cols), row_stride_(row_stride), col_stride_(col_stride) {
    if (rows < 0 || cols < 0)
      detail::fail<shape_error>("rows >= 0 and cols >= 0", detail::text(detail::shape{rows, cols}), here);
    const bool empty = rows == 0 || cols == 0;
    if (!empty && ((rows > 1 && row_stride == 0) || (cols > 1 && col_stride == 0)))
      detail::fail<shape_error>("strides other than 0", detail::text(row_stride, " and ", col_stride), here);
    if (!empty && data == nullptr)
      detail::fail<shape_error>(detail::text("memory of ", detail::shape{rows, cols}), "a null pointer",
                                here);
  }

  /// Contiguous and row-major.
  strided_view(T* data, index rows, index cols) : strided_view(data, rows, cols, cols, 1) {}

  /// A view that may write is a view that may read.
  operator strided_view<const scalar>() const requires(!std::is_const_v<T>) {
    return {data_, rows_, cols_, row_stride_, col_stride_};
  }

  T* data() const { return data_; }
  index rows() const { return rows_; }
  index cols() const { return cols_; }
  index row_stride() const { return row_stride_; }
  index col_stride() const { return col_stride_; }
  T& operator()(index row, index col) const { return data_[row * row_stride_ + col * col_stride_]; }

 private:
  static constexpr place here{.operand = "strided_view"};

  T* data_;
  index rows_, cols_, row_stride_, col_stride_;
};

/// Reads a buffer of raw 16-bit patterns as Scalar (Eigen::half or Eigen::bfloat16), in place.
template <class Scalar>
requires(std::same_as<Scalar, Eigen::half> ||
         std::same_as<Scalar, Eigen::bfloat16>) const Scalar* from_bits(const std::uint16_t* bits) {
  static_assert(sizeof(Scalar) == sizeof(std::uint16_t) && std::is_trivially_copyable_v<Scalar>);
  return reinterpret_cast<const Scalar*>(bits);
}

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
/// For gradients to be written into it, add `static float* data(my_matrix&)`. For a type that only refers to
/// its elements, so that a temporary may be viewed, add `static constexpr bool is_view = true`.
template <class M>
struct embedding_traits;

template <class T>
struct embedding_traits<strided_view<T>> {
  static constexpr bool is_view = true;
  static T* data(const strided_view<T>& m) { return m.data(); }
  static index rows(const strided_view<T>& m) { return m.rows(); }
  static index cols(const strided_view<T>& m) { return m.cols(); }
  static index row_stride(const strided_view<T>& m) { return m.row_stride(); }
  static index col_stride(const strided_view<T>& m) { return m.col_stride(); }
};

namespace detail {

template <class D>
void probe_eigen(const Eigen::DenseBase<D>&);

/// Any dense Eigen expression.
template <class M>
concept eigen_dense = requires(const M& m) {
  probe_eigen(m);
};

/// An Eigen expression with memory behind it: Matrix, Map, Ref, Block ...
template <class M>
concept eigen_direct = eigen_dense<M> && bool(M::Flags& Eigen::DirectAccessBit);

/// An Eigen expression that is computed when it is read: A + B, A * B, A.cast<float>() ...
template <class M>
concept eigen_lazy = eigen_dense<M> && !bool(M::Flags & Eigen::DirectAccessBit);

}  // namespace detail

template <detail::eigen_direct M>
struct embedding_traits<M> {
  static constexpr bool is_view = !requires(const M& m) {
    []<class D>(const Eigen::PlainObjectBase<D>&) {}(m);
  };
  static auto* data(M& m) { return m.data(); }
  static const typename M::Scalar* data(const M& m) { return m.data(); }
  static index rows(const M& m) { return m.rows(); }
  static index cols(const M& m) { return m.cols(); }
  static index row_stride(const M& m) { return M::IsRowMajor ? m.outerStride() : m.innerStride(); }
  static index col_stride(const M& m) { return M::IsRowMajor ? m.innerStride() : m.outerStride(); }
};

namespace detail {

/// What data() points to, for a matrix that may be const.
template <class M>
using element =
    std::remove_pointer_t<decltype(embedding_traits<std::remove_const_t<M>>::data(std::declval<M&>()))>;

template <class M>
concept has_embedding_traits = requires(const M& m) {
  {*embedding_traits<M>::data(m)};
  { embedding_traits<M>::rows(m) } -> std::convertible_to<index>;
  { embedding_traits<M>::cols(m) } -> std::convertible_to<index>;
  { embedding_traits<M>::row_stride(m) } -> std::convertible_to<index>;
  { embedding_traits<M>::col_stride(m) } -> std::convertible_to<index>;
};

template <class M>
concept strided_embedding = has_embedding_traits<M> && embedding_scalar<std::remove_const_t<element<M>>>;

template <class M>
concept lazy_embedding = eigen_lazy<M> && embedding_scalar<typename M::Scalar>;

}  // namespace detail

/// An n_tokens x d matrix of float, double, Eigen::half or Eigen::bfloat16: an Eigen dense object or
/// expression, or any type for which embedding_traits is specialized.
template <class M>
concept embedding_matrix = detail::strided_embedding<M> || detail::lazy_embedding<M>;

/// An embedding matrix whose elements can be written: what gradients are added to.
template <class M>
concept writable_embedding_matrix =
    detail::strided_embedding<std::remove_const_t<M>> && !std::is_const_v<detail::element<M>>;

namespace detail {

/// True for types that refer to elements owned elsewhere, so that a temporary of them can be viewed.
template <class M>
constexpr bool is_view = [] {
  if constexpr (lazy_embedding<M>)
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
concept hidden_state_gradients = std::ranges::forward_range<R> &&
    writable_embedding_matrix<std::remove_reference_t<std::ranges::range_reference_t<R>>> &&
    detail::outlives_iteration<R>;

/// A rank-3 array as hidden states: a random-access range of strided_view, one per layer. Strides are in
/// elements.
template <class T>
class hidden_states_view {
 public:
  hidden_states_view(T* data, index layers, index tokens, index dims, index layer_stride, index token_stride,
                     index dim_stride)
      : data_(data),
        layers_(layers),
        tokens_(tokens),
        dims_(dims),
        layer_stride_(layer_stride),
        token_stride_(token_stride),
        dim_stride_(dim_stride) {
    if (layers < 0 || tokens < 0 || dims < 0)
      detail::fail<shape_error>("sizes >= 0", detail::text(layers, " x ", tokens, " x ", dims), here);
    if (layers > 1 && tokens > 0 && dims > 0 && layer_stride == 0)
      detail::fail<shape_error>("a layer stride other than 0", "0", here);
  }

  /// [layer][token][dim], contiguous.
  static hidden_states_view layer_major(T* data, index layers, index tokens, index dims) {
    return {data, layers, tokens, dims, tokens * dims, dims, 1};
  }

  /// [token][layer][dim], contiguous: every layer is a strided slice.
  static hidden_states_view token_major(T* data, index tokens, index layers, index dims) {
    return {data, layers, tokens, dims, dims, layers * dims, 1};
  }

  index size() const { return layers_; }
  strided_view<T> operator[](index layer) const {
    return {data_ == nullptr ? nullptr : data_ + layer * layer_stride_, tokens_, dims_, token_stride_,
            dim_stride_};
  }

  class iterator {
   public:
    using iterator_concept = std::forward_iterator_tag;
    using value_type = strided_view<T>;
    using difference_type = std::ptrdiff_t;

    iterator() = default;
    iterator(const hidden_states_view* states, index layer) : states_(states), layer_(layer) {}
    strided_view<T> operator*() const { return (*states_)[layer_]; }
    iterator& operator++() { return ++layer_, *this; }
    iterator operator++(int) { return {states_, layer_++}; }
    bool operator==(const iterator&) const = default;

   private:
    const hidden_states_view* states_ = nullptr;
    index layer_ = 0;
  };

  iterator begin() const { return {this, 0}; }
  iterator end() const { return {this, layers_}; }

 private:
  static constexpr place here{.operand = "hidden_states_view"};

  T* data_;
  index layers_, tokens_, dims_, layer_stride_, token_stride_, dim_stride_;
};

namespace detail {

/// A block of tokens in double, one row per token: the form in which all kernels see the data.
using row_block = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// The strided view of any matrix with memory behind it, writable if the matrix is.
template <class M>
requires strided_embedding<std::remove_const_t<M>>
auto view_of(M& m) {
  using traits = embedding_traits<std::remove_const_t<M>>;
  return strided_view<element<M>>(traits::data(m), traits::rows(m), traits::cols(m), traits::row_stride(m),
                                  traits::col_stride(m));
}

template <class Scalar>
double to_double(const Scalar& x) {
  return static_cast<double>(x);
}
/// A bfloat16 is the upper half of a float. Written out, because GCC does not vectorize Eigen's conversion.
inline double to_double(const Eigen::bfloat16& x) {
  return static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(x.value) << 16));
}

/// Reads rows of an embedding matrix as double. It must not outlive the elements.
template <class M>
class row_reader;

template <strided_embedding M>
class row_reader<M> {
 public:
  explicit row_reader(const M& m) : view_(view_of(m)) {}

  index rows() const { return view_.rows(); }
  index cols() const { return view_.cols(); }

  /// out[0..cols) = row `row`
  void read(index row, double* out) const {
    const auto* from = view_.data() + row * view_.row_stride();
    const index cols = view_.cols(), stride = view_.col_stride();
    if (stride == 1)
      for (index j = 0; j < cols; ++j) out[j] = to_double(from[j]);
    else
      for (index j = 0; j < cols; ++j) out[j] = to_double(from[j * stride]);
  }

  /// The elements of a row in memory, or null where they are not next to each other.
  const auto* contiguous(index row) const {
    return view_.col_stride() == 1 ? view_.data() + row * view_.row_stride() : nullptr;
  }

 private:
  strided_view<const std::remove_const_t<element<M>>> view_;
};

/// A lazy expression is read through one evaluator made here, so that a product inside it is computed once,
/// not once per row, and nothing else of it is ever stored.
template <lazy_embedding M>
class row_reader<M> {
 public:
  explicit row_reader(const M& m)
      : rows_(m.rows()), cols_(m.cols()), evaluator_(std::make_unique<Eigen::internal::evaluator<M>>(m)) {}

  index rows() const { return rows_; }
  index cols() const { return cols_; }

  void read(index row, double* out) const {
    for (index j = 0; j < cols_; ++j) out[j] = to_double(evaluator_->coeff(row, j));
  }

 private:
  index rows_, cols_;
  std::unique_ptr<Eigen::internal::evaluator<M>> evaluator_;
};

template <class M>
row_reader(const M&) -> row_reader<M>;

template <class Reader>
shape shape_of(const Reader& reader) {
  return {reader.rows(), reader.cols()};
}

template <class Reader>
void require_not_empty(const Reader& reader, const place& at) {
  if (reader.rows() == 0 || reader.cols() == 0)
    fail<degenerate_input_error>("a matrix with rows and columns", text(shape_of(reader)), at);
}

inline void require_equal_shape(const shape& expected, const shape& got, const place& at) {
  if (!(expected == got)) fail<shape_error>(text("a matrix of ", expected), text(got), at);
}

/// One reader per layer. Throws shape_error for fewer than two layers or layers of different shapes,
/// degenerate_input_error for empty matrices.
template <hidden_states H>
auto open_layers(const H& states) {
  using matrix = std::remove_cvref_t<std::ranges::range_reference_t<const H>>;
  std::vector<row_reader<matrix>> layers;
  for (auto&& m : states) {
    layers.emplace_back(m);
    require_equal_shape(shape_of(layers.front()), shape_of(layers.back()),
                        {.operand = "hidden_states", .layer = static_cast<index>(layers.size()) - 1});
  }
  if (layers.size() < 2)
    fail<shape_error>("hidden states h_0 ... h_L of at least 2 layers", text(layers.size()),
                      {.operand = "hidden_states"});
  require_not_empty(layers.front(), {.operand = "hidden_states", .layer = 0});
  return layers;
}

/// Throws non_finite_error with the place of the first NaN or infinity in a row that has one.
[[gnu::cold]] inline void fail_non_finite(const double* row, index cols, place at) {
  for (index j = 0; j < cols; ++j)
    if (!(std::abs(row[j]) <= std::numeric_limits<double>::max())) {
      at.column = j;
      fail<non_finite_error>("finite values", text(row[j]), at);
    }
}

}  // namespace detail
}  // namespace layerwise
