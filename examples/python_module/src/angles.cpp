#include "metric.hpp"
#include "module.hpp"

#include <layerwise/metrics/angular_distance.hpp>
#include <layerwise/metrics/block_influence.hpp>
#include <layerwise/metrics/collapse_indices.hpp>
#include <layerwise/metrics/contribution_ratio.hpp>
#include <layerwise/metrics/cosine_similarity.hpp>
#include <layerwise/metrics/displacement.hpp>
#include <layerwise/metrics/jump_rate.hpp>
#include <layerwise/metrics/residual_update.hpp>

#include <optional>
#include <vector>

// What a layer does to each token's row.
namespace python_module {

void bind_angles(nb::module_& m) {
  const auto cosine = [](const matrix& x, const matrix& y) { return layerwise::cosine_similarity(x, y); };
  def_rows(m, "cosine_similarity", cosine, "cos(h_{l-1}, h_l) of each token.");
  const auto displacement = [](const matrix& x, const matrix& y) { return layerwise::displacement(x, y); };
  def_rows(m, "displacement", displacement, "(1 - cos(h_{l-1}, h_l)) / 2 of each token, right near 0, too.");
  const auto angle = [](const matrix& x, const matrix& y) { return layerwise::angular_distance(x, y); };
  def_rows(m, "angular_distance", angle, "The angle between h_{l-1} and h_l over pi, of each token.");
  const auto contribution = [](const matrix& x, const matrix& y) { return layerwise::contribution_ratio(x, y); };
  def_rows(m, "contribution_ratio", contribution, "||h_l - h_{l-1}|| / ||h_l|| of each token.");
  const auto frobenius = [](const matrix& x, const matrix& y) { return layerwise::contribution_ratio_frobenius(x, y); };
  def_rows(m, "contribution_ratio_frobenius", frobenius, "||h_l - h_{l-1}||_F / ||h_l||_F of whole matrices.");
  const auto update = [](const matrix& x, const matrix& y) { return layerwise::residual_update(x, y); };
  def_rows(m, "residual_update", update, "h_l - h_{l-1} in float64.");
  m.def(
      "block_influence",
      [](const array_argument& before, const array_argument& after, const mask_argument& mask) {
        const one_matrix x(before.value, "before"), y(after.value, "after", x);
        const token_mask keep = mask_of(mask.value, x.leading());
        return compute([&] { return layerwise::block_influence(x.view, y.view, keep); });
      },
      "before"_a.none(), "after"_a.none(), nb::kw_only(), "attention_mask"_a = nb::none(),
      "1 - mean cos(h_{l-1}, h_l), ShortGPT's block influence.");
  m.def(
      "jump_rate",
      [](const std::vector<double>& displacements, std::optional<index> l) {
        return l ? layerwise::jump_rate(displacements, *l) : layerwise::jump_rate(displacements);
      },
      "displacements"_a, "l"_a = nb::none(),
      "100 sum over k >= l of max(0, Psi_k - Psi_{k-1}), for Psi_1 ... Psi_L and l = 2..L; without l the final jump.");
  m.def(
      "jump_rates", [](const std::vector<double>& displacements) { return layerwise::jump_rates(displacements); },
      "displacements"_a, "jump_rate(displacements, l) of l = 2..L.");
  m.def(
      "collapse_indices",
      [](const std::vector<double>& displacements) { return layerwise::collapse_indices(displacements); },
      "displacements"_a, "4 l Psi_l of l = 1..L: 1 where a layer turns its input as independent updates would.");
}

}  // namespace python_module
