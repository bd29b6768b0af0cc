#include "all_pairs.hpp"

#include "walk.hpp"

#include <layerwise/metrics.hpp>

#include <limits>

namespace examples::layerwise_profile {
namespace {

/// layerwise::cka_matrix() of what is defined: that one refuses all for one layer without variance.
Eigen::MatrixXd cka_of_all(const layerwise::stack_moments& moments) {
  const index layers = moments.layers();
  Eigen::MatrixXd cka = Eigen::MatrixXd::Constant(layers, layers, std::numeric_limits<double>::quiet_NaN());
  for (const auto [from, to] : moments.pairs().of(layers)) try {
      cka(from, to) = cka(to, from) = layerwise::linear_cka(moments.pair(from, to));
      cka(from, from) = cka(to, to) = 1;
    } catch (const layerwise::degenerate_input_error&) {
    }
  return cka;
}

}  // namespace

Eigen::MatrixXd angular_distances(const layer_stack& stack, const pass_options& pass) {
  report::progress_bar progress(stack.tokens, "tokens, angles");
  Eigen::MatrixXd sum = Eigen::MatrixXd::Zero(stack.states, stack.states);
  double tokens = 0;
  token_walk{stack, stack, 0, pass.batch_tokens, progress}.each([&](const auto& states, const auto& mask) {
    const auto count = static_cast<double>(mask.rows(states.front().rows()).size());
    sum += count * layerwise::angular_distance_matrix(states, mask);
    tokens += count;
  });
  return sum / tokens;
}

Eigen::MatrixXd linear_cka_matrix(const layer_stack& stack, const pass_options& pass) {
  report::progress_bar progress(stack.tokens, "tokens, all pairs of layers");
  layerwise::stack_moments moments(layerwise::layer_pairs::all());
  token_walk{stack, stack, 0, pass.batch_tokens, progress}.each(
      [&](const auto& states, const auto& mask) { moments.add(states, mask); });
  return cka_of_all(moments);
}

}  // namespace examples::layerwise_profile
