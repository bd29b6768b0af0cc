// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/detail/arithmetic.hpp>
#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/kernel/lanes.hpp>

#include <Eigen/Core>

#include <cstdlib>
#include <memory>
#include <ranges>
#include <type_traits>
#include <variant>
#include <vector>

// How rows get from an embedding matrix into double, which is all that the rest of the library sees.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// Reads rows of an embedding matrix as double. It must not outlive the elements.
template <class M>
class row_reader;

template <class T>
class row_reader<strided_view<T>> {
 public:
  explicit row_reader(const strided_view<T>& view) : view_(view) { require_ieee_arithmetic(); }

  index rows() const { return view_.rows(); }
  index cols() const { return view_.cols(); }

  /// out[first..cols) = row `row` from column `first` on
  void read(index row, double* out, index first = 0) const {
    const index cols = view_.cols(), stride = view_.col_stride();
    if (first == cols) return;  // the pointer may be null
    const T* from = view_.data() + row * view_.row_stride();
    if (stride == 1)
      for (index j = first; j < cols; ++j) out[j] = to_double(from[j]);
    else
      for (index j = first; j < cols; ++j) out[j] = to_double(from[j * stride]);
  }

  /// read(rows[k], out + k * out_stride) for k = 0..count-1. Of a matrix stored by columns in tiles, so that
  /// the elements that share a cache line are read together, while the lines of the next tile are on their
  /// way: one row at a time takes 6 times as long, tiles alone twice.
  void read_rows(const index* rows, index count, double* out, index out_stride) const {
    constexpr index width = 8;  // columns: their lines fit one set of the first cache, whatever their stride
    const index cols = view_.cols(), stride = view_.col_stride();
    const bool by_columns = count > 1 && std::abs(view_.row_stride()) < std::abs(stride);
    const index tiled = by_columns ? cols / width * width : 0;
    for (index j = 0; j < tiled; j += width) {
      const index next = j + width < tiled ? width : 0;
      for (index k = 0; k < count; ++k) {
        const T* from = view_.data() + rows[k] * view_.row_stride() + j * stride;
        double* to = out + k * out_stride + j;
        Eigen::internal::prefetch(from + (next + k % width) * stride);
        for (index c = 0; c < width; ++c) to[c] = to_double(from[c * stride]);
      }
    }
    for (index k = 0; k < count; ++k) read(rows[k], out + k * out_stride, tiled);
  }

  /// The elements of a row in memory, or null where they are not next to each other.
  const T* contiguous(index row) const {
    return view_.col_stride() == 1 ? view_.data() + row * view_.row_stride() : nullptr;
  }

 private:
  strided_view<T> view_;
};

/// The type is looked up once per row, or block of rows.
template <class... Ms>
class row_reader<std::variant<Ms...>> {
 public:
  explicit row_reader(const std::variant<Ms...>& some)
      : reader_(std::visit([](const auto& m) { return any_reader(row_reader<std::decay_t<decltype(m)>>(m)); }, some)) {}

  index rows() const {
    return with_type([](const auto& reader) { return reader.rows(); });
  }
  index cols() const {
    return with_type([](const auto& reader) { return reader.cols(); });
  }
  void read(index row, double* out) const {
    with_type([&](const auto& reader) { reader.read(row, out); });
  }
  void read_rows(const index* rows, index count, double* out, index out_stride) const {
    with_type([&](const auto& reader) { reader.read_rows(rows, count, out, out_stride); });
  }

  /// body(reader of the type that it is)
  template <class Body>
  decltype(auto) with_type(const Body& body) const {
    return std::visit(body, reader_);
  }

 private:
  using any_reader = std::variant<row_reader<Ms>...>;
  any_reader reader_;
};

/// Any other matrix with a view is read through it.
template <viewable M>
class row_reader<M> : public row_reader<view_type<const M>> {
 public:
  explicit row_reader(const M& m) : row_reader<view_type<const M>>(view_of(m)) {}
};

/// A lazy expression is read through one evaluator made here, so that a product inside it is computed once,
/// not once per row, and nothing else of it is ever stored. Only one that draws its elements, as Random() does, is
/// stored: it would be another one whenever it is read.
template <eigen_lazy M>
class row_reader<M> {
  using source = std::conditional_t<draws_elements<M>(), typename M::PlainObject, M>;

 public:
  explicit row_reader(const M& m)
      : expression_(std::make_unique<source>(m)),
        evaluator_(std::make_unique<Eigen::internal::evaluator<source>>(*expression_)) {
    require_ieee_arithmetic();
  }

  index rows() const { return expression_->rows(); }
  index cols() const { return expression_->cols(); }

  void read(index row, double* out) const {
    for (index j = 0; j < cols(); ++j) out[j] = to_double(evaluator_->coeff(row, j));
  }
  void read_rows(const index* rows, index count, double* out, index out_stride) const {
    for (index k = 0; k < count; ++k) read(rows[k], out + k * out_stride);
  }

 private:
  std::unique_ptr<source> expression_;  // a copy, for good: evaluators may refer to what they evaluate
  std::unique_ptr<Eigen::internal::evaluator<source>> evaluator_;
};

/// Rows that the matrix itself gives as doubles.
template <read_by_rows M>
class row_reader<M> {
  using traits = embedding_traits<M>;

 public:
  explicit row_reader(const M& m)
      : matrix_(kept(m)), size_{static_cast<index>(traits::rows(m)), static_cast<index>(traits::cols(m))} {
    require_ieee_arithmetic();
    if (size_.rows < 0 || size_.cols < 0)
      fail<shape_error>("rows >= 0 and cols >= 0", text(size_), {.operand = "embedding_traits"});
  }

  index rows() const { return size_.rows; }
  index cols() const { return size_.cols; }

  void read(index row, double* out) const {
    if constexpr (is_view<M>)
      traits::read_row(matrix_, row, out);
    else
      traits::read_row(*matrix_, row, out);
  }
  void read_rows(const index* rows, index count, double* out, index out_stride) const {
    for (index k = 0; k < count; ++k) read(rows[k], out + k * out_stride);
  }

 private:
  static auto kept(const M& m) {
    if constexpr (is_view<M>)
      return m;
    else
      return &m;
  }

  std::conditional_t<is_view<M>, M, const M*> matrix_;
  shape size_;
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
  using element = std::remove_cvref_t<std::ranges::range_reference_t<const H>>;
  std::vector<row_reader<element>> layers;
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

}  // namespace layerwise::inline LAYERWISE_ABI::detail
