#include <layerwise/data/token_mask.hpp>

#include "support.hpp"

#include <doctest/doctest.h>

#include <vector>

namespace {

using layerwise::index;
using layerwise::padding_side;
using layerwise::shape_error;
using layerwise::token_mask;
using layerwise_test::check_throws;
using rows = std::vector<index>;

TEST_CASE("the default mask keeps every token of any length") {
  const token_mask mask;
  CHECK(mask.all());
  CHECK(mask.size() == 0);
  CHECK(mask.keeps(0));
  CHECK(mask.keeps(123456));
  CHECK(mask.rows(3) == rows{0, 1, 2});
  CHECK(mask.rows(0).empty());
}

TEST_CASE("a mask from flags keeps the tokens whose flag is set") {
  const token_mask mask(std::vector<bool>{false, true, true, false});
  CHECK_FALSE(mask.all());
  CHECK(mask.size() == 4);
  CHECK_FALSE(mask.keeps(0));
  CHECK(mask.keeps(1));
  CHECK(mask.rows(4) == rows{1, 2});
  // Even one that keeps everything belongs to matrices of its length.
  CHECK_FALSE(token_mask(std::vector<bool>{true}).all());
  CHECK(token_mask(std::vector<bool>{}).rows(0).empty());
}

TEST_CASE("skip_first leaves out the first tokens of each sequence, of a shorter last one too") {
  CHECK(token_mask::skip_first(7, 3).rows(7) == rows{1, 2, 4, 5});
  CHECK(token_mask::skip_first(8, 3).rows(8) == rows{1, 2, 4, 5, 7});
  CHECK(token_mask::skip_first(7, 3, 2).rows(7) == rows{2, 5});
  CHECK(token_mask::skip_first(4, 3, 0).rows(4) == rows{0, 1, 2, 3});
  CHECK(token_mask::skip_first(4, 3, 5).rows(4).empty());
  CHECK(token_mask::skip_first(0, 3).rows(0).empty());
}

TEST_CASE("last_of_each keeps the last token of each sequence, of a shorter last one too") {
  CHECK(token_mask::last_of_each(6, 3).rows(6) == rows{2, 5});
  CHECK(token_mask::last_of_each(7, 3).rows(7) == rows{2, 5, 6});
  CHECK(token_mask::last_of_each(2, 1).rows(2) == rows{0, 1});
  CHECK(token_mask::last_of_each(2, 5).rows(2) == rows{1});
}

TEST_CASE("padding keeps the beginning of each sequence, or its end") {
  const std::vector<index> lengths{2, 0, 3};
  CHECK(token_mask::padding(lengths, 3).rows(9) == rows{0, 1, 6, 7, 8});
  CHECK(token_mask::padding(lengths, 3, padding_side::left).rows(9) == rows{1, 2, 6, 7, 8});
  CHECK(token_mask::padding({}, 3).size() == 0);
  const std::vector<index> none{0};
  CHECK(token_mask::padding(none, 0).size() == 0);
}

TEST_CASE("& keeps what both keep") {
  const std::vector<index> lengths{2, 3};
  const token_mask padding = token_mask::padding(lengths, 3), skip = token_mask::skip_first(6, 3);
  CHECK((padding & skip).rows(6) == rows{1, 4, 5});
  CHECK((skip & padding).rows(6) == rows{1, 4, 5});
  CHECK((padding & token_mask()).rows(6) == padding.rows(6));
  CHECK((token_mask() & padding).rows(6) == padding.rows(6));
  CHECK((token_mask() & token_mask()).all());
}

TEST_CASE("masks that make no sense are refused") {
  check_throws<shape_error>([] { (void)token_mask::skip_first(-1, 3); },
                            "n_tokens >= 0, sequence_length >= 1, count >= 0", "-1, 3, 1", "skip_first");
  check_throws<shape_error>([] { (void)token_mask::skip_first(6, 0); },
                            "n_tokens >= 0, sequence_length >= 1, count >= 0", "6, 0, 1", "skip_first");
  check_throws<shape_error>([] { (void)token_mask::skip_first(6, 3, -1); },
                            "n_tokens >= 0, sequence_length >= 1, count >= 0", "6, 3, -1", "skip_first");
  check_throws<shape_error>([] { (void)token_mask::last_of_each(6, 0); }, "n_tokens >= 0, sequence_length >= 1", "6, 0",
                            "last_of_each");
  const std::vector<index> too_long{2, 4}, negative{-1};
  check_throws<shape_error>([&] { (void)token_mask::padding(too_long, 3); }, "a length in 0..3", "4 for sequence 1",
                            "padding");
  check_throws<shape_error>([&] { (void)token_mask::padding(negative, 3); }, "a length in 0..3", "-1 for sequence 0",
                            "padding");
  check_throws<shape_error>([&] { (void)token_mask::padding(negative, -3); }, "padded_length >= 0", "-3", "padding");
  const token_mask two(std::vector<bool>(2)), three(std::vector<bool>(3));
  check_throws<shape_error>([&] { (void)(two & three); }, "masks of equal length (2)", "3", "token_mask");
  check_throws<shape_error>([&] { (void)two.rows(5); }, "a mask of 5 tokens", "2", "token_mask");
}

}  // namespace
