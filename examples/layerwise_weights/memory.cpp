#include "memory.hpp"

#include "common/input_error.hpp"
#include "common/memory_limit.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <numeric>
#include <string>

namespace examples::layerwise_weights {
namespace {

/// The rows sampled, and the cosines of their pairs; the norms of all rows; the covariance, and its eigenvalues' work.
double for_embedding(const weight& w, index sample) {
  const double n = static_cast<double>(w.rows), d = static_cast<double>(w.cols),
               s = static_cast<double>(std::min(sample, w.rows));
  return (s * d + 0.5 * s * (s - 1.0) + 2.0 * n + 4.0 * d * d) * sizeof(double);
}

/// The matrix as it is decoded, and then what it is turned into or taken apart into, or what QR and SVD work in.
double for_matrix(const weight& w) {
  const double n = static_cast<double>(w.rows), d = static_cast<double>(w.cols), least = std::min(n, d);
  return (n * d + std::max(2.0 * n * d, 6.0 * least * least)) * sizeof(double);
}

/// The largest ones, one a thread.
double for_matrices(const demands& of) {
  std::vector<double> bytes;
  for (const auto* w : of.matrices) bytes.push_back(for_matrix(*w));
  std::ranges::sort(bytes, std::greater<>());
  bytes.resize(std::min(bytes.size(), static_cast<std::size_t>(std::max(of.threads, 1))));
  return std::accumulate(bytes.begin(), bytes.end(), 0.0);
}

std::string gib(double bytes) { return fmt::format("{:.3g} GiB", bytes / 0x1p30); }

}  // namespace

void check_memory(const demands& of) {
  const auto limit = available_memory();
  const auto remedy = [&](const char* option, double bytes) {
    return bytes <= limit.bytes ? fmt::format("; {} needs {}", option, gib(bytes)) : std::string();
  };
  for (const auto* w : of.embeddings)
    if (const double needed = for_embedding(*w, of.sample); needed > limit.bytes)
      reject(w->file, "tensor {}: the cosines of {} rows of {} need about {}, got {} {}{}", in_quotes(w->name),
             std::min(of.sample, w->rows), w->cols, gib(needed), gib(limit.bytes), limit.set_by,
             remedy("--sample 2048", for_embedding(*w, 2048)));
  const double needed = for_matrices(of);
  if (needed <= limit.bytes) return;
  const auto* largest = *std::ranges::max_element(of.matrices, {}, [](const weight* w) { return for_matrix(*w); });
  auto one = of;
  one.threads = 1;
  const auto others = std::min<std::ptrdiff_t>(of.threads, std::ssize(of.matrices)) - 1;
  reject(largest->file, "tensor {}: a matrix of {} x {}{} needs about {}, got {} {}{}", in_quotes(largest->name),
         largest->rows, largest->cols, others > 0 ? fmt::format(", with those of {} more threads,", others) : "",
         gib(needed), gib(limit.bytes), limit.set_by, others > 0 ? remedy("--threads 1", for_matrices(one)) : "");
}

}  // namespace examples::layerwise_weights
