#include "measurement/all_pairs.hpp"

#include <layerwise/metrics.hpp>

#include <limits>
#include <variant>

namespace examples::measurement {
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

Eigen::MatrixXd angular_distances(const state_source& source) {
  const auto& stack = source.stack();
  report::progress_bar progress(stack.tokens, "tokens, angles");
  Eigen::MatrixXd sum = Eigen::MatrixXd::Zero(stack.states, stack.states);
  double tokens = 0;
  source.each_batch(states_from(0, stack.layers()), progress, [&](const auto& states, const auto& mask) {
    const index rows = std::visit([](const auto& view) { return view.rows(); }, states.front());
    const auto count = static_cast<double>(mask.rows(rows).size());
    sum += count * layerwise::angular_distance_matrix(states, mask);
    tokens += count;
  });
  return sum / tokens;
}

Eigen::MatrixXd linear_cka_matrix(const state_source& source) {
  const auto& stack = source.stack();
  report::progress_bar progress(stack.tokens, "tokens, all pairs of layers");
  layerwise::stack_moments moments(layerwise::layer_pairs::all());
  source.each_batch(states_from(0, stack.layers()), progress,
                    [&](const auto& states, const auto& mask) { moments.add(states, mask); });
  return cka_of_all(moments);
}

}  // namespace examples::measurement
