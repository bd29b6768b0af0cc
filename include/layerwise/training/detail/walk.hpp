// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/data/detail/row_pairs.hpp>
#include <layerwise/data/detail/row_writer.hpp>
#include <layerwise/kernel/lanes.hpp>
#include <layerwise/kernel/parallel.hpp>
#include <layerwise/kernel/scaled_sum.hpp>
#include <layerwise/training/detail/term.hpp>

#include <algorithm>
#include <cstddef>
#include <vector>

// One pass over the data, token by token: all layers of a token before the next. It sums up the terms of a regularizer,
// see term.hpp, and adds their gradients.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// Where a walk goes.
struct walk_plan {
  index origin, last;              ///< the layers h_origin ... h_last
  std::vector<index> tokens;       ///< not empty
  bool before_pulls, after_pulls;  ///< whether h_{l-1}, and h_{l+1}, count in the gradient with respect to h_l
};

/// The walk of one thread. Readers and writers: one per layer, by l; no writers where no gradients are asked for.
template <class Readers, class Writers, class Term>
class token_walk {
 public:
  token_walk(const Readers& readers, const Writers& writers, const walk_plan& plan, const Term& term)
      : readers_(readers), writers_(writers), plan_(plan), term_(term) {}

  /// The terms of all layers of tokens[first ... first + count).
  scaled_sum visit(index first, index count) {
    scaled_sum sum;
    for (index i = first; i < first + count; ++i) {
      move_to(i);
      for (index l = plan_.origin; l <= plan_.last; ++l) {
        sum.add(enter(l));
        if (!writers_.empty() && l > plan_.origin) add_gradient(l - 1);
      }
      if (!writers_.empty()) add_gradient(plan_.last);
    }
    return sum;
  }

 private:
  void move_to(index i) {
    const index final = static_cast<index>(plan_.tokens.size()) - 1;
    token_ = at(plan_.tokens, i);
    next_ = at(plan_.tokens, (std::min)(i + 2, final));
  }

  scaled_sum enter(index l) {
    double *const before = row(l - 1), *const here = row(l);
    const row_sums sums = read_row(at(readers_, l), token_, next_, before, here);
    return term_.enter(l, before, here, sums, dimensions_, token_);
  }

  void add_gradient(index l) {
    const auto add = [&](const auto& values) { add_to_row(at(writers_, l), token_, next_, values); };
    const neighbouring_rows rows{plan_.before_pulls ? row(l - 1) : nullptr, row(l),
                                 plan_.after_pulls ? row(l + 1) : nullptr};
    if (term_.gradient(l, rows, add)) return;
    double* const values = &rows_(3, 0);
    term_.careful_gradient(l, rows, dimensions_, values, {.operand = "gradients", .layer = l, .row = token_});
    add([values](const auto& at) { return at(values); });
  }

  /// The token's row in layer l, one of the last three that were entered. Null for a layer that takes no part.
  double* row(index l) { return l < plan_.origin || l > plan_.last ? nullptr : &rows_(l % 3, 0); }

  const Readers& readers_;
  const Writers& writers_;
  const walk_plan& plan_;
  Term term_;
  index token_ = 0, next_ = 0;  // `next_` is the one after the next: to be fetched from memory
  index dimensions_ = readers_.front().cols();
  row_block rows_ = row_block::Zero(4, dimensions_ + lanes);  // whole blocks; of three layers, and a gradient
};

/// The sum of the terms over all tokens. Tokens are shared out in fixed chunks whose sums are added in order, so the
/// result does not depend on the number of threads.
template <class Readers, class Writers, class Term>
scaled_sum walk_tokens(const Readers& readers, const Writers& writers, const walk_plan& plan, const Term& term) {
  const index count = static_cast<index>(plan.tokens.size()), chunk = 16;
  std::vector<scaled_sum> sums(static_cast<std::size_t>((count + chunk - 1) / chunk));
  parallel_chunks(count, chunk, [&](index first, index length) {
    at(sums, first / chunk) = token_walk<Readers, Writers, Term>(readers, writers, plan, term).visit(first, length);
  });
  scaled_sum total;
  for (const scaled_sum& sum : sums) total.add(sum);
  return total;
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
