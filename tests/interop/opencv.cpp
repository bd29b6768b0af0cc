#include <layerwise/interop/opencv.hpp>

#include "checks.hpp"

#include <doctest/doctest.h>

#include <opencv2/core.hpp>

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

using layerwise::embedding_matrix;
using layerwise::index;
using layerwise::layers_of;
using layerwise::shape_error;
using layerwise::unsupported_error;
using layerwise::writable_embedding_matrix;
using namespace layerwise_test;

static_assert(embedding_matrix<cv::Mat> && embedding_matrix<cv::Mat_<float>>);
static_assert(writable_embedding_matrix<cv::Mat> && !writable_embedding_matrix<const cv::Mat>);

template <class Scalar>
constexpr int type_of = std::is_same_v<Scalar, double>  ? CV_64F
                        : std::is_same_v<Scalar, float> ? CV_32F
                                                        : CV_16F;

template <class Scalar>
cv::Mat to_opencv(const matrix_of<Scalar>& m) {
  return cv::Mat(static_cast<int>(m.rows()), static_cast<int>(m.cols()), type_of<Scalar>, const_cast<Scalar*>(m.data()))
      .clone();
}

TEST_CASE_TEMPLATE("cv::Mat is read where it is", Scalar, double, float, Eigen::half) {
  const auto states = make_states<Scalar>(2, 30, 4);
  const cv::Mat x = to_opencv(states[0]), y = to_opencv(states[1]);
  check_pair(x, y, states[0], states[1]);
  CHECK(address(x) == x.data);

  cv::Mat frame(37, 9, type_of<Scalar>);
  for (int i = 0; i < frame.rows; ++i)
    for (int j = 0; j < frame.cols; ++j) frame.ptr<Scalar>(i)[j] = padding<Scalar>();
  cv::Mat part = frame(cv::Rect(2, 3, 4, 30));
  x.copyTo(part);
  CHECK(address(part) == frame.ptr<Scalar>(3) + 2);
  check_pair(part, y, states[0], states[1]);
  check_pair(frame(cv::Rect(2, 3, 4, 30)), y, states[0], states[1]);
}

TEST_CASE("cv::Mats are hidden states, to read and to write; of three dimensions, by any axis") {
  const auto states = make_states<float>(3, 30, 4);
  std::vector<cv::Mat> layers, gradients;
  for (const auto& h : states) {
    layers.push_back(to_opencv(h));
    gradients.push_back(cv::Mat::zeros(30, 4, CV_32F));
  }
  check_states(layers, states);
  check_gradients(layers, gradients, states);
  check_pair(cv::Mat_<float>(layers[0]), layers[1], states[0], states[1]);
  for (const std::size_t axis : {0u, 1u, 2u}) {
    CAPTURE(axis);
    std::vector<int> sizes{30, 4};
    sizes.insert(sizes.begin() + static_cast<std::ptrdiff_t>(axis), 3);
    cv::Mat all(sizes, CV_32F), gradient(sizes, CV_32F, cv::Scalar(0));
    for (int l = 0; l < 3; ++l)
      for (int i = 0; i < 30; ++i)
        for (int j = 0; j < 4; ++j)
          (axis == 0   ? all.at<float>(l, i, j)
           : axis == 1 ? all.at<float>(i, l, j)
                       : all.at<float>(i, j, l)) = states[static_cast<std::size_t>(l)](i, j);
    check_states(layers_of(std::as_const(all), axis), states);
    auto written = layers_of(gradient, axis);
    check_gradients(layers_of(all, axis), written, states);
  }
}

TEST_CASE("what cv::Mat may hold but layerwise does not read is refused, and named") {
  const auto score = [](const cv::Mat& m) { layerwise::linearity_score(m, m); };
  const std::string types = "CV_64F, CV_32F or CV_16F of one channel (see cv::Mat::reshape)";
  check_throws<unsupported_error>([&] { score(cv::Mat(10, 4, CV_8U)); }, types, "CV_8UC1", "cv::Mat");
  check_throws<unsupported_error>([&] { score(cv::Mat(10, 4, CV_32FC3)); }, types, "CV_32FC3", "cv::Mat");
  check_throws<shape_error>([&] { score(cv::Mat(std::vector<int>{2, 3, 4}, CV_32F)); }, "a cv::Mat of 2 dimensions",
                            "3", "cv::Mat");
  check_throws<shape_error>([&] { layers_of(cv::Mat(10, 4, CV_32F)); }, "a cv::Mat of 3 dimensions", "2", "cv::Mat");
  check_throws<shape_error>([&] { score(cv::Mat()); }, "a cv::Mat of 2 dimensions", "0", "cv::Mat");
  cv::Mat broken(4, 3, CV_64F);
  broken.step.p[0] = 28;
  check_throws<unsupported_error>([&] { score(broken); }, "steps of whole elements of 8 bytes", "28", "cv::Mat");
}

}  // namespace
