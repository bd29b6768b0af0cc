#include "residual_stream.hpp"

#include "common/input_error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace examples::layerwise_llama {
namespace {

constexpr std::string_view block_output = "l_out-";

bool same_shape(const ggml_tensor& a, const ggml_tensor& b) { return ggml_are_same_shape(&a, &b); }

bool is_of_first_block(std::string_view name) { return name.ends_with("-0"); }

bool is_norm(ggml_op op) { return op == GGML_OP_NORM || op == GGML_OP_RMS_NORM; }

std::string description(const ggml_tensor& node) {
  return fmt::format("{} of {} x {} x {} x {}", ggml_type_name(node.type), node.ne[0], node.ne[1], node.ne[2],
                     node.ne[3]);
}

}  // namespace

bool is_state(const ggml_tensor& node, index dimensions, index rows) {
  return node.type == GGML_TYPE_F32 && node.ne[0] == dimensions && node.ne[1] == rows && node.ne[2] == 1 &&
         node.ne[3] == 1 && node.nb[0] == sizeof(float);
}

void graph_scout::see(const ggml_tensor& node) {
  places_.emplace(&node, nodes_.size());
  nodes_.push_back({&node, node.name, node});
}

const graph_scout::seen_node* graph_scout::find(const ggml_tensor* address) const {
  const auto found = places_.find(address);
  return found == places_.end() ? nullptr : &nodes_[found->second];
}

/// Of the two operands of a sum the stream is the one that was there first, for what a block adds is made of it.
const graph_scout::seen_node* graph_scout::earlier_operand(const seen_node& sum) const {
  const seen_node* earlier = nullptr;
  for (const auto* operand : {sum.copy.src[0], sum.copy.src[1]}) {
    const auto* candidate = find(operand);
    if (candidate == nullptr || !same_shape(candidate->copy, sum.copy)) continue;
    if (earlier == nullptr || places_.at(candidate->address) < places_.at(earlier->address)) earlier = candidate;
  }
  return earlier;
}

const graph_scout::seen_node* graph_scout::input_of_first_block(const seen_node& output) const {
  std::vector<const ggml_tensor*> path;
  for (const auto* at = &output; at != nullptr;) {
    // The rows of the last block, which may be the first, are chosen before they are added.
    at = at->copy.op == GGML_OP_ADD        ? earlier_operand(*at)
         : at->copy.op == GGML_OP_GET_ROWS ? find(at->copy.src[0])
                                           : nullptr;
    if (at != nullptr) path.push_back(at->address);
  }
  for (const auto& each : nodes_)
    if (is_norm(each.copy.op) && is_of_first_block(each.name) &&
        std::ranges::find(path, each.copy.src[0]) != path.end())
      return find(each.copy.src[0]);
  return nullptr;
}

/// Where the way back to the block's beginning is broken off, as by a copy between devices, h_0 would be found too late.
void graph_scout::require_first(const seen_node& input, const language_model& model) const {
  for (std::size_t i = 0; i < places_.at(input.address); ++i)
    if (const auto& node = nodes_[i]; node.copy.op == GGML_OP_MUL_MAT && is_of_first_block(node.name))
      reject(model.path(), "the graph of {} does not tell h_0: {} would be, but {} of block 0 comes before it",
             in_quotes(model.architecture()), in_quotes(input.name), in_quotes(node.name));
}

/// l_out-0, l_out-1 ..., each of which there must be once.
std::vector<const graph_scout::seen_node*> graph_scout::outputs_of_blocks(const language_model& model) const {
  std::vector<const seen_node*> found;
  for (const auto& each : nodes_)
    if (each.name.starts_with(block_output)) found.push_back(&each);
  if (found.empty())
    reject(model.path(), "the graph of {} names no residual stream: expected nodes l_out-0, l_out-1 ..., got none",
           in_quotes(model.architecture()));
  for (std::size_t l = 0; l < found.size(); ++l)
    if (found[l]->name != fmt::format("{}{}", block_output, l)) {
      std::vector<std::string> names;
      for (const auto* each : found) names.push_back(each->name);
      reject(model.path(), "the graph of {} names no residual stream: expected l_out-0, l_out-1 ... once each, got {}",
             in_quotes(model.architecture()), shortened(fmt::format("{}", fmt::join(names, ", ")), 200));
    }
  return found;
}

residual_stream graph_scout::stream(const language_model& model, index rows) const {
  auto states = outputs_of_blocks(model);
  const auto* input = input_of_first_block(*states.front());
  if (input == nullptr)
    reject(
        model.path(),
        "the graph of {} does not tell h_0: expected a norm of block 0 that reads what l_out-0 is a sum of, got none",
        in_quotes(model.architecture()));
  require_first(*input, model);
  states.insert(states.begin(), input);

  residual_stream stream{{}, input->copy.ne[0]};
  for (const auto* state : states) {
    if (!is_state(state->copy, stream.dimensions, rows))
      reject(model.path(), "the graph of {}: expected F32 of {} x {} for node {}, got {}",
             in_quotes(model.architecture()), stream.dimensions, rows, state->name, description(state->copy));
    if (std::ranges::count(nodes_, state->name, &seen_node::name) != 1)
      reject(model.path(), "the graph of {}: expected one node {}, got {}", in_quotes(model.architecture()),
             state->name, std::ranges::count(nodes_, state->name, &seen_node::name));
    stream.nodes.push_back(state->name);
  }
  return stream;
}

}  // namespace examples::layerwise_llama
