#include "weights.hpp"

#include "common/input_error.hpp"
#include "common/write_file.hpp"

#include <torch/serialize.h>

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <utility>
#include <vector>

namespace pretraining {
namespace {

using named_tensors = std::vector<std::pair<std::string, at::Tensor>>;

/// The weights under the names of the file, W_q, W_k and W_v apart.
named_tensors file_tensors(const decoder& model) {
  const auto parameters = model.named_parameters();
  named_tensors out{{"embedding", parameters["embedding"]}};
  for (std::int64_t l = 0; l < model.shape().layers; ++l) {
    const auto part = [&](const char* name) { return parameters[fmt::format("layers_{}_{}", l, name)]; };
    const auto add = [&](const char* name, const at::Tensor& t) {
      out.emplace_back(fmt::format("layers.{}.{}", l, name), t);
    };
    const auto qkv = part("attention_qkv").chunk(3), gate_up = part("feed_gate_up").chunk(2);
    add("attention.norm", part("attention_norm"));
    add("attention.q", qkv[0]);
    add("attention.k", qkv[1]);
    add("attention.v", qkv[2]);
    add("attention.output", part("attention_output"));
    add("feed_forward.norm", part("feed_norm"));
    add("feed_forward.gate", gate_up[0]);
    add("feed_forward.up", gate_up[1]);
    add("feed_forward.down", part("feed_down"));
  }
  out.emplace_back("norm", parameters["final_norm"]);
  return out;
}

constexpr std::array<std::pair<const char*, std::int64_t model_shape::*>, 4> shape_fields{
    {{"layers", &model_shape::layers},
     {"width", &model_shape::width},
     {"heads", &model_shape::heads},
     {"hidden", &model_shape::hidden}}};

}  // namespace

void write_safetensors(const decoder& model, const std::string& path, std::map<std::string, std::string> metadata) {
  const at::NoGradGuard no_gradients;
  for (const auto& [name, member] : shape_fields) metadata[name] = fmt::format("{}", model.shape().*member);
  metadata["vocabulary"] = fmt::format("{}", model_shape::vocabulary);
  metadata["norm_epsilon"] = fmt::format("{}", model_shape::norm_epsilon);
  metadata["rotary_base"] = fmt::format("{}", model_shape::rotary_base);

  nlohmann::ordered_json header{{"__metadata__", metadata}};
  std::string values;
  for (const auto& [name, tensor] : file_tensors(model)) {
    const at::Tensor stored = tensor.to(at::kHalf).contiguous();
    if (!at::isfinite(stored).all().item<bool>())
      throw std::runtime_error(fmt::format("{}: {} is not finite in 16 bits", path, name));
    const std::size_t begin = values.size();
    values.append(static_cast<const char*>(stored.data_ptr()), stored.nbytes());
    header[name] = {{"dtype", "F16"}, {"shape", stored.sizes().vec()}, {"data_offsets", {begin, values.size()}}};
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // so that the values can be mapped
  std::string length;
  for (int byte = 0; byte < 8; ++byte) length += static_cast<char>(text.size() >> (8 * byte) & 0xff);
  examples::write_file(path, length + text + values);
}

void save_checkpoint(const decoder& model, const std::string& path) {
  torch::serialize::OutputArchive archive;
  for (const auto& [name, member] : shape_fields) archive.write(name, c10::IValue(model.shape().*member));
  torch::serialize::OutputArchive weights;
  model.save(weights);
  archive.write("weights", weights);
  try {
    archive.save_to(path);
  } catch (const c10::Error& error) {
    throw std::runtime_error(fmt::format("{}: can't be written: {}", path, error.what_without_backtrace()));
  }
}

std::shared_ptr<decoder> load_checkpoint(const std::string& path) {
  try {
    torch::serialize::InputArchive archive, weights;
    archive.load_from(path);
    model_shape shape;
    for (const auto& [name, member] : shape_fields) {
      c10::IValue value;
      archive.read(name, value);
      shape.*member = value.toInt();
    }
    archive.read("weights", weights);
    auto model = std::make_shared<decoder>(shape);
    model->load(weights);
    return model;
  } catch (const c10::Error& error) {
    examples::reject(path, "expected a checkpoint of this program, got: {}", error.what_without_backtrace());
  }
}

}  // namespace pretraining
