// A language model, run and profiled in one process: what an inference engine would do.
#include "common/terminal.hpp"
#include "decoder.hpp"
#include "report/report.hpp"

#include <layerwise/profile.hpp>

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (!file || text.empty()) throw std::runtime_error(path + ": expected a text, got nothing readable");
  return text;
}

}  // namespace

int main(int argc, char** argv) {
  Eigen::setNbThreads(1);  // matrices of one sequence are too small to share
  try {
    if (argc > 3) throw std::runtime_error("usage: live_model [TEXT [WEIGHTS.safetensors]]");
    const std::string text_file = argc > 1 ? argv[1] : LIVE_MODEL_DATA "/persuasion.txt";
    const std::string weights_file = argc > 2 ? argv[2] : LIVE_MODEL_DATA "/byte_decoder.safetensors";
    const live_model::decoder model(weights_file);
    const std::string text = read_file(text_file);

    // One matrix a layer, tokens x d: the model writes its states there, sequence by sequence, and the
    // profiler reads them there.
    const auto tokens = static_cast<live_model::index>(text.size());
    std::vector<live_model::matrix> states(static_cast<std::size_t>(model.layers()) + 1,
                                           live_model::matrix(tokens, model.width()));
    constexpr std::size_t context = 128;  // what it was trained on
    double loss = 0;
    std::size_t predicted = 0;
    for (std::size_t first = 0; first < text.size(); first += context) {
      const std::string_view sequence = std::string_view(text).substr(first, context);
      const auto row = static_cast<live_model::index>(first), rows = static_cast<live_model::index>(sequence.size());
      model.run(sequence, states, row);
      loss += live_model::cross_entropy(model.logits(states.back().middleRows(row, rows)), sequence);
      predicted += sequence.size() - 1;
    }
    const auto profile =
        examples::report::describe_profile(std::filesystem::path(weights_file).filename().string(), text_file, "F32",
                                           layerwise::profile(states, {.final_norm = layerwise::final_norm::before}));
    std::cout << to_table(profile, examples::wants_colour());
    if (predicted > 0)
      std::cout << "\nThe model predicts each byte of " << text_file << " with "
                << loss / static_cast<double>(predicted) << " nats.\n";
    return EXIT_SUCCESS;
  } catch (const std::exception& error) {
    std::cerr << "live_model: " << error.what() << '\n';
    return EXIT_FAILURE;
  }
}
