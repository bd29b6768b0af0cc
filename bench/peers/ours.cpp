// Our side of peers.py: writes the data that both sides read, and measures layerwise on them, one job a call.
//
//   ours write FOLDER LAYERS   pair.{before,after}.npy, hard.{before,after}.npy, stack.npy (LAYERS of 16384 x
//   576),
//                              states.npy (13 x 4096 x 768), all float32, and hard.json, the exact scores
//   ours scores BEFORE AFTER   both scores of a pair
//   ours profile STACK         the profile of a whole stack
//   ours NAME STACK            cosine | displacement: per token of every pair; mse | jreg: the value;
//                              mse_gradient | jreg_gradient: with gradients
//
// All but `write` print one JSON object: the seconds of the best call, and what peers.py checks its peers by.
#include <layerwise/layerwise.hpp>

#include "../dump.hpp"
#include "../regression_data.hpp"
#include "jobs.hpp"

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iomanip>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace layerwise_bench;
using layerwise::hidden_states_view;
using layerwise::index;

// ------------------------------------------------------------------------------------------------------ data

void write_pair(const std::string& stem, const layer_pair<float_rows>& data) {
  write(stem + ".before.npy", data.before);
  write(stem + ".after.npy", data.after);
}

/// Each layer adds a tenth of a linear map of its input, and noise.
void write_stack(const std::string& path, index count, index n, index d) {
  std::ofstream file(path, std::ios::binary);
  write_header(file, {count, n, d});
  normal_matrix normal;
  float_rows h = normal(n, d);
  for (index l = 0; l < count; ++l) {
    write_values(file, h.data(), h.size());
    const float_rows map = normal(d, d) * (0.1f / std::sqrt(static_cast<float>(d)));
    h += h * map + 0.1f * normal(n, d);
  }
}

void write_all(const std::string& folder, index stack_layers) {
  write_pair(folder + "/pair", make_pair(8192, 768));
  const layer_pair<float_rows> hard = make_hard_pair(4000, 256);
  write_pair(folder + "/hard", hard);
  write_stack(folder + "/stack.npy", stack_layers, 16384, 576);

  std::ofstream states(folder + "/states.npy", std::ios::binary);
  write_header(states, {layers, tokens, dims});
  write_values(states, make_dump<float>().data(), size);

  // The last file, by which peers.py knows that all are there.
  const scores exact = householder_scores<long double>(hard);
  std::ofstream(folder + "/hard.json") << std::setprecision(17) << "{\"linearity\": " << exact.linearity
                                       << ", \"residual_linearity\": " << exact.residual_linearity << "}\n";
}

// ------------------------------------------------------------------------------------------------- measuring

results time_scores(const std::string& before, const std::string& after) {
  const layer_pair<float_rows> data{read(before).rows(), read(after).rows()};
  scores got;
  results out;
  time(out, [&] { got = both_scores(data); });
  out["linearity"] = got.linearity;
  out["residual_linearity"] = got.residual_linearity;
  return out;
}

/// "value": the sum of all residual linearities.
results time_profile(const float_array& stack) {
  layerwise::layer_profile profile;
  results out;
  time(out, [&] { profile = layerwise::profile(stack.layers()); });
  for (const layerwise::layer_metrics& layer : profile.layers) out["value"] += layer.residual_linearity.value().score;
  return out;
}

/// "value": the mean over tokens and pairs.
template <class Angle>
results time_angle(const float_array& stack, const Angle& angle) {
  const auto h = stack.layers();
  double mean = 0;
  results out;
  time(out, [&] {
    mean = 0;
    for (index l = 1; l < h.size(); ++l) mean += angle(h[l - 1], h[l]).mean();
    mean /= static_cast<double>(h.size() - 1);
  });
  out["value"] = mean;
  return out;
}

template <class Regularizer>
results time_value(const float_array& stack, const Regularizer& regularizer) {
  double value = 0;
  results out;
  time(out, [&] { value = regularizer.value(stack.layers()); });
  out["value"] = value;
  return out;
}

/// "gradient": the norm of all gradients.
template <class Regularizer>
results time_gradient(const float_array& stack, const Regularizer& regularizer) {
  std::vector<float> gradient(stack.values.size());
  const auto g =
      hidden_states_view<float>::layer_major(gradient.data(), stack.shape[0], stack.shape[1], stack.shape[2]);
  double value = 0;
  results out;
  time(out, [&] { value = regularizer.value_and_gradient(stack.layers(), g); });
  std::fill(gradient.begin(), gradient.end(), 0.f);
  regularizer.value_and_gradient(stack.layers(), g);
  out["value"] = value;
  out["gradient"] = Eigen::VectorXf::Map(gradient.data(), static_cast<index>(gradient.size())).cast<double>().norm();
  return out;
}

constexpr layerwise::mse_regularizer mse{0.5};
constexpr layerwise::jreg_regularizer jreg{1, 0.5};

results run(const std::string& job, const std::vector<std::string>& files) {
  if (job == "scores") return time_scores(files.at(0), files.at(1));
  const float_array stack = read(files.at(0));
  if (job == "profile") return time_profile(stack);
  if (job == "cosine")
    return time_angle(stack, [](const auto& x, const auto& y) { return layerwise::cosine_similarity(x, y); });
  if (job == "displacement")
    return time_angle(stack, [](const auto& x, const auto& y) { return layerwise::displacement(x, y); });
  if (job == "mse") return time_value(stack, mse);
  if (job == "jreg") return time_value(stack, jreg);
  if (job == "mse_gradient") return time_gradient(stack, mse);
  if (job == "jreg_gradient") return time_gradient(stack, jreg);
  throw std::runtime_error(job + ": no such job");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string(argv[1]) == "write") return guarded([&] { write_all(argv[2], std::stol(argv[3])); });
  return run_job(argc, argv, run);
}
