// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/detail/byte_archive.hpp>
#include <layerwise/core/error.hpp>
#include <layerwise/metrics/detail/row_contribution.hpp>
#include <layerwise/profile/detail/token_sums.hpp>
#include <layerwise/profile/layer_metrics.hpp>
#include <layerwise/profile/layer_profiler.hpp>
#include <layerwise/profile/profile_options.hpp>
#include <layerwise/solve/solver.hpp>
#include <layerwise/statistics/centering.hpp>
#include <layerwise/statistics/detail/accumulator.hpp>
#include <layerwise/statistics/detail/chain.hpp>
#include <layerwise/statistics/detail/chain_members.hpp>
#include <layerwise/statistics/second_moments.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

/// @file
/// A layer_profiler as bytes: to be kept in a file, or sent to another process or machine.
namespace layerwise::inline LAYERWISE_ABI {

/// All that a profiler has seen. What is made of the bytes goes on to the last bit as it would have. O(L d^2).
///
///     8 bytes 89 'l' 'w' 'p' 0d 0a 1a 0a; int32 version 1, int32 0x01020304 in the writer's order of bytes, int64 number
///     of all bytes; the options; the sums of moments and of tokens; the FNV-1a checksum of all before it
template <std::same_as<layer_profiler> Profiler>
std::vector<unsigned char> to_bytes(const Profiler& profiler);

/// The profiler that to_bytes() wrote, on a machine of the same order of bytes. Throws unsupported_error for bytes of
/// another kind, version or order, that end early or go on, were changed, or are no sums of a stack: forged numbers are
/// wrong numbers, but no more. O(L d^2).
template <std::same_as<layer_profiler> Profiler = layer_profiler>
Profiler profiler_from_bytes(std::span<const unsigned char> bytes);

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

template <class Archive, members_of<profile_options> T>
void visit_members(Archive& archive, T& options) {
  archive(options.centering, options.method, options.tolerance, options.final_norm, options.linearity,
          options.second_moments);
}

template <class Archive, members_of<scaled_sum> T>
void visit_members(Archive& archive, T& sum) {
  archive(sum.mantissa, sum.exponent);
}

template <class Archive, members_of<token_sums> T>
void visit_members(Archive& archive, T& sums) {
  archive(sums.displacement, sums.angular_distance, sums.cosine, sums.contribution, sums.energies.update,
          sums.energies.output);
}

/// What the bytes begin with.
struct profiler_header {
  std::uint64_t kind = 0x0a1a0a0d70776c89u;  // as a little-endian machine has it
  int version = 1;
  int order = 0x01020304;
  index size = 0;
};

template <class Archive, members_of<profiler_header> T>
void visit_members(Archive& archive, T& header) {
  archive(header.kind, header.version, header.order, header.size);
}

/// Checks the frame around the sums, and gives a reader of what is inside.
inline byte_reader open_profiler(std::span<const unsigned char> bytes) {
  const place here{.operand = "profiler_from_bytes"};
  byte_reader reader(bytes, here);
  profiler_header found;
  const profiler_header expected;
  reader(found.kind);
  const bool is_swapped = found.kind == 0x896c77700d0a1a0au;
  reader.require(found.kind == expected.kind || is_swapped, "bytes of a layer_profiler", "others");
  reader(found.version, found.order, found.size);
  reader.require(found.order == expected.order, "this machine's order of bytes", "another one");
  reader.require(found.version == expected.version, text("version ", expected.version), text(found.version));
  reader.require(found.size == static_cast<index>(bytes.size()), text(found.size, " bytes"), text(bytes.size()));
  const std::size_t end = bytes.size() - (std::min)(bytes.size(), sizeof(std::uint64_t));
  std::uint64_t written = 0;
  byte_reader(bytes.subspan(end), here)(written);
  reader.require(written == checksum(bytes.first(end)), "bytes as they were written", "changed ones");
  return reader;
}

/// What a layer_profiler keeps to itself.
struct profiler_access {
  template <class Archive, class Profiler>
  static void visit_sums(Archive& archive, Profiler& profiler) {
    archive(chain_access::sums_of(profiler.moments_), profiler.sums_.of_layer_);
  }
  static const profile_options& options_of(const layer_profiler& profiler) { return profiler.options_; }

  /// Throws unsupported_error for sums of another stack than a profiler with its options keeps.
  static void require_whole(const byte_reader& reader, const layer_profiler& profiler) {
    const moment_chain& chain = chain_access::of(profiler.moments_);
    const index layers = chain.layers(), pairs = layers > 0 ? layers - 1 : 0;
    const bool is_linear = profiler.options_.linearity;
    bool holds = layers != 1 && chain.pairs() == (is_linear ? pairs : 0);
    for (index l = 1; l < layers; ++l)
      holds = holds && chain.dimensions(l) == chain.dimensions(0) && (!is_linear || chain.has_pair({l - 1, l}));
    holds = holds && profiler.sums_.layers() == (chain.started() ? pairs : 0);
    reader.require(holds, "sums of a stack of layers", "others");
  }
};

/// Throws unsupported_error for words that there are not.
inline void require_known(const byte_reader& reader, const profile_options& options) {
  const auto is_known = [](auto word, auto last) { return static_cast<int>(word) >= 0 && word <= last; };
  reader.require(is_known(options.centering, centering::none) && is_known(options.method, solver::rank_revealing) &&
                     is_known(options.final_norm, final_norm::after) &&
                     is_known(options.second_moments, second_moments::both),
                 "options of a layer_profiler", "others");
}

}  // namespace detail

template <std::same_as<layer_profiler> Profiler>
std::vector<unsigned char> to_bytes(const Profiler& profiler) {
  detail::byte_writer inside;
  inside(detail::profiler_access::options_of(profiler));
  detail::profiler_access::visit_sums(inside, profiler);
  detail::profiler_header header;
  detail::byte_writer out;
  out(header);
  header.size = static_cast<index>(out.bytes.size() + inside.bytes.size() + sizeof(std::uint64_t));
  out.bytes.clear();
  out.bytes.reserve(static_cast<std::size_t>(header.size));
  out(header);
  out.bytes.insert(out.bytes.end(), inside.bytes.begin(), inside.bytes.end());
  out(detail::checksum(out.bytes));
  return std::move(out.bytes);
}

template <std::same_as<layer_profiler> Profiler>
Profiler profiler_from_bytes(std::span<const unsigned char> bytes) {
  detail::byte_reader reader = detail::open_profiler(bytes);
  profile_options options;
  reader(options);
  detail::require_known(reader, options);
  Profiler profiler(options);
  detail::profiler_access::visit_sums(reader, profiler);
  detail::profiler_access::require_whole(reader, profiler);
  reader.require(reader.left() == sizeof(std::uint64_t), "the checksum at the end",
                 detail::text(reader.left(), " bytes"));
  return profiler;
}

}  // namespace layerwise::inline LAYERWISE_ABI
