#include "metric.hpp"
#include "module.hpp"

#include <layerwise/metrics/canonical_correlations.hpp>
#include <layerwise/metrics/condition_number.hpp>
#include <layerwise/metrics/procrustes.hpp>
#include <layerwise/metrics/pwcca.hpp>
#include <layerwise/metrics/svcca.hpp>

// What needs a singular value decomposition, which takes longest to compile: here and nowhere else.
namespace python_module {
namespace {

template <class F>
void def_svcca(nb::module_& m, const char* name, F f, const char* doc) {
  m.def(
      name,
      [f](const array_argument& x, const array_argument& y, double share, const mask_argument& mask) {
        const one_matrix from(x.value, "x"), to(y.value, "y", from);
        const token_mask keep = mask_of(mask.value, from.leading());
        return compute([&] { return f(from.view, to.view, share, keep); });
      },
      "x"_a.none(), "y"_a.none(), "share"_a = 0.99, nb::kw_only(), "attention_mask"_a = nb::none(), doc);
}

}  // namespace

void bind_decompositions(nb::module_& m) {
  using layerwise::cca_result, layerwise::field, layerwise::singular_spectrum_result;
  bind_result<cca_result>(m, "CcaResult", "Canonical correlations, and what one must know to read them.",
                          field{"correlations", &cca_result::correlations, "rho_1 >= rho_2 >= ..."});
  bind_result<layerwise::pwcca_result>(m, "PwccaResult", "A projection-weighted mean of canonical correlations.");
  bind_result<layerwise::procrustes_result>(m, "ProcrustesResult", "How near an orthogonal map brings X to Y.");
  bind_result<singular_spectrum_result>(
      m, "SingularSpectrumResult", "The singular values of a matrix as it is.",
      field{"singular_values", &singular_spectrum_result::singular_values, "descending, min(n, d) of them"});

  const auto cca = [](const matrix& x, const matrix& y, const token_mask& k) { return layerwise::cca(x, y, k); };
  def_pair(m, "cca", cca, "Canonical correlation analysis (arXiv 1706.05806).");
  def_pair(
      m, "canonical_correlations", [=](const auto&... a) { return cca(a...).correlations; }, "cca(...).correlations");
  def_pair(m, "mean_cca", [=](const auto&... a) { return cca(a...).mean; }, "cca(...).mean");
  const auto weighted = [](const matrix& x, const matrix& y, const token_mask& k) {
    return layerwise::projection_weighted_cca(x, y, k);
  };
  def_pair(m, "projection_weighted_cca", weighted, "Projection-weighted CCA (arXiv 1806.05759).");
  def_pair(m, "pwcca", [=](const auto&... a) { return weighted(a...).score; }, "projection_weighted_cca(...).score");
  const auto singular = [](const matrix& x, const matrix& y, double share, const token_mask& k) {
    return layerwise::singular_vector_cca(x, y, share, k);
  };
  def_svcca(m, "singular_vector_cca", singular, "CCA of as few principal components as have `share` of the variance.");
  def_svcca(m, "svcca", [=](const auto&... a) { return singular(a...).mean; }, "singular_vector_cca(...).mean");
  const auto procrustes = [](const matrix& x, const matrix& y, const token_mask& k) {
    return layerwise::procrustes(x, y, k);
  };
  def_pair(m, "procrustes", procrustes, "Orthogonal Procrustes distances (arXiv 2108.01661).");
  const auto spectrum = [](const matrix& x, const token_mask& k) { return layerwise::singular_spectrum(x, k); };
  def_layer(m, "singular_spectrum", spectrum,
            "The singular values of a matrix as it is, its condition, ranks and norm.");
  const auto condition = [](const matrix& x, const token_mask& k) { return layerwise::condition_number(x, k); };
  def_layer(m, "condition_number", condition, "The first singular value over the last; infinite for lower rank.");
}

}  // namespace python_module
