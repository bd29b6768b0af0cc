// The metrics of tokens, a line each.
#include "laws/token_metric_laws.hpp"

#include <layerwise/metrics.hpp>

namespace {

using namespace layerwise_test;

TEST_CASE("displacement: what changes it and what does not") {
  check_token_metric([](const auto& x, const auto& y) { return layerwise::displacement(x, y); },
                     {.scale = true, .exchange = true});
}

TEST_CASE("angular distance: what changes it and what does not") {
  check_token_metric([](const auto& x, const auto& y) { return layerwise::angular_distance(x, y); },
                     {.scale = true, .exchange = true});
}

TEST_CASE("cosine similarity: what changes it and what does not") {
  check_token_metric([](const auto& x, const auto& y) { return layerwise::cosine_similarity(x, y); },
                     {.scale = true, .exchange = true});
}

TEST_CASE("contribution ratio: what changes it and what does not") {
  check_token_metric([](const auto& x, const auto& y) { return layerwise::contribution_ratio(x, y); },
                     {.zero_before = true});
}

}  // namespace
