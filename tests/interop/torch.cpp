#include <layerwise/interop/torch.hpp>

#include "checks.hpp"

#include <doctest/doctest.h>

#include <torch/torch.h>

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

static_assert(embedding_matrix<torch::Tensor>);
static_assert(writable_embedding_matrix<torch::Tensor> && !writable_embedding_matrix<const torch::Tensor>);
static_assert(!layerwise::detail::is_view<torch::Tensor>);

template <class Scalar>
constexpr auto type_of = std::is_same_v<Scalar, double>        ? torch::kFloat64
                         : std::is_same_v<Scalar, float>       ? torch::kFloat32
                         : std::is_same_v<Scalar, Eigen::half> ? torch::kFloat16
                                                               : torch::kBFloat16;

template <class Scalar>
torch::Tensor to_torch(const matrix_of<Scalar>& m) {
  return torch::from_blob(const_cast<Scalar*>(m.data()), {m.rows(), m.cols()}, type_of<Scalar>).clone();
}

TEST_CASE_TEMPLATE("libtorch's matrices are read where they are", Scalar, double, float, Eigen::half, Eigen::bfloat16) {
  const auto states = make_states<Scalar>(2, 30, 4);
  const torch::Tensor x = to_torch(states[0]), y = to_torch(states[1]);
  check_pair(x, y, states[0], states[1]);
  CHECK(address(x) == x.data_ptr());

  torch::Tensor frame = torch::full({70, 9}, static_cast<double>(NAN), type_of<Scalar>);
  using torch::indexing::Slice;
  torch::Tensor part = frame.index({Slice(3, 63, 2), Slice(2, 6)});
  part.copy_(x);
  CHECK(part.data_ptr() == static_cast<Scalar*>(frame.data_ptr()) + 3 * 9 + 2);
  CHECK(address(part) == part.data_ptr());
  check_pair(part, y, states[0], states[1]);
  check_pair(x.t().contiguous().t(), y, states[0], states[1]);
}

TEST_CASE("tensors of different types are hidden states in one call; rank 3, by any axis; gradients are written") {
  const auto states = make_states<float>(3, 30, 4);
  std::vector<torch::Tensor> layers, gradients;
  for (const auto& h : states) {
    layers.push_back(to_torch(h));
    gradients.push_back(torch::zeros({30, 4}));
  }
  check_states(layers, states);
  check_gradients(layers, gradients, states);
  layers[1] = layers[1].to(torch::kFloat64);
  check_states(layers, states);
  layers[1] = layers[1].to(torch::kFloat32);

  for (const std::int64_t axis : {0, 1, 2}) {
    CAPTURE(axis);
    const torch::Tensor all = torch::stack(layers, axis);
    check_states(layers_of(all, static_cast<std::size_t>(axis)), states);
    torch::Tensor gradient = torch::zeros_like(all);
    auto written = layers_of(gradient, static_cast<std::size_t>(axis));
    check_gradients(layers_of(all, static_cast<std::size_t>(axis)), written, states);
    CHECK(gradient.abs().sum().item<double>() > 0);
  }
}

TEST_CASE("autograd sees nothing of it") {
  const auto states = make_states<double>(2, 30, 4);
  torch::Tensor x = to_torch(states[0]).requires_grad_(), y = x * 2 + to_torch(states[1]);
  const torch::Tensor x_before = x.detach().clone();
  const auto version = x._version();
  CHECK(layerwise::linearity_score(x, y) > 0);
  CHECK_FALSE(x.grad().defined());
  CHECK(x._version() == version);
  CHECK(x.equal(x_before));
  y.sum().backward();
  CHECK(x.grad().equal(torch::full({30, 4}, 2.0, torch::kFloat64)));
}

TEST_CASE("what libtorch may hold but layerwise does not read is refused, and named") {
  const auto score = [](const torch::Tensor& t) { layerwise::linearity_score(t, t); };
  const std::string types = "float64, float32, float16 or bfloat16";
  check_throws<unsupported_error>([&] { score(torch::Tensor()); }, "a tensor", "an undefined one", "at::Tensor");
  check_throws<unsupported_error>([&] { score(torch::ones({5, 4}, torch::kInt64)); }, types, "Long", "at::Tensor");
  check_throws<unsupported_error>([&] { score(torch::ones({5, 4}, torch::kComplexDouble)); }, types, "ComplexDouble",
                                  "at::Tensor");
  check_throws<unsupported_error>([&] { score(torch::ones({5, 4}).to_sparse()); }, "a tensor with strides",
                                  "layout Sparse", "at::Tensor");
  check_throws<unsupported_error>([&] { score(torch::ones({5, 4}, torch::kMeta)); },
                                  "a tensor in memory of the CPU (see Tensor::cpu)", "meta", "at::Tensor");
  check_throws<unsupported_error>([&] { score(torch::_efficientzerotensor({5, 4})); },
                                  "values in memory (see Tensor::clone)", "zeros without any", "at::Tensor");
  const torch::Tensor negative = torch::imag(torch::ones({5, 4}, torch::kComplexDouble).conj());
  REQUIRE(negative.is_neg());
  check_throws<unsupported_error>([&] { score(negative); }, "values as they are in memory (see Tensor::resolve_neg)",
                                  "a lazy negative", "at::Tensor");
  check_throws<shape_error>([&] { score(torch::ones({5})); }, "a tensor of rank 2", "rank 1", "at::Tensor");
  check_throws<shape_error>([&] { score(torch::ones({1, 4}).expand({5, 4})); }, "strides other than 0", "0 and 1",
                            "strided_view");
  check_throws<shape_error>([&] { layers_of(torch::ones({5, 4})); }, "a tensor of rank 3", "rank 2", "at::Tensor");
}

}  // namespace
