// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/data/embedding.hpp>

#include <opencv2/core.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <vector>

/// @file
/// OpenCV's cv::Mat and cv::Mat_ of CV_64F, CV_32F and CV_16F, one channel: two dimensions are an
/// embedding matrix, three hidden states. Scalar type and byte steps are looked at when the program
/// runs, and what is not read throws unsupported_error.
namespace layerwise::inline LAYERWISE_ABI {
namespace detail {

inline constexpr place opencv_place{.operand = "cv::Mat"};

/// Throws unsupported_error for what the library does not read.
inline scalar_type opencv_scalar(const cv::Mat& m) {
  if (m.channels() == 1) {
    if (m.depth() == CV_64F) return scalar_type::float64;
    if (m.depth() == CV_32F) return scalar_type::float32;
    if (m.depth() == CV_16F) return scalar_type::float16;
  }
  fail<unsupported_error>("CV_64F, CV_32F or CV_16F of one channel (see cv::Mat::reshape)", cv::typeToString(m.type()),
                          opencv_place);
}

/// Sizes, and steps in elements. Throws shape_error for another number of dimensions, unsupported_error for a
/// step that is no multiple of an element.
template <std::size_t rank>
struct opencv_layout {
  std::array<index, rank> sizes, strides;

  explicit opencv_layout(const cv::Mat& m) {
    if (m.dims != static_cast<int>(rank))
      fail<shape_error>(text("a cv::Mat of ", rank, " dimensions"), text(m.dims), opencv_place);
    for (std::size_t axis = 0; axis < rank; ++axis) {
      const std::size_t step = m.step.p[axis], element = m.elemSize();
      if (step % element != 0)
        fail<unsupported_error>(text("steps of whole elements of ", element, " bytes"), text(step), opencv_place);
      sizes[axis] = static_cast<index>(m.size.p[axis]);
      strides[axis] = static_cast<index>(step / element);
    }
  }
};

template <class Void>
auto opencv_view(const cv::Mat& m) {
  const opencv_layout<2> layout(m);
  const scalar_type type = opencv_scalar(m);
  return make_view(type, static_cast<Void*>(m.data), layout.sizes[0], layout.sizes[1], layout.strides[0],
                   layout.strides[1]);
}

}  // namespace detail

/// Two dimensions: rows are tokens. A submatrix keeps the steps of what it is part of. Throws
/// unsupported_error for other types, more channels or broken steps, shape_error for another number of
/// dimensions. A cv::Mat that is not const may be written to, also where it is a part of one that is.
template <std::derived_from<cv::Mat> M>
struct embedding_traits<M> {
  static any_view view(const M& m) { return detail::opencv_view<const void>(m); }
  static any_writable_view view(M& m) { return detail::opencv_view<void>(m); }
};

/// Three dimensions: hidden states, without a copy. Axis `layer_axis` counts layers; of the other two
/// the first counts tokens. Throws unsupported_error for other types or more channels, shape_error for
/// another number of dimensions or another axis. The views do not keep the matrix: m.clone() as an argument
/// is gone at the end of the statement.
inline std::vector<any_view> layers_of(const cv::Mat& m, std::size_t layer_axis = 0) {
  const detail::opencv_layout<3> layout(m);
  const scalar_type type = detail::opencv_scalar(m);
  return make_layers(type, static_cast<const void*>(m.data), layout.sizes, layout.strides, layer_axis);
}
/// The same, to write to.
inline std::vector<any_writable_view> layers_of(cv::Mat& m, std::size_t layer_axis = 0) {
  const detail::opencv_layout<3> layout(m);
  const scalar_type type = detail::opencv_scalar(m);
  return make_layers(type, static_cast<void*>(m.data), layout.sizes, layout.strides, layer_axis);
}

}  // namespace layerwise::inline LAYERWISE_ABI
