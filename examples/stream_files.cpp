// Hidden states from files, a batch of tokens at a time: memory does not grow with the number of tokens.
//
//   stream_files <d> <file of h_0> <file of h_1> ...    raw float32, d numbers a token
//   stream_files                                        writes three such files, and reads them
#include <layerwise/layerwise.hpp>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr layerwise::index tokens_at_once = 256;

/// Reads the next tokens of a file into `m`, which gets as many rows as there were.
void read_tokens(std::ifstream& file, layerwise::index d, rows& m) {
  m.resize(tokens_at_once, d);
  const auto bytes_per_token = static_cast<std::streamsize>(sizeof(float)) * d;
  file.read(reinterpret_cast<char*>(m.data()), tokens_at_once * bytes_per_token);
  if (file.gcount() % bytes_per_token != 0) throw std::runtime_error("a file ends in the middle of a token");
  m.conservativeResize(file.gcount() / bytes_per_token, Eigen::NoChange);
}

layerwise::layer_profile profile_files(layerwise::index d, const std::vector<std::string>& names) {
  std::vector<std::ifstream> files;
  for (const std::string& name : names) {
    files.emplace_back(name, std::ios::binary);
    if (!files.back()) throw std::runtime_error("cannot read " + name);
  }
  layerwise::layer_profiler profiler;
  std::vector<rows> batch(files.size());
  for (;;) {
    for (std::size_t l = 0; l < files.size(); ++l) read_tokens(files[l], d, batch[l]);
    bool finished = true;
    for (const rows& m : batch) finished = finished && m.rows() == 0;
    if (finished) return profiler.profile();
    profiler.add(batch);  // refuses layers of unequal lengths
  }
}

std::vector<std::string> write_example(layerwise::index d) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  rows h = rows::NullaryExpr(1000, d, [&] { return normal(random); });
  std::vector<std::string> names;
  for (const char* name : {"h0.f32", "h1.f32", "h2.f32"}) {
    names.push_back((std::filesystem::temp_directory_path() / name).string());
    std::ofstream(names.back(), std::ios::binary)
        .write(reinterpret_cast<const char*>(h.data()), static_cast<std::streamsize>(sizeof(float)) * h.size());
    h += 0.5f * h.rowwise().reverse().array().tanh().matrix();
  }
  return names;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    layerwise::index d = 24;
    std::vector<std::string> names(argv + std::min(argc, 2), argv + argc);
    if (argc > 1)
      d = std::stol(argv[1]);
    else
      names = write_example(d);
    if (d < 1 || names.size() < 2) throw std::runtime_error("usage: stream_files <d> <file of h_0> <file of h_1> ...");
    const layerwise::layer_profile p = profile_files(d, names);
    for (std::size_t l = 1; l <= p.layers.size(); ++l) {
      const auto& linearity = p.layers[l - 1].linearity;
      std::cout << "layer " << l << ": linearity " << (linearity ? linearity->score : NAN) << ", displacement "
                << p.layers[l - 1].displacement << '\n';
    }
  } catch (const std::exception& e) {
    std::cerr << "stream_files: " << e.what() << '\n';
    return 1;
  }
}
