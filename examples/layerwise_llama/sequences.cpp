#include "sequences.hpp"

#include "common/input_error.hpp"
#include "common/open_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace examples::layerwise_llama {
namespace {

std::string read_text(const std::string& path) {
  auto file = open_file(path, "the text");
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (const auto at = first_not_utf8(text))
    reject(path, "expected UTF-8, got byte 0x{:02x} at byte {}", static_cast<unsigned char>(text[*at]), *at);
  return text;
}

void check_length(const language_model& model, index length, index special) {
  if (length > model.context())
    reject(model.path(), "expected --sequence-length {} at most, the model's context, got {}", model.context(), length);
  if (length <= special)
    reject(model.path(), "--sequence-length {} has no room for text beside {} special tokens", length, special);
}

std::string what_was_cut(const token_sequences& made, const language_model& model, index not_read) {
  const index whole = made.lengths.front(), last = made.lengths.back();
  const bool one = made.lengths.size() == 1;
  auto text = fmt::format("{} sequence{} of {} tokens", made.lengths.size(), one ? "" : "s", whole);
  if (last < whole) text += fmt::format(", the last of {}", last);
  if (model.before().empty())
    text += ", without a BOS token, as the model says";
  else
    text += fmt::format(", {}with the model's BOS token {} first", one ? "" : "each ", model.before().front());
  if (const auto after = model.after(); !after.empty()) {
    const bool at_the_end = made.tokens.back() == after.front();
    if (at_the_end || !one)
      text += fmt::format(" and its EOS token {} last{}", after.front(), at_the_end ? "" : ", but of the last one");
  }
  if (not_read > 0) text += fmt::format("; {} more of the text are not read", not_read);
  return text;
}

}  // namespace

index token_sequences::longest() const { return *std::ranges::max_element(lengths); }

token_sequences read_sequences(const language_model& model, const text_options& options) {
  const auto before = model.before(), after = model.after();
  const index special = std::ssize(before) + std::ssize(after);
  const index length = options.sequence_length.value_or(std::min(index{512}, model.context()));
  check_length(model, length, special);
  const auto text = model.tokenize(read_text(options.path));
  const index body = length - special, size = std::ssize(text);
  const index available = size + (size + body - 1) / body * special, wanted = options.tokens.value_or(available);
  if (available < wanted) reject(options.path, "expected --tokens {} of the text, got {}", wanted, available);
  if (wanted < 2) reject(options.path, "expected at least 2 tokens, got {}", wanted);

  token_sequences made;
  index read = 0;  // of the text
  for (index first = 0; std::ssize(made.tokens) < wanted; first += body) {
    const auto start = made.tokens.size();
    made.tokens.insert(made.tokens.end(), before.begin(), before.end());
    made.tokens.insert(made.tokens.end(), text.begin() + first, text.begin() + std::min(first + body, size));
    made.tokens.insert(made.tokens.end(), after.begin(), after.end());
    if (std::ssize(made.tokens) > wanted) made.tokens.resize(static_cast<std::size_t>(wanted));
    made.lengths.push_back(static_cast<index>(made.tokens.size() - start));
    read += std::clamp(made.lengths.back() - std::ssize(before), index{0}, std::min(body, size - first));
  }
  made.remarks.push_back(what_was_cut(made, model, size - read));
  return made;
}

}  // namespace examples::layerwise_llama
