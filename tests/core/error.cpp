#include <layerwise/core/error.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>

using layerwise_test::check_throws;

TEST_CASE("every exception is an error, and an error is an invalid_argument") {
  static_assert(std::is_base_of_v<std::invalid_argument, layerwise::error>);
  static_assert(std::is_base_of_v<layerwise::error, layerwise::shape_error>);
  static_assert(std::is_base_of_v<layerwise::error, layerwise::non_finite_error>);
  static_assert(std::is_base_of_v<layerwise::error, layerwise::degenerate_input_error>);
  static_assert(std::is_base_of_v<layerwise::error, layerwise::option_error>);
  static_assert(std::is_base_of_v<layerwise::error, layerwise::unsupported_error>);
  static_assert(!std::is_base_of_v<layerwise::shape_error, layerwise::non_finite_error>);
  static_assert(!std::is_base_of_v<layerwise::shape_error, layerwise::degenerate_input_error>);
}

TEST_CASE("a place names what is known of it, in order") {
  const auto printed = [](const layerwise::place& at) { return layerwise::detail::text(at); };
  CHECK(printed({}) == "");
  CHECK(printed({.operand = "after"}) == "after");
  CHECK(printed({.layer = 0}) == "layer 0");
  CHECK(printed({.row = 7}) == "row 7");
  CHECK(printed({.column = 2}) == "column 2");
  CHECK(printed({.operand = "before", .row = 0, .column = 0}) == "before, row 0, column 0");
  CHECK(printed({.operand = "states", .layer = 3, .row = 7, .column = 1}) == "states, layer 3, row 7, column 1");
}

TEST_CASE("a message holds what was expected, what came, and where") {
  using layerwise::detail::fail;
  const layerwise::place at{.operand = "after", .layer = 2, .row = 5};
  check_throws<layerwise::shape_error>([&] { fail<layerwise::shape_error>("3 x 4", "4 x 3", at); }, "3 x 4", "4 x 3",
                                       "after, layer 2, row 5");
  check_throws<layerwise::error>([&] { fail<layerwise::error>("one", "two", {}); }, "one", "two", "");
  CHECK_THROWS_AS(fail<layerwise::degenerate_input_error>("", "", at), const std::invalid_argument&);
}

TEST_CASE("an error knows the place that its message names, and so do its copies") {
  const auto caught = [](const layerwise::place& at) {
    try {
      layerwise::detail::fail<layerwise::non_finite_error>("(one)", "two", at);
    } catch (const layerwise::error& e) {
      return e;
    }
  };
  const layerwise::error e = caught({.operand = std::string("a name (of a temporary)"), .layer = 2, .column = 5});
  CHECK(e.where().operand == "a name (of a temporary)");
  CHECK(e.where().layer == 2);
  CHECK(e.where().row == -1);
  CHECK(e.where().column == 5);
  CHECK(caught({.row = 0}).where().operand.empty());
  CHECK(caught({.row = 0}).where().row == 0);
  CHECK(layerwise::shape_error("of someone else").where().operand.empty());
  CHECK(layerwise::shape_error("of someone else").where().layer == -1);
}

TEST_CASE("shapes compare and print as rows x columns") {
  using layerwise::detail::shape;
  CHECK(layerwise::detail::text(shape{12, 768}) == "12 x 768");
  CHECK(shape{2, 3} == shape{2, 3});
  CHECK_FALSE(shape{2, 3} == shape{3, 2});
}
