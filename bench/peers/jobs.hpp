// What our side of a comparison with Python peers is made of: one job a call, of files that both sides read; it prints one
// JSON object.
#pragma once

#include <layerwise/data.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <functional>
#include <map>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

namespace layerwise_bench {

using layerwise::hidden_states_view;
using layerwise::index;

using float_rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

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

inline constexpr std::size_t header_length = 128;

/// Writes the header of format version 1.0 padded to 128 bytes; the values come after it.
inline void write_header(std::ofstream& file, const std::vector<index>& shape) {
  std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
  for (const index extent : shape) text += std::to_string(extent) + ", ";
  text += "), }";
  text.resize(header_length - 11, ' ');
  file.write("\x93NUMPY\x01\x00\x76\x00", 10) << text << '\n';
}

inline void write_values(std::ofstream& file, const float* values, index count) {
  file.write(reinterpret_cast<const char*>(values), static_cast<std::streamsize>(count) * 4);
  if (!file) throw std::runtime_error("cannot write the data");
}

inline void write(const std::string& path, const float_rows& m) {
  std::ofstream file(path, std::ios::binary);
  write_header(file, {m.rows(), m.cols()});
  write_values(file, m.data(), m.size());
}

/// Reads what the functions above have written, nothing else.
inline float_array read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string header(header_length, '\0');
  if (!file.read(header.data(), header_length)) throw std::runtime_error(path + ": cannot read it");
  long extents[3];
  const char* shape = std::strchr(header.c_str() + 10, '(');
  const int rank = shape ? std::sscanf(shape, "(%ld, %ld, %ld", extents, extents + 1, extents + 2) : 0;
  if (rank < 2) throw std::runtime_error(path + ": expected two or three dimensions");
  float_array out;
  out.shape.assign(extents, extents + rank);
  const index count = std::accumulate(extents, extents + rank, index{1}, std::multiplies<>());
  out.values.resize(static_cast<std::size_t>(count));
  if (!file.read(reinterpret_cast<char*>(out.values.data()), static_cast<std::streamsize>(count) * 4))
    throw std::runtime_error(path + ": too short");
  return out;
}

// ------------------------------------------------------------------------------------------------- measuring

/// "seconds", and what the other side checks its own answer by.
using results = std::map<std::string, double>;

/// The best of as many calls as a second holds.
template <class Call>
void time(results& out, const Call& call) {
  double best = HUGE_VAL, total = 0;
  while (total < 1) {
    const auto start = std::chrono::steady_clock::now();
    call();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::min(best, seconds.count());
    total += seconds.count();
  }
  out["seconds"] = best;
}

/// The exit status of a program that does this: 1, and one line, where it throws.
template <class Body>
int guarded(const Body& body) {
  try {
    body();
    return 0;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "ours: error: %s\n", failure.what());
    return 1;
  }
}

/// main of `program job file...`: prints what run(job, files) gives.
template <class Run>
int run_job(int argc, char** argv, const Run& run) {
  return guarded([&] {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (arguments.size() < 2) throw std::runtime_error("expected a job and its files, see the top of the source");
    const char* separator = "{";
    for (const auto& [name, value] : run(arguments[0], std::vector(arguments.begin() + 1, arguments.end()))) {
      std::printf("%s\"%s\": %.17g", separator, name.c_str(), value);
      separator = ", ";
    }
    std::puts("}");
  });
}

}  // namespace layerwise_bench
