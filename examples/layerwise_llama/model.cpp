#include "model.hpp"

#include "common/input_error.hpp"
#include "common/open_file.hpp"
#include "common/terminal.hpp"

#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <mutex>
#include <utility>

namespace examples::layerwise_llama {
namespace {

/// The first error that llama.cpp logs, until somebody asks.
struct complaints {
  std::mutex one_at_a_time;
  std::string first;
};

complaints& heard() {
  static complaints all;
  return all;
}

/// The file of the model that was loaded last.
std::string& loaded() {
  static std::string path;
  return path;
}

void listen(ggml_log_level level, const char* text, void*) {
  if (level != GGML_LOG_LEVEL_ERROR) return;
  const std::lock_guard lock(heard().one_at_a_time);
  if (!heard().first.empty()) return;
  heard().first = text;
  while (heard().first.ends_with('\n')) heard().first.pop_back();
}

/// What llama.cpp finds wrong in itself, or in a file that it did not look at well, ends the program.
void end_with(const char* message) {
  std::string_view text(message);
  while (text.ends_with('\n')) text.remove_suffix(1);
  say("layerwise-llama", "error: {}: llama.cpp gave up: {}", loaded(), text);
  std::_Exit(EXIT_FAILURE);
}

}  // namespace

std::string complaint_of_llama(const std::string& otherwise) {
  const std::lock_guard lock(heard().one_at_a_time);
  auto said = std::exchange(heard().first, {});
  return said.empty() ? otherwise : said;
}

language_model::language_model(const std::string& path) : path_(path) {
  open_file(path, "the model");
  llama_log_set(listen, nullptr);
  loaded() = path;
  ggml_set_abort_callback(end_with);
  llama_backend_init();  // once or more
  // The processor alone: what crosses between devices is copied, and the graph then names the copies.
  ggml_backend_dev_t none[] = {nullptr};
  auto params = llama_model_default_params();
  params.devices = none;
  model_.reset(llama_model_load_from_file(path.c_str(), params));
  if (!model_)
    reject(path, "llama.cpp does not load it: {}", complaint_of_llama("expected a GGUF file with a model's weights"));
  if (llama_model_has_encoder(get()))
    reject(path, "{} has an encoder: expected a model that reads a text from left to right", architecture());
}

std::string language_model::metadata(const std::string& key) const {
  const auto size = llama_model_meta_val_str(get(), key.c_str(), nullptr, 0);
  if (size <= 0) return {};
  std::string value(static_cast<std::size_t>(size) + 1, '\0');
  llama_model_meta_val_str(get(), key.c_str(), value.data(), value.size());
  value.pop_back();
  return value;
}

std::string language_model::title() const {
  const auto name = metadata("general.name");
  return name.empty() ? std::filesystem::path(path_).filename().string() : name;
}

std::string language_model::weights() const { return llama_ftype_name(llama_model_ftype(get())); }

std::vector<token> language_model::tokenize(std::string_view text) const {
  if (llama_vocab_type(vocab()) == LLAMA_VOCAB_TYPE_NONE) reject(path_, "expected a model with a tokenizer, got none");
  if (text.size() >= INT32_MAX) reject(path_, "expected a text below 2 GiB, got {} bytes", text.size());
  const auto size = static_cast<std::int32_t>(text.size());
  std::vector<token> tokens(text.size() + 1);
  const auto run = [&] {
    return llama_tokenize(vocab(), text.data(), size, tokens.data(), static_cast<std::int32_t>(tokens.size()), false,
                          false);
  };
  try {
    auto count = run();
    if (count < 0) {  // a byte may be more than one token
      tokens.resize(static_cast<std::size_t>(-count));
      count = run();
    }
    tokens.resize(static_cast<std::size_t>(count));
  } catch (const std::exception& error) {  // its C API lets some of C++'s through
    reject(path_, "llama.cpp can't tell the tokens of the text: {}", error.what());
  }
  return tokens;
}

std::vector<token> language_model::before() const {
  if (!llama_vocab_get_add_bos(vocab()) || llama_vocab_bos(vocab()) == LLAMA_TOKEN_NULL) return {};
  return {llama_vocab_bos(vocab())};
}

std::vector<token> language_model::after() const {
  if (!llama_vocab_get_add_eos(vocab()) || llama_vocab_eos(vocab()) == LLAMA_TOKEN_NULL) return {};
  return {llama_vocab_eos(vocab())};
}

}  // namespace examples::layerwise_llama
