#include "sequences.hpp"

#include "common/input_error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace examples::layerwise_llama {
namespace {

std::string read_text(const std::string& path) {
  if (std::filesystem::is_directory(path)) reject(path, "the text can't be read: is a directory");
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) reject(path, "the text can't be read: {}", std::strerror(errno));
  return {std::istreambuf_iterator<char>(file), {}};
}

void check_length(const language_model& model, const text_options& options, index special) {
  const index length = options.sequence_length;
  if (length > model.context())
    reject(model.path(), "expected --sequence-length {} at most, the model's context, got {}", model.context(), length);
  if (length <= special)
    reject(model.path(), "--sequence-length {} has no room for text beside {} special tokens", length, special);
}

std::string what_was_cut(const token_sequences& made, const language_model& model, const text_options& options,
                         index available) {
  const index whole = options.sequence_length, last = made.lengths.back();
  auto text = fmt::format("{} sequences of {} tokens", made.lengths.size(), whole);
  if (last < whole) text += fmt::format(", the last of {}", last);
  if (model.before().empty())
    text += ", without a BOS token, as the model says";
  else
    text += fmt::format(", each with the model's BOS token {} first", model.before().front());
  if (!model.after().empty()) text += fmt::format(" and its EOS token {} last", model.after().front());
  if (const auto read = std::ssize(made.tokens); read < available)
    text += fmt::format("; {} more of the text are not read", available - read);
  return text;
}

}  // namespace

index token_sequences::longest() const { return *std::ranges::max_element(lengths); }

token_sequences read_sequences(const language_model& model, const text_options& options) {
  const auto before = model.before(), after = model.after();
  const index special = std::ssize(before) + std::ssize(after);
  check_length(model, options, special);
  const auto text = model.tokenize(read_text(options.path));
  const index body = options.sequence_length - special, size = std::ssize(text);
  const index available = size + (size + body - 1) / body * special, wanted = options.tokens.value_or(available);
  if (available < wanted) reject(options.path, "expected --tokens {} of the text, got {}", wanted, available);
  if (wanted < 2) reject(options.path, "expected at least 2 tokens, got {}", wanted);

  token_sequences made;
  for (index first = 0; std::ssize(made.tokens) < wanted; first += body) {
    const auto start = made.tokens.size();
    made.tokens.insert(made.tokens.end(), before.begin(), before.end());
    made.tokens.insert(made.tokens.end(), text.begin() + first, text.begin() + std::min(first + body, size));
    made.tokens.insert(made.tokens.end(), after.begin(), after.end());
    if (std::ssize(made.tokens) > wanted) made.tokens.resize(static_cast<std::size_t>(wanted));
    made.lengths.push_back(static_cast<index>(made.tokens.size() - start));
  }
  made.remarks.push_back(what_was_cut(made, model, options, available));
  return made;
}

}  // namespace examples::layerwise_llama
