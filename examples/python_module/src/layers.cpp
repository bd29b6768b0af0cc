#include "metric.hpp"
#include "module.hpp"

#include <layerwise/metrics/curvature.hpp>
#include <layerwise/metrics/intrinsic_dimension.hpp>
#include <layerwise/metrics/massive_activations.hpp>
#include <layerwise/metrics/mean_pairwise_cosine.hpp>
#include <layerwise/metrics/norm_distribution.hpp>
#include <layerwise/metrics/pairwise_cosines.hpp>
#include <layerwise/metrics/rank_collapse.hpp>
#include <layerwise/metrics/spectrum.hpp>

#include <string>

// One layer.
namespace python_module {
namespace {

using layerwise::field;

/// f(x, options, mask)
template <class F>
void def_spectral(nb::module_& m, const char* name, F f, const char* doc) {
  m.def(
      name,
      [f](const array_argument& x, const std::string& centering, const mask_argument& mask) {
        const layerwise::spectrum_options options{.centering = centering_of(centering)};
        const one_matrix layer(x.value, "x");
        const token_mask keep = mask_of(mask.value, layer.leading());
        return compute([&] { return f(layer.view, options, keep); });
      },
      "x"_a.none(), nb::kw_only(), "centering"_a = "columns", "attention_mask"_a = nb::none(), doc);
}

void bind_spectrum(nb::module_& m) {
  using layerwise::spectrum_options, layerwise::spectrum_result;
  bind_result<spectrum_result>(m, "SpectrumResult", "The spectrum of a layer; each number with its error.",
                               field{"eigenvalues", &spectrum_result::eigenvalues, "of the covariance, descending"});
  const auto spectrum = [](const matrix& x, const spectrum_options& o, const token_mask& k) {
    return layerwise::spectrum(x, o, k);
  };
  def_spectral(m, "spectrum", spectrum, "Eigenvalues of the covariance, anisotropy, ranks, entropy, condition.");
  const auto anisotropy = [](const matrix& x, const spectrum_options& o, const token_mask& k) {
    return layerwise::anisotropy(x, o, k);
  };
  def_spectral(m, "anisotropy", anisotropy, "The share of the first direction in the variance (arXiv 2311.05928).");
  const auto stable = [](const matrix& x, const spectrum_options& o, const token_mask& k) {
    return layerwise::stable_rank(x, o, k);
  };
  def_spectral(m, "stable_rank", stable, "sum lambda / lambda_1.");
  const auto participation = [](const matrix& x, const spectrum_options& o, const token_mask& k) {
    return layerwise::participation_ratio(x, o, k);
  };
  def_spectral(m, "participation_ratio", participation, "(sum lambda)^2 / sum lambda^2.");
  const auto effective = [](const matrix& x, const spectrum_options& o, const token_mask& k) {
    return layerwise::effective_rank(x, o, k);
  };
  def_spectral(m, "effective_rank", effective,
               "exp of the entropy of the singular values (RankMe: centering=\"none\").");
  m.def(
      "matrix_entropy",
      [](const array_argument& x, double alpha, const std::string& centering, const mask_argument& mask) {
        const spectrum_options options{.centering = centering_of(centering)};
        const one_matrix layer(x.value, "x");
        const token_mask keep = mask_of(mask.value, layer.leading());
        return compute([&] { return layerwise::matrix_entropy(layer.view, alpha, options, keep); });
      },
      "x"_a.none(), "alpha"_a = 1.0, nb::kw_only(), "centering"_a = "columns", "attention_mask"_a = nb::none(),
      "Renyi's entropy of order alpha of the eigenvalues over their sum, in nats (arXiv 2502.02013).");
  m.def(
      "eigenvalues_over_median", [](const spectrum_result& s) { return layerwise::eigenvalues_over_median(s); },
      "spectrum"_a, "lambda_k over their median, descending (arXiv 2410.01131).");
}

void bind_cosines(nb::module_& m) {
  using layerwise::pairwise_cosine_result, layerwise::pairwise_cosines_result;
  bind_result<pairwise_cosine_result>(
      m, "PairwiseCosineResult", "The mean cosine of two different tokens.",
      field{"contributions", &pairwise_cosine_result::contributions, "of each dimension to the mean"});
  bind_result<pairwise_cosines_result>(m, "PairwiseCosinesResult", "The cosines of pairs of rows.",
                                       field{"cosines", &pairwise_cosines_result::cosines, "ascending"});
  const auto contributions = [](const matrix& x, const token_mask& k) {
    return layerwise::pairwise_cosine_contributions(x, k);
  };
  def_layer(m, "pairwise_cosine_contributions", contributions,
            "The mean cosine of all pairs of tokens, and what each dimension adds to it.");
  def_layer(
      m, "mean_pairwise_cosine", [=](const auto&... a) { return contributions(a...).mean; },
      "pairwise_cosine_contributions(...).mean");
  const auto squared = [](const matrix& x, const token_mask& k) { return layerwise::mean_squared_cosine(x, k); };
  def_layer(m, "mean_squared_cosine", squared, "The mean of cos^2 over all pairs of different rows.");
  m.def(
      "pairwise_cosines",
      [](const array_argument& x, index sample, const mask_argument& mask) {
        const one_matrix layer(x.value, "x");
        const token_mask keep = mask_of(mask.value, layer.leading());
        return compute([&] { return layerwise::pairwise_cosines(layer.view, {.sample = sample}, keep); });
      },
      "x"_a.none(), nb::kw_only(), "sample"_a = layerwise::pairwise_cosines_options().sample,
      "attention_mask"_a = nb::none(), "The cosines of all pairs of rows, sorted; of a sample where there are more.");
}

void bind_activations(nb::module_& m) {
  using layerwise::activation, layerwise::massive_activations_result;
  bind_result<activation>(m, "Activation", "An element of a layer.");
  bind_result<massive_activations_result>(
      m, "MassiveActivationsResult", "The massive activations of a layer.",
      field{"largest", &massive_activations_result::largest, "by |value|, descending"});
  m.def(
      "massive_activations",
      [](const array_argument& x, index count, double least, double times_median, const mask_argument& mask) {
        const one_matrix layer(x.value, "x");
        const token_mask keep = mask_of(mask.value, layer.leading());
        return compute([&] {
          return layerwise::massive_activations(layer.view,
                                                {.count = count, .least = least, .times_median = times_median}, keep);
        });
      },
      "x"_a.none(), nb::kw_only(), "count"_a = layerwise::massive_activations_options().count,
      "least"_a = layerwise::massive_activations_options().least,
      "times_median"_a = layerwise::massive_activations_options().times_median, "attention_mask"_a = nb::none(),
      "The largest |activations|, and how many are massive (arXiv 2402.17762).");
}

}  // namespace

void bind_layers(nb::module_& m) {
  bind_spectrum(m);
  bind_cosines(m);
  bind_activations(m);
  bind_result<layerwise::norm_distribution_result>(m, "NormDistributionResult", "The norms of rows.");
  bind_result<layerwise::rank_collapse_result>(m, "RankCollapseResult", "A residual of rank collapse.");
  bind_result<layerwise::intrinsic_dimension_result>(m, "IntrinsicDimensionResult", "Of which points it is, too.");
  const auto norms = [](const matrix& x, const token_mask& k) { return layerwise::row_norms(x, k); };
  def_layer(m, "row_norms", norms, "||x_i|| of each row that takes part.");
  const auto distribution = [](const matrix& x, const token_mask& k) { return layerwise::norm_distribution(x, k); };
  def_layer(m, "norm_distribution", distribution, "Mean, spread, extremes and median of the norms.");
  const auto collapse = [](const matrix& x, const token_mask& k) { return layerwise::rank_collapse(x, k); };
  def_layer(m, "rank_collapse", collapse, "||X - 1 x||_F / ||X||_F, x the mean row (arXiv 2103.03404).");
  m.def(
      "curvature",
      [](const array_argument& x, std::optional<index> sequence_length, const mask_argument& mask) {
        const one_matrix layer(x.value, "x");
        const std::vector<index> leading = layer.leading();
        const token_mask keep = mask_of(mask.value, leading);
        const index length = sequence_length.value_or(leading.back());  // an array says itself where its sequences end
        return compute([&] { return layerwise::curvature(layer.view, length, keep); });
      },
      "x"_a.none(), "sequence_length"_a = nb::none(), nb::kw_only(), "attention_mask"_a = nb::none(),
      "The mean angle between successive steps of a sequence's tokens (arXiv 2311.04930), in radians. Without a "
      "sequence_length the sequences of a 3-D array are meant, or all rows of a matrix as one.");
  m.def(
      "intrinsic_dimension",
      [](const array_argument& x, const std::string& fit, double fraction, index sample, const mask_argument& mask) {
        const layerwise::intrinsic_dimension_options options{
            .fit = enumerator_of<layerwise::twonn_fit>(fit, "fit"), .fraction = fraction, .sample = sample};
        const one_matrix layer(x.value, "x");
        const token_mask keep = mask_of(mask.value, layer.leading());
        return compute([&] { return layerwise::intrinsic_dimension(layer.view, options, keep); });
      },
      "x"_a.none(), nb::kw_only(), "fit"_a = "least_squares",
      "fraction"_a = layerwise::intrinsic_dimension_options().fraction,
      "sample"_a = layerwise::intrinsic_dimension_options().sample, "attention_mask"_a = nb::none(),
      "The intrinsic dimension by two nearest neighbours, TwoNN.");
}

}  // namespace python_module
