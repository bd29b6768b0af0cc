// What every metric of one layer is held to, and what it declares to change under. A metric joins with a line:
//
//   TEST_CASE("anisotropy: what changes it and what does not") {
//     check_layer_metric(anisotropy, {.rotation = true, .scale = true, .shift = true});
//     check_layer_accumulator(anisotropy, [] { return layer_moments(); });
//   }
//
// with `anisotropy` callable on x, on (x, mask), and on what accumulates rows if there is such a thing; it returns a
// number, or a result with fields, the first of which is the number.
#pragma once

#include "laws/pair_metric_laws.hpp"
#include "support.hpp"

#include <layerwise/data/token_mask.hpp>
#include <layerwise/statistics/layer_moments.hpp>

#include <functional>

namespace layerwise_test {

/// What the value of a metric of a layer does not change under; what is not named changes it.
struct layer_invariances {
  bool rotation = false;     ///< an orthogonal map
  bool scale = false;        ///< a factor; to the last bit, of all numbers of a result, if it is a power of two
  bool shift = false;        ///< a row that is added to all
  bool row_lengths = false;  ///< a positive factor for each row
};

namespace laws {

/// A metric of a layer without its type.
using layer_metric = std::function<numbers(const row_major&, const layerwise::token_mask&)>;

template <class Metric>
layer_metric untyped_layer(const Metric& metric) {
  return [metric](const row_major& x, const layerwise::token_mask& mask) { return numbers_of(metric(x, mask)); };
}

void layer_changes(const layer_metric& metric, const layer_invariances& declared);
void layer_threads_and_masks(const layer_metric& metric);
void layer_refusals(const layer_metric& metric);
void layer_batches_and_merges(const layer_metric& metric,
                              const std::function<numbers(const layerwise::layer_moments&)>& of_moments,
                              const std::function<layerwise::layer_moments()>& make_moments);

template <class Metric>
void layer_forms_threads_and_masks(const Metric& metric) {
  const layer_metric any = untyped_layer(metric);
  layer_threads_and_masks(any);
  const row_major x = data(13).x;
  const numbers expected = any(x, {});
  in_every_form(x, x, [&](const auto& a, const auto& b) {
    check_identical(numbers_of(metric(a)), expected);
    check_identical(numbers_of(metric(b)), expected);
  });
}

}  // namespace laws

/// The laws of matrices and masks.
template <class Metric>
void check_layer_metric(const Metric& metric, const layer_invariances& declared) {
  const laws::layer_metric any = laws::untyped_layer(metric);
  laws::layer_changes(any, declared);
  laws::layer_forms_threads_and_masks(metric);
  laws::layer_refusals(any);
}

/// Those of batches and merges. make_moments: what makes the accumulator that the metric is called on.
template <class Metric, class Factory>
void check_layer_accumulator(const Metric& metric, const Factory& make_moments) {
  laws::layer_batches_and_merges(
      laws::untyped_layer(metric), [&](const layerwise::layer_moments& moments) { return numbers_of(metric(moments)); },
      make_moments);
}

}  // namespace layerwise_test
