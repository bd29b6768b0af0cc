#include <layerwise/interop/ggml.hpp>

#include "checks.hpp"

#include <doctest/doctest.h>

#include <ggml.h>

#include <cstring>
#include <memory>
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

static_assert(embedding_matrix<ggml_tensor> && embedding_matrix<ggml_tensor*> && embedding_matrix<const ggml_tensor*>);
static_assert(writable_embedding_matrix<ggml_tensor> && writable_embedding_matrix<ggml_tensor*>);
static_assert(!writable_embedding_matrix<const ggml_tensor> && !writable_embedding_matrix<const ggml_tensor*>);

template <class Scalar>
constexpr ggml_type type_of = std::is_same_v<Scalar, double>        ? GGML_TYPE_F64
                              : std::is_same_v<Scalar, float>       ? GGML_TYPE_F32
                              : std::is_same_v<Scalar, Eigen::half> ? GGML_TYPE_F16
                                                                    : GGML_TYPE_BF16;

/// A real context, with real tensors in it.
struct context {
  std::unique_ptr<ggml_context, void (*)(ggml_context*)> ggml{ggml_init({1 << 22, nullptr, false}), ggml_free};

  template <class Scalar>
  ggml_tensor* tensor(const matrix_of<Scalar>& m) {
    ggml_tensor* t = ggml_new_tensor_2d(ggml.get(), type_of<Scalar>, m.cols(), m.rows());
    std::memcpy(t->data, m.data(), static_cast<std::size_t>(m.size()) * sizeof(Scalar));
    return t;
  }
  ggml_tensor* zeros(index dims, index tokens, index layers = 1) {
    ggml_tensor* t = ggml_new_tensor_3d(ggml.get(), GGML_TYPE_F32, dims, tokens, layers);
    std::memset(t->data, 0, ggml_nbytes(t));
    return t;
  }
};

TEST_CASE_TEMPLATE("ggml's tensors are read where they are", Scalar, double, float, Eigen::half, Eigen::bfloat16) {
  context c;
  const auto states = make_states<Scalar>(2, 30, 4);
  ggml_tensor *x = c.tensor(states[0]), *y = c.tensor(states[1]);
  check_pair(*x, *y, states[0], states[1]);
  check_pair(x, y, states[0], states[1]);
  check_pair(static_cast<const ggml_tensor*>(x), y, states[0], states[1]);
  CHECK(address(*x) == x->data);

  // A part of a larger tensor; and, where ggml transposes, a transposed one.
  matrix_of<Scalar> large = matrix_of<Scalar>::Constant(35, 9, padding<Scalar>());
  large.block(3, 2, 30, 4) = states[0];
  ggml_tensor* frame = c.tensor(large);
  ggml_tensor* part = ggml_view_2d(c.ggml.get(), frame, 4, 30, frame->nb[1], 3 * frame->nb[1] + 2 * frame->nb[0]);
  CHECK(address(*part) == static_cast<Scalar*>(frame->data) + 3 * 9 + 2);
  check_pair(*part, *y, states[0], states[1]);
  const matrix_of<Scalar> turned = states[0].transpose();
  check_pair(*ggml_transpose(c.ggml.get(), c.tensor(turned)), *y, states[0], states[1]);
}

TEST_CASE("ggml's tensors are hidden states, to read and to write; of rank 3, by any axis") {
  context c;
  const auto states = make_states<float>(3, 30, 4);
  std::vector<ggml_tensor*> layers, gradients;
  for (const auto& h : states) {
    layers.push_back(c.tensor(h));
    gradients.push_back(c.zeros(4, 30));
  }
  check_states(layers, states);
  check_gradients(layers, gradients, states);

  ggml_tensor* all = c.zeros(4, 30, 3);
  for (std::size_t l = 0; l < 3; ++l)
    std::memcpy(static_cast<char*>(all->data) + l * all->nb[2], layers[l]->data, ggml_nbytes(layers[l]));
  check_states(layers_of(std::as_const(*all)), states);
  ggml_tensor* by_token = ggml_permute(c.ggml.get(), all, 0, 2, 1, 3);
  check_states(layers_of(*by_token, 1), states);
  ggml_tensor* gradient = c.zeros(4, 30, 3);
  auto written = layers_of(*gradient);
  check_gradients(layers, written, states);
}

TEST_CASE("what ggml may hold but layerwise does not read is refused, and named") {
  context c;
  const auto score = [](const ggml_tensor* t) { layerwise::linearity_score(t, t); };
  check_throws<unsupported_error>([&] { score(ggml_new_tensor_2d(c.ggml.get(), GGML_TYPE_Q4_0, 32, 4)); },
                                  "GGML_TYPE_F64, F32, F16 or BF16", "type 2", "ggml_tensor");
  check_throws<unsupported_error>([&] { score(nullptr); }, "a tensor", "a null pointer", "ggml_tensor");
  check_throws<shape_error>([&] { score(c.zeros(4, 3, 2)); }, "a tensor of rank 2", "ne[2] = 2", "ggml_tensor");
  check_throws<shape_error>([&] { layers_of(*ggml_new_tensor_4d(c.ggml.get(), GGML_TYPE_F32, 2, 2, 2, 5)); },
                            "a tensor of rank 3", "ne[3] = 5", "ggml_tensor");
  ggml_tensor odd = *c.zeros(4, 3);
  odd.nb[1] = 18;
  check_throws<unsupported_error>([&] { score(&odd); }, "strides of whole elements of 4 bytes", "nb[1] = 18",
                                  "ggml_tensor");
}

}  // namespace
