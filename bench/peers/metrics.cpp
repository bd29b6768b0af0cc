// Our side of metrics.py: measures metrics on the files that both sides read, one job a call, and prints the seconds of
// the best call and the value that peers are checked by.
//
//   ours cka|debiased_cka|procrustes|mean_cca|mean_squared_cca|knn X Y
//   ours debiased_cka_matrix STACK   entry (0, L)
//   ours dimension X                 TwoNN of all rows
#include <layerwise/layerwise.hpp>

#include "jobs.hpp"

#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace layerwise_bench;

template <class Metric>
results time_value(const Metric& metric) {
  double value = 0;
  results out;
  time(out, [&] { value = metric(); });
  out["value"] = value;
  return out;
}

results run(const std::string& job, const std::vector<std::string>& files) {
  const float_array first = read(files.at(0));
  if (job == "debiased_cka_matrix") {
    const auto stack = first.layers();
    return time_value([&] { return layerwise::debiased_cka_matrix(stack).scores(0, stack.size() - 1); });
  }
  const float_rows x = first.rows();
  if (job == "dimension")
    return time_value([&] { return layerwise::intrinsic_dimension(x, {.sample = x.rows()}).dimension; });
  const float_rows y = read(files.at(1)).rows();
  if (job == "cka") return time_value([&] { return layerwise::linear_cka(x, y); });
  if (job == "debiased_cka") return time_value([&] { return layerwise::debiased_linear_cka(x, y); });
  if (job == "procrustes") return time_value([&] { return layerwise::procrustes(x, y).angle; });
  if (job == "mean_cca") return time_value([&] { return layerwise::mean_cca(x, y); });
  if (job == "mean_squared_cca") return time_value([&] { return layerwise::cca(x, y).mean_square; });
  if (job == "knn") return time_value([&] { return layerwise::mutual_knn(x, y); });
  throw std::runtime_error(job + ": no such job");
}

}  // namespace

int main(int argc, char** argv) { return run_job(argc, argv, run); }
