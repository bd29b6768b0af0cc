#include <layerwise/interop/dlpack.hpp>

#include "checks.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

namespace {

using layerwise::embedding_matrix;
using layerwise::index;
using layerwise::layers_of;
using layerwise::shape_error;
using layerwise::unsupported_error;
using layerwise::writable_embedding_matrix;
using namespace layerwise_test;

static_assert(embedding_matrix<DLTensor> && embedding_matrix<DLManagedTensor>);
static_assert(writable_embedding_matrix<DLTensor> && !writable_embedding_matrix<const DLTensor>);

template <class Scalar>
constexpr DLDataType type_of = std::is_same_v<Scalar, Eigen::bfloat16> ? DLDataType{kDLBfloat, 16, 1}
                                                                       : DLDataType{kDLFloat, 8 * sizeof(Scalar), 1};

/// A tensor, and what its pointers point to.
struct tensor {
  std::vector<std::int64_t> shape, strides;
  DLTensor dl;

  tensor(void* data, DLDataType type, std::vector<std::int64_t> sizes, std::vector<std::int64_t> steps = {},
         std::uint64_t byte_offset = 0)
      : shape(std::move(sizes)), strides(std::move(steps)) {
    dl.data = data;
    dl.device = {kDLCPU, 0};
    dl.ndim = static_cast<int>(shape.size());
    dl.dtype = type;
    dl.shape = shape.data();
    dl.strides = strides.empty() ? nullptr : strides.data();
    dl.byte_offset = byte_offset;
  }
  tensor(const tensor&) = delete;
};

TEST_CASE_TEMPLATE("DLPack's matrices are read where they are", Scalar, double, float, Eigen::half, Eigen::bfloat16) {
  auto states = make_states<Scalar>(2, 30, 4);
  const tensor x(states[0].data(), type_of<Scalar>, {30, 4});  // no strides: compact
  const tensor y(states[1].data(), type_of<Scalar>, {30, 4}, {4, 1});
  check_pair(x.dl, y.dl, states[0], states[1]);
  CHECK(address(x.dl) == states[0].data());

  // Column by column, backwards, with a byte offset, in memory that has more in it.
  std::vector<Scalar> frame(500, padding<Scalar>());
  const index offset = 400, row_stride = -2, col_stride = 71;
  for (index i = 0; i < 30; ++i)
    for (index j = 0; j < 4; ++j)
      frame[static_cast<std::size_t>(offset - 213 + i * row_stride + j * col_stride)] = states[0](i, j);
  const tensor odd(frame.data(), type_of<Scalar>, {30, 4}, {row_stride, col_stride},
                   static_cast<std::uint64_t>(offset - 213) * sizeof(Scalar));
  CHECK(address(odd.dl) == &frame[static_cast<std::size_t>(offset - 213)]);
  check_pair(odd.dl, y.dl, states[0], states[1]);
}

TEST_CASE("DLPack tensors of different types are hidden states in one call; rank 3, by any axis") {
  const auto states = make_states<double>(3, 30, 4);
  matrix_of<double> h0 = states[0];
  matrix_of<float> h1 = states[1].cast<float>();
  matrix_of<Eigen::bfloat16> h2 = states[2].cast<Eigen::bfloat16>();
  const tensor t0(h0.data(), type_of<double>, {30, 4}), t1(h1.data(), type_of<float>, {30, 4}),
      t2(h2.data(), type_of<Eigen::bfloat16>, {30, 4});
  check_states(std::vector{t0.dl, t1.dl, t2.dl},
               std::vector<matrix_of<double>>{h0, h1.cast<double>(), h2.cast<double>()});

  std::vector<float> memory(3 * 30 * 4);
  for (const std::size_t axis : {0u, 1u, 2u}) {
    CAPTURE(axis);
    std::vector<std::int64_t> sizes{30, 4};
    sizes.insert(sizes.begin() + static_cast<std::ptrdiff_t>(axis), 3);
    tensor all(memory.data(), type_of<float>, sizes);
    std::vector<matrix_of<float>> floats;
    auto written = layers_of(all.dl, axis);
    for (std::size_t l = 0; l < 3; ++l) {
      floats.push_back(states[l].cast<float>());
      const auto& view = std::get<layerwise::strided_view<float>>(written[l]);
      for (index i = 0; i < 30; ++i)
        for (index j = 0; j < 4; ++j) view(i, j) = floats[l](i, j);
    }
    check_states(layers_of(std::as_const(all.dl), axis), floats);
    std::vector<float> zeros(memory.size());
    tensor gradient(zeros.data(), type_of<float>, sizes);
    auto gradients = layers_of(gradient.dl, axis);
    check_gradients(layers_of(std::as_const(all.dl), axis), gradients, floats);
  }
}

TEST_CASE("what DLPack cannot hand over is refused, and named") {
  std::vector<double> memory(100, 1.0);
  const auto score = [](const tensor& t) { layerwise::linearity_score(t.dl, t.dl); };
  const std::string types = "float64, float32, float16 or bfloat16";
  check_throws<unsupported_error>([&] { score(tensor(memory.data(), {kDLInt, 32, 1}, {10, 4})); }, types,
                                  "type code 0 of 32 bits, 1 lanes", "DLTensor");
  check_throws<unsupported_error>([&] { score(tensor(memory.data(), {kDLFloat, 32, 4}, {10, 4})); }, types,
                                  "type code 2 of 32 bits, 4 lanes", "DLTensor");
  tensor on_device(memory.data(), type_of<double>, {10, 4});
  on_device.dl.device = {kDLCUDA, 0};
  check_throws<unsupported_error>([&] { score(on_device); }, "memory of the CPU", "device type 2", "DLTensor");
  on_device.dl.device = {kDLCUDAHost, 0};
  CHECK(elements(on_device.dl) == row_major::Ones(10, 4));
  check_throws<shape_error>([&] { score(tensor(memory.data(), type_of<double>, {10, 4, 1})); }, "a tensor of rank 2",
                            "rank 3", "DLTensor");
  check_throws<shape_error>([&] { layers_of(tensor(memory.data(), type_of<double>, {10, 4}).dl); },
                            "a tensor of rank 3", "rank 2", "DLTensor");
  check_throws<shape_error>([&] { score(tensor(memory.data(), type_of<double>, {10, 4}, {0, 1})); },
                            "strides other than 0", "0 and 1", "strided_view");
  check_throws<shape_error>([&] { score(tensor(nullptr, type_of<double>, {10, 4})); }, "memory of 10 x 4",
                            "a null pointer", "strided_view");
}

TEST_CASE("a managed tensor is read, and not consumed") {
  auto states = make_states<float>(2, 30, 4);
  DLManagedTensor managed{};
  std::int64_t shape[] = {30, 4};
  managed.dl_tensor = {states[0].data(), {kDLCPU, 0}, 2, type_of<float>, shape, nullptr, 0};
  managed.deleter = [](DLManagedTensor*) { FAIL("consumed"); };
  check_pair(managed, states[1], states[0], states[1]);
}

#if defined(DLPACK_MAJOR_VERSION) && DLPACK_MAJOR_VERSION >= 1
TEST_CASE("a versioned managed tensor is read, not consumed, and written to where it may be") {
  auto states = make_states<float>(2, 30, 4);
  DLManagedTensorVersioned managed{};
  std::int64_t shape[] = {30, 4}, strides[] = {4, 1};
  managed.version = {DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION + 1};
  managed.dl_tensor = {states[0].data(), {kDLCPU, 0}, 2, type_of<float>, shape, strides, 0};
  managed.deleter = [](DLManagedTensorVersioned*) { FAIL("consumed"); };
  check_pair(std::as_const(managed), states[1], states[0], states[1]);

  using traits = layerwise::embedding_traits<DLManagedTensorVersioned>;
  CHECK(std::get<layerwise::strided_view<float>>(traits::view(managed)).data() == states[0].data());
  managed.flags = DLPACK_FLAG_BITMASK_READ_ONLY;
  check_pair(std::as_const(managed), states[1], states[0], states[1]);
  check_throws<unsupported_error>([&] { traits::view(managed); }, "a tensor that may be written to",
                                  "one that is to be read only", "DLTensor");
  managed.version = {DLPACK_MAJOR_VERSION + 1, 0};
  check_throws<unsupported_error>([&] { layerwise::linearity_score(std::as_const(managed), std::as_const(managed)); },
                                  layerwise::detail::text("a tensor of DLPack ", DLPACK_MAJOR_VERSION),
                                  layerwise::detail::text("one of DLPack ", DLPACK_MAJOR_VERSION + 1, ".0"),
                                  "DLTensor");
}
#endif

}  // namespace
