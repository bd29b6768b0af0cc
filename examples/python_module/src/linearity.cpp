#include "metric.hpp"
#include "module.hpp"

#include <layerwise/metrics/linear_predictivity.hpp>
#include <layerwise/metrics/linearity.hpp>
#include <layerwise/metrics/ridge_linearity.hpp>
#include <layerwise/solve/linear_map.hpp>

// Least squares from one layer to another.
namespace python_module {
namespace {

using layerwise::linearity_options;

/// f(x, y, options, mask), with the names of the two as they are.
template <class F>
void def_regression(nb::module_& m, const char* name, const char* first, const char* second, F f, const char* doc) {
  m.def(
      name,
      [=](const array_argument& x, const array_argument& y, const std::string& centering, const std::string& method,
          double tolerance, const mask_argument& mask) {
        const linearity_options options = linearity_options_of(centering, method, tolerance);
        const one_matrix from(x.value, first), to(y.value, second, from);
        const token_mask keep = mask_of(mask.value, from.leading());
        return compute([&] { return f(from.view, to.view, options, keep); });
      },
      nb::arg(first).none(), nb::arg(second).none(), nb::kw_only(), "centering"_a = "columns", "method"_a = "automatic",
      "tolerance"_a = linearity_options().tolerance, "attention_mask"_a = nb::none(), doc);
}

void bind_map(nb::module_& m) {
  nb::class_<layerwise::linear_map>(m, "LinearMap", "Y ~ X weight + bias.")
      .def_prop_ro(
          "weight", [](const layerwise::linear_map& map) { return map.weight; }, "d_x x d_y")
      .def_prop_ro(
          "bias", [](const layerwise::linear_map& map) { return Eigen::VectorXd(map.bias.transpose()); },
          "d_y; zeros without centring")
      .def(
          "__call__",
          [](const layerwise::linear_map& map, const array_argument& x) {
            const one_matrix layer(x.value, "x");
            return compute([&] { return map(layer.view); });
          },
          "x"_a.none(), "x weight + bias, n_tokens x d_y in float64.");
  const auto fit = [](const matrix& x, const matrix& y, const linearity_options& options, const token_mask& mask) {
    return layerwise::fit_linear_map(x, y, options, mask);
  };
  def_regression(m, "fit_linear_map", "x", "y", fit, "The map of linearity(), in the data's own coordinates.");
}

}  // namespace

void bind_linearity(nb::module_& m) {
  bind_result<layerwise::linearity_result>(m, "LinearityResult", "A linearity, and what one must know to read it.");
  bind_result<layerwise::predictivity_result>(m, "PredictivityResult", "Linearities both ways.");
  bind_result<layerwise::ridge_result>(m, "RidgeResult", "A linearity with a ridge.");

  const auto linearity = [](const matrix& x, const matrix& y, const linearity_options& options,
                            const token_mask& mask) { return layerwise::linearity(x, y, options, mask); };
  def_regression(m, "linearity", "x", "y", linearity,
                 "The share of Y's variance that the best affine map of X explains (arXiv 2405.12250), with a bound on "
                 "its rounding error, the score of independent data, and more.");
  const auto score = [=](const auto&... arguments) { return linearity(arguments...).score; };
  def_regression(m, "linearity_score", "x", "y", score, "linearity(...).score");
  const auto residual = [](const matrix& x, const matrix& y, const linearity_options& options, const token_mask& mask) {
    return layerwise::residual_linearity(x, y, options, mask);
  };
  def_regression(m, "residual_linearity", "before", "after", residual,
                 "The linearity of what a layer adds to the residual stream, s(h_{l-1}, h_l - h_{l-1}).");
  const auto residual_score = [=](const auto&... arguments) { return residual(arguments...).score; };
  def_regression(m, "residual_linearity_score", "before", "after", residual_score, "residual_linearity(...).score");
  const auto both = [](const matrix& x, const matrix& y, const linearity_options& options, const token_mask& mask) {
    return layerwise::linear_predictivity(x, y, options, mask);
  };
  def_regression(m, "linear_predictivity", "x", "y", both, "The linearity of Y from X, and of X from Y.");
  m.def(
      "ridge_linearity",
      [](const array_argument& x, const array_argument& y, double lambda, const mask_argument& mask) {
        const one_matrix from(x.value, "x"), to(y.value, "y", from);
        const token_mask keep = mask_of(mask.value, from.leading());
        return compute([&] { return layerwise::ridge_linearity(from.view, to.view, lambda, keep); });
      },
      "x"_a.none(), "y"_a.none(), "lambda_"_a, nb::kw_only(), "attention_mask"_a = nb::none(),
      "The share of Y's variance that ridge regression on X explains, lambda in mean eigenvalues of X's covariance.");
  bind_map(m);
}

}  // namespace python_module
