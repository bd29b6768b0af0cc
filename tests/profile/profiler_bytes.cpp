#include <layerwise/profile/profiler_bytes.hpp>

#include "support.hpp"

#include <layerwise/metrics/linear_cka.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace {

using layerwise::index;
using layerwise::layer_profiler;
using layerwise::profile_options;
using layerwise::profiler_from_bytes;
using layerwise::to_bytes;
using layerwise::unsupported_error;
using namespace layerwise_test;

using bytes = std::vector<unsigned char>;
using stack = std::vector<row_major>;

stack random_stack(std::mt19937_64& random, index n, index d, double factor = 1.0) {
  stack states{random_matrix(random, n, d).array() + 0.5};
  for (index l = 0; l < 3; ++l) states.push_back(states.back() + 0.3 * random_matrix(random, n, d));
  for (row_major& h : states) h *= factor;
  return states;
}

/// A profile as bits.
std::string bits_of(const layer_profiler& profiler) {
  std::string out;
  for (const layerwise::layer_metrics& layer : profiler.profile().layers)
    layerwise::visit_values(&layer, [&](const std::string&, const auto* value, std::string_view) {
      if (value != nullptr) out.append(reinterpret_cast<const char*>(value), sizeof *value);
      out += '|';
    });
  return out;
}

/// Bytes with a checksum that fits them.
bytes sealed(bytes some) {
  const auto end = some.size() - 8;
  const std::uint64_t sum = layerwise::detail::checksum(std::span(some).first(end));
  std::memcpy(some.data() + end, &sum, 8);
  return some;
}

template <class T>
bytes changed(bytes some, std::size_t at, T value) {
  std::memcpy(some.data() + at, &value, sizeof value);
  return some;
}

}  // namespace

TEST_CASE("a profiler made of bytes goes on to the last bit as the first one would have") {
  auto random = std::mt19937_64(11);
  for (const layerwise::index n : {0, 1, 511, 512, 513, 1300})
    for (const bool linearity : {true, false}) {
      CAPTURE(n);
      CAPTURE(linearity);
      layer_profiler first({.centering = layerwise::centering::none, .tolerance = 1e-9, .linearity = linearity});
      if (n > 0) first.add(random_stack(random, n, 6));
      layer_profiler second = profiler_from_bytes(to_bytes(first));
      CHECK(second.tokens() == n);
      if (n > 0) CHECK(bits_of(first) == bits_of(second));
      const stack more = random_stack(random, 700, 6, 1e200);  // whose magnitude changes the scales
      first.add(more);
      second.add(more);
      CHECK(bits_of(first) == bits_of(second));
      first.merge(first);
      second.merge(second);
      CHECK(bits_of(first) == bits_of(second));
      CHECK(to_bytes(first) == to_bytes(second));
    }
}

TEST_CASE("options come back, and moments of both with their energies") {
  auto random = std::mt19937_64(12);
  layer_profiler first({.method = layerwise::solver::rank_revealing, .final_norm = layerwise::final_norm::after});
  first.add(random_stack(random, 600, 5));
  const layer_profiler second = profiler_from_bytes(to_bytes(first));
  CHECK(second.profile().final_norm == layerwise::final_norm::after);
  CHECK(second.profile().layers[0].linearity->method == layerwise::solver::rank_revealing);
  CHECK(layerwise::linear_cka(second.moments().pair(2)) == layerwise::linear_cka(first.moments().pair(2)));
}

TEST_CASE("bytes that are cut off, go on or were changed are refused") {
  auto random = std::mt19937_64(13);
  layer_profiler profiler;
  profiler.add(random_stack(random, 520, 4));
  const bytes whole = to_bytes(profiler);
  for (std::size_t size = 0; size < whole.size(); size += size < 100 ? 1 : 97)
    CHECK_THROWS_AS(profiler_from_bytes(std::span(whole).first(size)), const unsupported_error&);
  bytes longer = whole;
  longer.push_back(0);
  CHECK_THROWS_AS(profiler_from_bytes(longer), const unsupported_error&);
  for (std::size_t at = 0; at < whole.size(); at += 13) {
    bytes other = whole;
    other[at] ^= 0x10u;
    CHECK_THROWS_AS(profiler_from_bytes(other), const unsupported_error&);
  }
}

TEST_CASE("what is refused is named") {
  layer_profiler profiler;
  const bytes whole = to_bytes(profiler);
  const auto refused = [](const bytes& some, const std::string& expected, const std::string& got) {
    check_throws<unsupported_error>([&] { profiler_from_bytes(some); }, expected, got, "profiler_from_bytes");
  };
  refused(changed(whole, 0, 'P'), "bytes of a layer_profiler", "others");
  refused(sealed(changed(whole, 8, 2)), "version 1", "2");
  refused(sealed(changed(whole, 12, 0x04030201)), "this machine's order of bytes", "another one");
  bytes swapped = whole;
  std::reverse(swapped.begin(), swapped.begin() + 8);
  refused(sealed(changed(swapped, 12, 0x04030201)), "this machine's order of bytes", "another one");
  refused(bytes(3), "8 more bytes", "3");
  refused(bytes(), "8 more bytes", "0");
}

TEST_CASE("forged bytes are refused, or make a profiler that can be used") {
  auto random = std::mt19937_64(14);
  for (const layerwise::index n : {3, 600})
    for (const bool linearity : {true, false}) {
      CAPTURE(n);
      CAPTURE(linearity);
      layer_profiler profiler({.linearity = linearity});
      const stack states = random_stack(random, n, 3);
      profiler.add(states);
      const bytes whole = to_bytes(profiler);
      int refusals = 0, uses = 0;
      for (std::size_t at = 24; at + 16 <= whole.size(); at += at < 3000 ? 4 : 36)
        for (const long long number : {-1LL, 0LL, 7LL, 1LL << 40, 1LL << 60}) try {
            layer_profiler forged = profiler_from_bytes(sealed(changed(whole, at, std::int64_t{number})));
            forged.add(states);
            forged.merge(profiler);
            (void)forged.profile();
            ++uses;
          } catch (const layerwise::error&) {
            ++refusals;
          }
      CHECK(refusals > 50);
      CHECK(uses > 50);  // most are no sizes: any number will do
    }
}
