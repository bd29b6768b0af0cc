#pragma once

#include "common/reading.hpp"
#include "dumps/axes.hpp"
#include "dumps/tensor_file.hpp"

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace examples::dumps {

/// How layers are ordered where their names say it only by numbers, or not at all.
enum class order_rule {
  by_name,   // as text, runs of digits as numbers
  as_given,  // as they lie in their file, files as on the command line
};

/// What the caller says about the files; empty: as the files say.
struct stack_options {
  std::optional<axis_order> layout;  // default: metadata key `layout`, else as axes.hpp tells
  std::string tensor;                // the stack's name, or the layers' common prefix
  std::vector<std::string> tensors;  // the layers' names in order, * for anything
  std::optional<order_rule> order;   // default: by what names mean
  std::vector<index> numbers;        // of the states, where they are some of a model's
  bool final_norm_is_known = false;  // what the metadata say of it is not looked at
  bool sequences_are_known = false;  // nor what they say of these
  std::string mask;                  // the name of a mask beside the states, or "none"
  std::shared_ptr<const tensor_file> mask_file;
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
  std::vector<index> sequences;      // lengths that add up to `tokens`; empty: not known
  std::vector<bool> keep;            // the tokens that take part; empty: all
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
  std::vector<index> numbers;             // of the states in their model; 0 ... L where nothing else is known
  examples::reading reading;

  index layers() const { return states - 1; }

  /// Lets go of the files' pages that were read.
  void release_pages() const noexcept {
    for (const auto& file : files)
      if (file.mapping) file.mapping->release_pages();
  }
};

/// Fits the files together.
///
/// One tensor of three or four dimensions a file is a stack of layers, its axes read as axes.hpp says, and the files
/// are shards of tokens, in the given order. Matrices, or [batch][token][dim] tensors, one a layer: files that hold the
/// same names are shards of tokens, files that share no name hold different layers, and so do files of one layer each,
/// whose names are then the layers'. Layers are ordered by what names mean (layer_names.hpp), or as the options say.
///
/// What the files leave open is refused with the option that says it. Throws input_error.
layer_stack stack_layers(std::vector<tensor_file> files, const stack_options& options = {});

}  // namespace examples::dumps
