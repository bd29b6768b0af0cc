#include "dumps/input.hpp"

#include "dumps/input_files.hpp"
#include "dumps/tensor_file.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

namespace examples::dumps {
namespace {

/// What --mask says is a file where there is one of that name, else a tensor's name.
void choose_mask(const std::string& mask, stack_options& options) {
  if (mask.empty() || mask == "none" || !std::filesystem::exists(mask))
    options.mask = mask;
  else
    options.mask_file = std::make_shared<const tensor_file>(open_tensor_file(mask));
}

}  // namespace

layer_stack read_input(const input_options& asked) {
  auto choice = asked.stack;
  choose_mask(asked.mask, choice);
  choice.final_norm_is_known = asked.final_norm_is_known;
  choice.sequences_are_known = asked.tokens.sequence_length.has_value();
  std::vector<tensor_file> files;
  for (const auto& path : expand_paths(asked.files)) {
    std::error_code error;
    const bool is_mask = choice.mask_file && std::filesystem::equivalent(path, asked.mask, error);
    if (!is_mask) files.push_back(open_tensor_file(path));
  }
  auto stack = stack_layers(std::move(files), choice);
  choose_tokens(stack, asked.tokens);
  return stack;
}

std::string title_of(const layer_stack& stack) {
  const auto& first = stack.files.front();
  const auto model = first.metadata.find("model");
  const auto file = std::filesystem::path(first.path).filename().string();
  auto title = model == first.metadata.end() ? file : fmt::format("{} ({})", model->second, file);
  if (stack.files.size() > 1) title += fmt::format(" and {} more", stack.files.size() - 1);
  return title;
}

}  // namespace examples::dumps
