#include "metric.hpp"
#include "module.hpp"

#include <layerwise/metrics/angular_distance_matrix.hpp>
#include <layerwise/metrics/cka_matrix.hpp>
#include <layerwise/metrics/norm_growth.hpp>
#include <layerwise/metrics/path_efficiency.hpp>

// All layers of a stack.
namespace python_module {

void bind_stacks(nb::module_& m) {
  using layerwise::cka_matrix_result, layerwise::field;
  using layers = std::vector<matrix>;
  bind_result<layerwise::layer_block>(m, "LayerBlock", "Layers start + 1 ... start + layers.");
  bind_result<cka_matrix_result>(m, "CkaMatrixResult", "The linear CKAs of all pairs of layers.",
                                 field{"scores", &cka_matrix_result::scores, "(L + 1) x (L + 1)"});
  bind_result<layerwise::norm_growth_result>(m, "NormGrowthResult", "The norms of one h_l, and what theory expects.");

  const auto angles = [](const layers& h, const token_mask& k) { return layerwise::angular_distance_matrix(h, k); };
  def_stack(m, "angular_distance_matrix", angles, "Mean angular distance of all pairs of layers (arXiv 2403.17887).");
  m.def(
      "best_block",
      [](const array_argument& distances, index count) {
        const one_matrix opened(distances.value, "distances");
        const layerwise::detail::row_reader reader(opened.view);
        Eigen::MatrixXd square(reader.rows(), reader.cols());
        layerwise::row_matrix row(1, reader.cols());
        for (index l = 0; l < reader.rows(); ++l) reader.read(l, row.data()), square.row(l) = row;
        return layerwise::best_block(square, count);
      },
      "distances"_a.none(), "layers"_a, "The block of `layers` layers whose removal turns the tokens' vectors least.");
  const auto cka = [](const layers& h, const token_mask& k) { return layerwise::cka_matrix(h, k); };
  def_stack(m, "cka_matrix", cka, "Linear CKA of all pairs of layers (arXiv 1905.00414).");
  const auto debiased = [](const layers& h, const token_mask& k) { return layerwise::debiased_cka_matrix(h, k); };
  def_stack(m, "debiased_cka_matrix", debiased, "The same without bias.");
  const auto efficiency = [](const layers& h, const token_mask& k) { return layerwise::path_efficiency(h, k); };
  def_stack(m, "path_efficiency", efficiency, "angle(h_0, h_L) over the sum of the layers' angles, mean over tokens.");
  m.def(
      "norm_growth",
      [](const states_argument& hidden_states, double tolerance, const mask_argument& mask) {
        const states stack(hidden_states.value);
        const token_mask keep = mask_of(mask.value, stack.leading());
        return compute([&] { return layerwise::norm_growth(stack.layers, {.tolerance = tolerance}, keep); });
      },
      "hidden_states"_a.none(), nb::kw_only(), "tolerance"_a = layerwise::norm_growth_options().tolerance,
      "attention_mask"_a = nb::none(),
      "E ||h_l||^2 / d of every layer, beside Pre-LN's and Post-LN's at initialization.");
}

}  // namespace python_module
