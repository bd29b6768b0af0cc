#pragma once

#include "tensor_file.hpp"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace layerwise_profile {

/// The order of a rank-3 tensor's axes: [layer][token][dim] or [token][layer][dim].
enum class tensor_layout { layer_major, token_major };

/// What the caller says about the files; empty: as the files say.
struct stack_options {
  std::optional<tensor_layout> layout;  // default: metadata key `layout`, else layer_major
  std::string tensor;                   // the rank-3 tensor's name, or the matrices' common prefix
};

/// The hidden states of one layer within one shard: element (token, dim) is at
/// data + (token * token_stride + dim * dim_stride) * size_of(dtype), not necessarily aligned.
struct layer_matrix {
  const std::byte* data;
  index token_stride;
  index dim_stride;
};

/// A run of tokens with all their layers.
struct token_shard {
  std::string path;  // of its first file
  index tokens;
  std::vector<layer_matrix> states;  // h_0 ... h_L
};

/// The hidden states h_0 ... h_L of all tokens, wherever they lie in the files.
struct layer_stack {
  data_type dtype;
  index states;  // L + 1
  index tokens;
  index dimensions;
  std::vector<token_shard> shards;        // one after the other they hold all tokens
  std::vector<tensor_file> files;         // keep the bytes alive
  std::optional<std::string> final_norm;  // metadata: "before" or "after"
  std::optional<index> sequence_length;   // metadata
  bool layout_was_assumed;                // neither the caller nor the metadata named it

  index layers() const { return states - 1; }

  /// Lets go of the files' pages that were read.
  void release_pages() const noexcept {
    for (const auto& file : files)
      if (file.mapping) file.mapping->release_pages();
  }
};

/// Fits the files together. One rank-3 tensor a file: the files are shards of tokens, in the given order.
/// Matrices, one a layer: files that hold the same names are shards of tokens, files that share no name hold
/// different layers; layers are ordered by name with numbers compared as numbers, .npy matrices as given.
/// Throws input_error.
layer_stack stack_layers(std::vector<tensor_file> files, const stack_options& options = {});

/// Whether `a` comes before `b` when runs of digits are compared as numbers: "h.2" before "h.10".
bool natural_less(std::string_view a, std::string_view b);

}  // namespace layerwise_profile
