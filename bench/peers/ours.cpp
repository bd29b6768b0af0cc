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

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <functional>
#include <iomanip>
#include <map>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace layerwise_bench;
using layerwise::hidden_states_view;
using layerwise::index;

// ------------------------------------------------------------------------------------------------ .npy files

/// A float32 array of two or three dimensions, in C order.
struct float_array {
  std::vector<index> shape;
  std::vector<float> values;

  hidden_states_view<const float> layers() const {
    if (shape.size() != 3) throw std::runtime_error("expected [layer][token][dim]");
    return hidden_states_view<const float>::layer_major(values.data(), shape[0], shape[1], shape[2]);
  }
  float_rows rows() const {
    if (shape.size() != 2) throw std::runtime_error("expected a matrix");
    return float_rows::Map(values.data(), shape[0], shape[1]);
  }
};

constexpr std::size_t header_length = 128;

/// Writes the header of format version 1.0 padded to 128 bytes; the values come after it.
void write_header(std::ofstream& file, const std::vector<index>& shape) {
  std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
  for (const index extent : shape) text += std::to_string(extent) + ", ";
  text += "), }";
  text.resize(header_length - 11, ' ');
  file.write("\x93NUMPY\x01\x00\x76\x00", 10) << text << '\n';
}

void write_values(std::ofstream& file, const float* values, index count) {
  file.write(reinterpret_cast<const char*>(values), static_cast<std::streamsize>(count) * 4);
  if (!file) throw std::runtime_error("cannot write the data");
}

void write(const std::string& path, const float_rows& m) {
  std::ofstream file(path, std::ios::binary);
  write_header(file, {m.rows(), m.cols()});
  write_values(file, m.data(), m.size());
}

/// Reads what the functions above have written, nothing else.
float_array read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string header(header_length, '\0');
  if (!file.read(header.data(), header_length)) throw std::runtime_error(path + ": cannot read it");
  long extents[3];
  const char* shape = std::strchr(header.c_str() + 10, '(');
  const int rank = shape ? std::sscanf(shape, "(%ld, %ld, %ld", extents, extents + 1, extents + 2) : 0;
  if (rank < 2) throw std::runtime_error(path + ": expected two or three dimensions");
  float_array out;
  out.shape.assign(extents, extents + rank);
  const index size = std::accumulate(extents, extents + rank, index{1}, std::multiplies<>());
  out.values.resize(static_cast<std::size_t>(size));
  if (!file.read(reinterpret_cast<char*>(out.values.data()), static_cast<std::streamsize>(size) * 4))
    throw std::runtime_error(path + ": too short");
  return out;
}

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

using results = std::map<std::string, double>;

/// The best of as many calls as a second holds.
template <class Call>
void time(results& out, const Call& call) {
  double best = HUGE_VAL, total = 0;
  while (total < 1) {
    const double seconds = seconds_of(call);
    best = std::min(best, seconds);
    total += seconds;
  }
  out["seconds"] = best;
}

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
  try {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (arguments.size() < 2) throw std::runtime_error("expected a job and its files, see the top of ours.cpp");
    if (arguments[0] == "write") {
      write_all(arguments[1], std::stol(arguments.at(2)));
      return 0;
    }
    const char* separator = "{";
    for (const auto& [name, value] : run(arguments[0], {arguments.begin() + 1, arguments.end()})) {
      std::printf("%s\"%s\": %.17g", separator, name.c_str(), value);
      separator = ", ";
    }
    std::puts("}");
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "ours: error: %s\n", failure.what());
    return 1;
  }
}
