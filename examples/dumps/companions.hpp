#pragma once

#include "dumps/tensor_file.hpp"

#include <optional>
#include <string>
#include <vector>

namespace examples::dumps {

/// What stands beside the hidden states of a file and tells which of their tokens are which.
struct companions {
  struct counted {
    std::string name;
    std::vector<index> shape;   // without dimensions of 1 in front: [token] or [batch][token]
    bool one_sequence = false;  // it was [1][token]
  };
  std::optional<counted> ids;               // token_ids, input_ids
  std::optional<counted> mask;              // attention_mask, or what --mask names
  std::vector<bool> keep;                   // the mask's elements
  std::optional<std::string> lengths_name;  // sequence_lengths, cu_seqlens, ...
  std::vector<index> lengths;
  std::vector<counted> candidates;  // tensors that may be a mask, if they have an element for each token
  bool is_of_vllm = false;          // hidden_states and token_ids, and no metadata

  bool tell_tokens() const { return ids || mask || lengths_name; }
  std::string who_tells() const;     // the first one's name
  std::string lengths_text() const;  // "4", "2 x 8"

  /// Whether `batch` sequences of `tokens` each are what all of them count. A batch that is not an axis of its own may
  /// be cut out of the tokens.
  bool fit(index batch, index tokens, bool has_batch_axis) const;
};

/// What the user says of the mask: the name of a tensor beside the states, `none` for no mask, or nothing.
struct mask_choice {
  std::string name;
  const tensor_file* file = nullptr;  // a mask in a file of its own
};

/// Looks for them in a file. Throws input_error for a mask with other values than 0 and 1, for one that is not there,
/// and for a tensor that is called a mask but whose ones may mean either.
companions find_companions(const tensor_file& file, const mask_choice& choice);

/// Whether the name is that of one of them: files of integers in a list of .npy files.
bool is_companion(std::string_view name);

}  // namespace examples::dumps
