// Prints, bit by bit, what the library makes of h_0 ... h_L in a file of float32, for test_same_bits.py.
//
//   same_bits FILE LAYERS TOKENS DIMENSIONS
#include <layerwise/layerwise.hpp>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <type_traits>
#include <vector>

namespace {

void print(const std::string& name, double value) { std::printf("%s %a\n", name.c_str(), value); }

template <class Result>
void print_result(const std::string& name, const Result& result) {
  layerwise::visit_values(&result, [&](const std::string& field, const auto* value, std::string_view) {
    if constexpr (!std::is_enum_v<std::remove_cvref_t<decltype(*value)>>)
      if (value != nullptr) print(name + "." + field, static_cast<double>(*value));
  });
}

}  // namespace

int main(int, char** argv) {
  const auto number = [&](int i) { return static_cast<layerwise::index>(std::atoll(argv[i])); };
  const auto layers = number(2), tokens = number(3), d = number(4);
  std::vector<float> data(static_cast<std::size_t>(layers * tokens * d));
  std::ifstream file(argv[1], std::ios::binary);
  if (!file.read(reinterpret_cast<char*>(data.data()), static_cast<std::streamsize>(data.size() * sizeof(float))))
    return 1;
  std::vector<layerwise::strided_view<const float>> h;
  for (layerwise::index l = 0; l < layers; ++l) h.emplace_back(data.data() + l * tokens * d, tokens, d);

  for (const layerwise::layer_metrics& layer : layerwise::profile(h).layers) print_result("profile", layer);
  layerwise::layer_profiler profiler;
  profiler.add(h);
  for (const layerwise::layer_metrics& layer : profiler.profile().layers) print_result("profiler", layer);
  print_result("cka", layerwise::cka(h[0], h[1]));
  print_result("cca", layerwise::cca(h[0], h[1]));
  print_result("spectrum", layerwise::spectrum(h[1]));
  print_result("procrustes", layerwise::procrustes(h[0], h[1]));
  print("curvature", layerwise::curvature(h[0], tokens));
  print("mutual_knn", layerwise::mutual_knn(h[0], h[1]));
  print("path_efficiency", layerwise::path_efficiency(h));
  print("jreg", layerwise::jreg_regularizer{.lambda = 0.3, .alpha = 0.7}.value(h));
  layerwise::row_matrix gradient = layerwise::row_matrix::Zero(tokens, d);
  layerwise::linearity_and_gradient(h[0], h[1], gradient, nullptr);
  print("gradient", gradient(1, 2));
}
