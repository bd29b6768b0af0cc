#pragma once

#include "dumps/layer_stack.hpp"
#include "dumps/with_scalar.hpp"

#include <Eigen/Core>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

namespace examples::dumps {

/// One layer's hidden states over all shards as one tokens x dimensions matrix expression, for the library to
/// read row by row when it wants the data of a pair of layers a second time. Any alignment, any strides, and
/// like the batches it lets go of the pages behind it. The stack must outlive it.
class whole_layer {
 public:
  whole_layer(const layer_stack& stack, index layer)
      : stack_(&stack), layer_(static_cast<std::size_t>(layer)), item_size_(static_cast<index>(size_of(stack.dtype))) {
    for (index end = 0; const auto& shard : stack.shards) ends_.push_back(end += shard.tokens);
    load_ = with_scalar(stack.dtype, [](auto scalar) { return &load<decltype(scalar)>; });
  }

  double operator()(index token, index dim) const {
    if (dim == 0 && token % rows_to_keep == 0) stack_->release_pages();
    const auto shard = static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), token) - ends_.begin());
    const auto& state = stack_->shards[shard].states[layer_];
    const index row = token - (shard == 0 ? 0 : ends_[shard - 1]);
    return load_(state.data + (row * state.token_stride + dim * state.dim_stride) * item_size_);
  }

  auto matrix() const { return Eigen::MatrixXd::NullaryExpr(stack_->tokens, stack_->dimensions, *this); }

 private:
  static constexpr index rows_to_keep = 4096;

  template <class Scalar>
  static double load(const std::byte* from) {
    Scalar element;
    std::memcpy(&element, from, sizeof element);
    return static_cast<double>(element);
  }

  const layer_stack* stack_;
  std::size_t layer_;
  index item_size_;
  std::vector<index> ends_;  // of the shards, in tokens
  double (*load_)(const std::byte*);
};

}  // namespace examples::dumps
