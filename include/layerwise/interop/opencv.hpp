// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/interop/detail/tensor_layout.hpp>

#include <opencv2/core.hpp>

#include <concepts>
#include <cstddef>
#include <utility>

/// @file
/// OpenCV's cv::Mat and cv::Mat_ of CV_64F, CV_32F and CV_16F, one channel: two dimensions are an
/// embedding matrix, three hidden states (see layers_of). Scalar type and byte steps are looked at when the program
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

template <std::derived_from<cv::Mat> M>
struct tensor_traits<M> {
  template <std::size_t rank>
  static tensor_layout<rank> layout(const cv::Mat& m) {
    if (m.dims != static_cast<int>(rank))
      fail<shape_error>(text("a cv::Mat of ", rank, " dimensions"), text(m.dims), opencv_place);
    const std::size_t element = m.elemSize();
    const auto axes = axes_of<rank>([&](std::size_t axis) {
      const std::size_t step = m.step.p[axis];
      if (step % element != 0)
        fail<unsupported_error>(text("steps of whole elements of ", element, " bytes"), text(step), opencv_place);
      return std::pair(m.size.p[axis], step / element);
    });
    return {opencv_scalar(m), axes};
  }

  template <class Void>
  static Void* data(const cv::Mat& m) {
    return m.data;
  }
};

}  // namespace detail

/// Two dimensions: rows are tokens. A submatrix keeps the steps of what it is part of. Throws
/// unsupported_error for other types, more channels or broken steps, shape_error for another number of
/// dimensions. A cv::Mat that is not const may be written to, also where it is a part of one that is.
template <std::derived_from<cv::Mat> M>
struct embedding_traits<M> : detail::tensor_views<M> {};

}  // namespace layerwise::inline LAYERWISE_ABI
