#include <layerwise/statistics/layer_pairs.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

#include <vector>

namespace {

using layerwise::layer_pair;
using layerwise::layer_pairs;
using layerwise::option_error;
using namespace layerwise_test;

TEST_CASE("rules are resolved when the number of layers is known") {
  using list = std::vector<layer_pair>;
  CHECK(layer_pairs().of(4) == list{{0, 1}, {1, 2}, {2, 3}});
  CHECK(layer_pairs::neighbours() == layer_pairs());
  CHECK(layer_pairs::apart(2).of(4) == list{{0, 2}, {1, 3}});
  CHECK(layer_pairs::to_last().of(4) == list{{0, 3}, {1, 3}, {2, 3}});
  CHECK(layer_pairs::all().of(3) == list{{0, 1}, {0, 2}, {1, 2}});
  CHECK(layer_pairs::all().of(30).size() == 435);
  CHECK(layer_pairs::none().of(4).empty());
  CHECK(layer_pairs({{3, 0}, {1, 2}}).of(4) == list{{3, 0}, {1, 2}});
  CHECK(layer_pairs::apart(2) != layer_pairs::apart(3));
}

TEST_CASE("pairs that make no sense are refused") {
  check_throws<option_error>([] { layer_pairs::apart(0); }, "layers at least 1 apart", "0", "layer_pairs");
  check_throws<option_error>([] { layer_pairs::apart(4).of(4); }, "layers less than 4 apart", "4", "layer_pairs");
  check_throws<option_error>([] { layer_pairs({{1, 4}}).of(4); }, "two different layers in 0..3", "1 and 4",
                             "layer_pairs");
  check_throws<option_error>([] { layer_pairs({{-1, 2}}).of(4); }, "two different layers in 0..3", "-1 and 2",
                             "layer_pairs");
  check_throws<option_error>([] { layer_pairs({{2, 2}}).of(4); }, "two different layers in 0..3", "2 and 2",
                             "layer_pairs");
  check_throws<option_error>([] { layer_pairs({{0, 1}, {1, 2}, {0, 1}}).of(4); }, "each pair once", "0 and 1 again",
                             "layer_pairs");
  // The first of them in the list.
  check_throws<option_error>([] { layer_pairs({{2, 3}, {0, 1}, {2, 3}, {0, 1}, {0, 9}}).of(4); }, "each pair once",
                             "2 and 3 again", "layer_pairs");
  check_throws<option_error>([] { layer_pairs({{2, 3}, {0, 9}, {2, 3}}).of(4); }, "two different layers in 0..3",
                             "0 and 9", "layer_pairs");
}

TEST_CASE("many pairs cost p log p, not p^2") {
  std::vector<layer_pair> pairs;
  for (layerwise::index to = 999; to >= 0; --to)
    for (layerwise::index from = 0; from < 1000; ++from)
      if (from != to) pairs.push_back({from, to});
  CHECK(layer_pairs(pairs).of(1000) == pairs);
  pairs.push_back({17, 3});
  check_throws<option_error>([&] { layer_pairs(pairs).of(1000); }, "each pair once", "17 and 3 again", "layer_pairs");
}

}  // namespace
