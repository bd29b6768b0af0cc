// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/detail/row_source.hpp>
#include <layerwise/data/embedding.hpp>
#include <layerwise/data/token_mask.hpp>
#include <layerwise/solve/detail/regression.hpp>
#include <layerwise/solve/detail/solve.hpp>
#include <layerwise/solve/detail/target_rows.hpp>
#include <layerwise/solve/linearity_options.hpp>
#include <layerwise/statistics/cross_moments.hpp>
#include <layerwise/statistics/detail/chain.hpp>
#include <layerwise/statistics/detail/moments_of.hpp>
#include <layerwise/statistics/detail/pair_moments.hpp>
#include <layerwise/statistics/second_moments.hpp>

#include <cmath>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

// What a score, a map and a gradient share: the operands are checked, their moments taken, the regression solved.
namespace layerwise::inline LAYERWISE_ABI::detail {

/// What is known of a pair, and of a target on x.
using pair_regression = std::pair<pair_moments, regression>;

inline bool has_variance(const pair_moments& m) { return m.x.energy.maxCoeff() > least_energy; }

/// Takes an energy from the data where moments do not know it well enough for the tolerance.
inline void sharpen(pair_moments& m, regression_target what, double tolerance, const row_source& data) {
  total_energy& total = m.total(what);
  if (total.relative_error <= 0.25 * tolerance) return;
  const double energy = accurate_energy(m, data, what);
  // Products of such columns underflow: they count as constant, as everywhere.
  total = energy > least_energy ? total_energy{energy, 8.0 * unit_roundoff} : total_energy{0.0, HUGE_VAL};
}

/// What a call is about: a score or a gradient of the output or the update, or the map.
struct regression_call {
  const linearity_options& options;
  regression_target what;
  operand_names names;
  bool solution = false;  ///< whether the map is wanted, too

  regression_request request() const {
    return {options.method, options.tolerance, what == regression_target::output, what == regression_target::update,
            solution};
  }
};

/// What is known of the pair that a chain is of. Of a chain that is an rvalue the matrices are moved.
template <class Chain>
pair_moments extract_pair(Chain&& chain, const regression_call& call, const row_source* data) {
  const auto& [options, what, names, solution] = call;
  check(options);
  if (chain.tokens() == 0) fail<degenerate_input_error>("at least one token", "none", {.operand = names.x});
  if (what == regression_target::update && chain.dimensions(0) != chain.dimensions(1))
    fail<shape_error>(text(chain.dimensions(0), " columns, as in ", names.x), text(chain.dimensions(1)),
                      {.operand = names.y});
  pair_moments m = [&, centering = options.centering] {
    if constexpr (std::is_lvalue_reference_v<Chain>)
      return moments_of(chain, {0, 1}, centering);
    else
      return take_moments(chain, {0, 1}, centering);
  }();
  const std::string variance = options.centering == centering::columns ? "rows that differ" : "an element other than 0";
  if (!has_variance(m)) fail<degenerate_input_error>(variance, "no variance", {.operand = names.x});
  if (data != nullptr) sharpen(m, what, options.tolerance, *data);
  if (const total_energy& total = m.total(what); total.value == 0.0)
    fail<degenerate_input_error>(
        variance, total.relative_error > 0.0 ? "none beyond the rounding of sums" : "no variance",
        {.operand = what == regression_target::output ? text(names.y) : text(names.y, " - ", names.x)});
  return m;
}

/// From rows of d_x and d_y columns, while they are at hand.
inline pair_regression regress_rows(const row_source& data, index d_x, index d_y, const regression_call& call) {
  moment_chain chain({d_x, d_y}, {{0, 1}}, second_moments::input);
  chain.add(data, zero_rows::allowed);
  pair_moments m = extract_pair(std::move(chain), call, &data);
  const regression_request wanted = call.request();
  regression fit = solve(m, wanted, &data);
  if (auto own = solve_for(call.what, m, fit, wanted, &data)) return *std::move(own);
  return {std::move(m), std::move(fit)};
}

template <class X, class Y>
void require_operands(const row_reader<X>& x, const row_reader<Y>& y, const regression_call& call) {
  if (call.what == regression_target::update) require_equal_shape(shape_of(x), shape_of(y), {.operand = call.names.y});
  require_pair(x, y, call.names);
}

/// From matrices.
template <embedding_matrix X, embedding_matrix Y>
pair_regression regress(const X& x, const Y& y, const regression_call& call, const token_mask& mask) {
  const row_reader x_rows(x);
  const row_reader y_rows(y);
  require_operands(x_rows, y_rows, call);
  const std::vector<index> tokens = mask.rows(x_rows.rows());
  return regress_rows(pair_source(x_rows, y_rows, tokens, call.names), x_rows.cols(), y_rows.cols(), call);
}

/// From moments alone.
inline pair_regression regress(const cross_moments& moments, const regression_call& call) {
  pair_moments m = extract_pair(chain_access::of(moments), call, nullptr);
  regression fit = solve(m, call.request());
  return {std::move(m), std::move(fit)};
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
