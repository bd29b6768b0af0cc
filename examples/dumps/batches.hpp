#pragma once

#include "dumps/layer_stack.hpp"

#include <layerwise/data.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace examples::dumps {

/// The hidden states of some consecutive tokens as a range of views, one a layer, for the library to read.
///
/// The views refer to the file's own bytes. Only where those are not aligned for Scalar (neither format
/// promises it) the batch is copied here first, since a misaligned pointer may not be read through.
template <class Scalar>
class batch {
 public:
  batch(const token_shard& shard, index dimensions, index first_token, index tokens) {
    if (!is_aligned(shard)) copies_.reserve(shard.states.size());
    for (const auto& state : shard.states) {
      const auto* data = state.data + first_token * state.token_stride * item_size;
      if (is_aligned(shard))
        views_.emplace_back(reinterpret_cast<const Scalar*>(data), tokens, dimensions, state.token_stride,
                            state.dim_stride);
      else
        views_.emplace_back(copy(state, data, tokens, dimensions), tokens, dimensions);
    }
  }

  const std::vector<layerwise::strided_view<const Scalar>>& states() const { return views_; }

 private:
  static constexpr auto item_size = static_cast<index>(sizeof(Scalar));

  static bool is_aligned(const token_shard& shard) {
    return std::ranges::all_of(shard.states, [](const auto& state) {
      return reinterpret_cast<std::uintptr_t>(state.data) % alignof(Scalar) == 0;
    });
  }

  const Scalar* copy(const layer_matrix& state, const std::byte* data, index tokens, index dimensions) {
    auto& target = copies_.emplace_back(static_cast<std::size_t>(tokens * dimensions));
    auto* to = target.data();
    for (index token = 0; token < tokens; ++token)
      for (index dim = 0; dim < dimensions; ++dim)
        std::memcpy(to++, data + (token * state.token_stride + dim * state.dim_stride) * item_size, sizeof(Scalar));
    return target.data();
  }

  std::vector<std::vector<Scalar>> copies_;
  std::vector<layerwise::strided_view<const Scalar>> views_;
};

}  // namespace examples::dumps
