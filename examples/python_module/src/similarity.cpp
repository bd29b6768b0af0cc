#include "metric.hpp"
#include "module.hpp"

#include <layerwise/metrics/debiased_linear_cka.hpp>
#include <layerwise/metrics/fast_weight.hpp>
#include <layerwise/metrics/linear_cka.hpp>
#include <layerwise/metrics/mutual_knn.hpp>
#include <layerwise/metrics/representational_similarity.hpp>

// Two layers, or two models on the same tokens, without a decomposition.
namespace python_module {

void bind_similarity(nb::module_& m) {
  bind_result<layerwise::cka_result>(m, "CkaResult", "A linear CKA, and how far rounding can have moved it.");
  bind_result<layerwise::rsa_result>(m, "RsaResult", "A representational similarity.");
  bind_result<layerwise::fast_weight_result>(m, "FastWeightResult", "A fast weight score.");

  using layerwise::token_mask;
  const auto cka = [](const matrix& x, const matrix& y, const token_mask& k) { return layerwise::cka(x, y, k); };
  def_pair(m, "cka", cka, "Linear CKA (arXiv 1905.00414) with its error bound; biased where tokens are few.");
  def_pair(m, "linear_cka", [=](const auto&... a) { return cka(a...).score; }, "cka(...).score");
  const auto debiased = [](const matrix& x, const matrix& y, const token_mask& k) {
    return layerwise::debiased_cka(x, y, k);
  };
  def_pair(m, "debiased_cka", debiased, "Linear CKA by the unbiased estimator of HSIC (arXiv 2010.15327), exact.");
  def_pair(m, "debiased_linear_cka", [=](const auto&... a) { return debiased(a...).score; }, "debiased_cka(...).score");
  const auto rsa = [](const matrix& x, const matrix& y, const token_mask& k) { return layerwise::rsa(x, y, k); };
  def_pair(m, "rsa", rsa, "Correlation of the squared distances of all pairs of tokens, exact.");
  def_pair(m, "representational_similarity", [=](const auto&... a) { return rsa(a...).score; }, "rsa(...).score");
  const auto fast = [](const matrix& x, const matrix& y, const token_mask& k) {
    return layerwise::fast_weight(x, y, k);
  };
  def_pair(m, "fast_weight", fast, "How well Y^T X maps X to Y at its best scale (arXiv 2102.11174).");
  def_pair(m, "fast_weight_score", [=](const auto&... a) { return fast(a...).score; }, "fast_weight(...).score");
  const auto map = [](const matrix& x, const matrix& y, const token_mask& k) {
    return layerwise::fast_weight_map(x, y, k);
  };
  def_pair(m, "fast_weight_map", map, "Y^T X, d_y x d_x.");
  m.def(
      "delta_rule_map",
      [](const array_argument& x, const array_argument& y, double beta, const mask_argument& mask) {
        const one_matrix from(x.value, "x"), to(y.value, "y", from);
        const token_mask keep = mask_of(mask.value, from.leading());
        return compute([&] { return layerwise::delta_rule_map(from.view, to.view, beta, keep); });
      },
      "x"_a.none(), "y"_a.none(), "beta"_a, nb::kw_only(), "attention_mask"_a = nb::none(),
      "The d_y x d_x weights that the delta rule leaves after all tokens, in order (arXiv 2102.11174).");
  m.def(
      "mutual_knn",
      [](const array_argument& x, const array_argument& y, index k, const mask_argument& mask) {
        const one_matrix from(x.value, "x"), to(y.value, "y", from);
        const token_mask keep = mask_of(mask.value, from.leading());
        return compute([&] { return layerwise::mutual_knn(from.view, to.view, k, keep); });
      },
      "x"_a.none(), "y"_a.none(), "k"_a = 10, nb::kw_only(), "attention_mask"_a = nb::none(),
      "The share of each token's k nearest neighbours that both have (arXiv 2405.07987).");
}

}  // namespace python_module
