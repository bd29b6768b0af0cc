#include <layerwise/interop/ggml.hpp>

#include "checks.hpp"

#include <doctest/doctest.h>

// ggml-backend-impl.h is ggml's own, of its sources: what a backend's buffer type is made of.
#include <ggml-alloc.h>
#include <ggml-backend-impl.h>
#include <ggml-backend.h>
#include <ggml.h>

#include <cstddef>
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
static_assert(layerwise::hidden_states<std::vector<ggml_tensor*>> &&
              layerwise::hidden_state_gradients<std::vector<ggml_tensor*>&>);
static_assert(layerwise::hidden_states<std::vector<layerwise::ggml_view>>);
static_assert(!writable_embedding_matrix<const ggml_tensor> && !writable_embedding_matrix<const ggml_tensor*>);

template <class Scalar>
constexpr ggml_type type_of = std::is_same_v<Scalar, double>        ? GGML_TYPE_F64
                              : std::is_same_v<Scalar, float>       ? GGML_TYPE_F32
                              : std::is_same_v<Scalar, Eigen::half> ? GGML_TYPE_F16
                                                                    : GGML_TYPE_BF16;

/// A real context, with real tensors in it.
struct context {
  std::unique_ptr<ggml_context, void (*)(ggml_context*)> ggml{ggml_init({1 << 24, nullptr, false}), ggml_free};

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
  /// The tensor of a quantized type, and what ggml itself makes of it.
  std::pair<ggml_tensor*, matrix_of<float>> quantized(ggml_type type, const matrix_of<float>& m) {
    ggml_tensor* t = ggml_new_tensor_2d(ggml.get(), type, m.cols(), m.rows());
    ggml_quantize_chunk(type, m.data(), t->data, 0, m.rows(), m.cols(), nullptr);
    matrix_of<float> values(m.rows(), m.cols());
    for (index i = 0; i < m.rows(); ++i)
      ggml_get_type_traits(type)->to_float(static_cast<const char*>(t->data) + static_cast<std::size_t>(i) * t->nb[1],
                                           &values(i, 0), m.cols());
    return {t, values};
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

TEST_CASE("quantized tensors have the metrics of what ggml's to_float makes of them, to the bit") {
  for (const ggml_type type : {GGML_TYPE_Q4_0, GGML_TYPE_Q8_0, GGML_TYPE_Q4_K, GGML_TYPE_Q6_K, GGML_TYPE_IQ4_NL}) {
    CAPTURE(ggml_type_name(type));
    context c;
    std::vector<ggml_tensor*> layers;
    std::vector<matrix_of<float>> values;
    for (const auto& h : make_states<float>(3, 300, 256)) {
      const auto [t, of_t] = c.quantized(type, h);
      layers.push_back(t);
      values.push_back(of_t);
    }
    check_pair(*layers[0], std::as_const(*layers[1]), values[0], values[1]);
    check_pair(layers[0], static_cast<const ggml_tensor*>(layers[1]), values[0], values[1]);
    check_states(layers, values);

    // Some rows of it; beside a layer that is not quantized, gradients of which are.
    ggml_tensor* part = ggml_view_2d(c.ggml.get(), layers[0], 256, 100, layers[0]->nb[1], 20 * layers[0]->nb[1]);
    CHECK(elements(*part) == values[0].middleRows(20, 100).cast<double>());
    const std::vector<ggml_tensor*> mixed{layers[0], c.tensor(values[1])};
    const std::vector<matrix_of<float>> mixed_values{values[0], values[1]};
    check_states(mixed, mixed_values);
    std::vector<ggml_tensor*> gradients{c.zeros(256, 300), c.zeros(256, 300)};
    check_gradients(mixed, gradients, mixed_values);
  }
}

TEST_CASE("a quantized tensor of rank 3 is hidden states, of layers that are slices of whole rows") {
  context c;
  const auto states = make_states<float>(3, 40, 64);
  std::vector<matrix_of<float>> values;
  ggml_tensor* all = ggml_new_tensor_3d(c.ggml.get(), GGML_TYPE_Q8_0, 64, 40, 3);
  for (std::size_t l = 0; l < 3; ++l) {
    const auto [t, of_t] = c.quantized(GGML_TYPE_Q8_0, states[l]);
    std::memcpy(static_cast<char*>(all->data) + l * all->nb[2], t->data, ggml_nbytes(t));
    values.push_back(of_t);
  }
  check_states(layers_of(std::as_const(*all)), values);
  const ggml_tensor* by_token = ggml_permute(c.ggml.get(), all, 0, 2, 1, 3);
  check_states(layers_of(*by_token, 1), values);
  check_throws<shape_error>([&] { layers_of(std::as_const(*all), 2); }, "a layer axis of 0 or 1 of a quantized tensor",
                            "2", "ggml_tensor");
  check_throws<unsupported_error>([&] { layers_of(*all); }, "GGML_TYPE_F64, F32, F16 or BF16", "type 8", "ggml_tensor");
}

TEST_CASE("memory of the host is read, of any other place refused, of views as of what they view") {
  const std::unique_ptr<ggml_context, void (*)(ggml_context*)> ggml{ggml_init({1 << 20, nullptr, true}), ggml_free};
  ggml_tensor* t = ggml_new_tensor_2d(ggml.get(), GGML_TYPE_F32, 4, 30);
  ggml_tensor* quantized = ggml_new_tensor_2d(ggml.get(), GGML_TYPE_Q8_0, 32, 2);
  ggml_tensor* part = ggml_view_2d(ggml.get(), t, 4, 10, t->nb[1], 0);
  const auto read = [](const ggml_tensor* of) { (void)elements(*of); };
  check_throws<shape_error>([&] { read(t); }, "memory of 30 x 4", "a null pointer", "strided_view");  // not yet there
  check_throws<shape_error>([&] { read(quantized); }, "memory of 2 x 32", "a null pointer", "ggml_tensor");
  const std::unique_ptr<ggml_backend_buffer, void (*)(ggml_backend_buffer*)> buffer{
      ggml_backend_alloc_ctx_tensors_from_buft(ggml.get(), ggml_backend_cpu_buffer_type()), ggml_backend_buffer_free};
  const auto states = make_states<float>(1, 30, 4);
  ggml_backend_tensor_set(t, states[0].data(), 0, ggml_nbytes(t));
  CHECK(elements(*t) == states[0].cast<double>());
  CHECK(elements(*part) == states[0].topRows(10).cast<double>());

  ggml_backend_buffer_type elsewhere{};
  elsewhere.iface.get_name = [](ggml_backend_buffer_type_t) { return "somebody's device"; };
  const std::unique_ptr<ggml_backend_buffer, void (*)(ggml_backend_buffer*)> there{
      ggml_backend_buffer_init(&elsewhere, {}, nullptr, 0), ggml_backend_buffer_free};
  t->buffer = quantized->buffer = there.get();
  for (const ggml_tensor* of : {t, part, quantized})
    check_throws<unsupported_error>([&] { read(of); }, "a tensor in memory of the host (see ggml_backend_tensor_get)",
                                    "one in a buffer of somebody's device", "ggml_tensor");
  check_throws<unsupported_error>([&] { (void)layerwise::detail::view_of(*t); },
                                  "a tensor in memory of the host (see ggml_backend_tensor_get)",
                                  "one in a buffer of somebody's device", "ggml_tensor");
}

TEST_CASE("what ggml may hold but layerwise does not read is refused, and named") {
  context c;
  const auto score = [](const ggml_tensor* t) { layerwise::linearity_score(t, t); };
  check_throws<unsupported_error>([&] { score(ggml_new_tensor_2d(c.ggml.get(), GGML_TYPE_I32, 32, 4)); },
                                  "GGML_TYPE_F64, F32, F16, BF16 or a quantized type", "type 26", "ggml_tensor");
  ggml_tensor* blocks = ggml_new_tensor_2d(c.ggml.get(), GGML_TYPE_Q4_0, 32, 4);
  check_throws<unsupported_error>([&] { (void)layerwise::detail::view_of(*blocks); }, "GGML_TYPE_F64, F32, F16 or BF16",
                                  "type 2", "ggml_tensor");
  check_throws<unsupported_error>([&] { score(ggml_transpose(c.ggml.get(), blocks)); },
                                  "rows of whole blocks of 32 elements in 18 bytes", "ne[0] = 4, nb[0] = 18",
                                  "ggml_tensor");
  check_throws<shape_error>([&] { score(ggml_new_tensor_3d(c.ggml.get(), GGML_TYPE_Q4_0, 32, 4, 2)); },
                            "a tensor of rank 2", "ne[2] = 2", "ggml_tensor");
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
