#pragma once

#include <layerwise/core.hpp>

#include <llama.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace examples::layerwise_llama {

using layerwise::index;
using token = llama_token;

/// A model in a GGUF file. Throws input_error with the file's name and what llama.cpp has to say.
class language_model {
 public:
  explicit language_model(const std::string& path);

  llama_model* get() const { return model_.get(); }
  const std::string& path() const { return path_; }
  /// What the file says of a key, "general.name"; empty where it says nothing.
  std::string metadata(const std::string& key) const;
  /// What it calls itself, else the file's name.
  std::string title() const;
  std::string architecture() const { return metadata("general.architecture"); }
  /// The type of most of its weights, "Q4_1".
  std::string weights() const;
  /// How many tokens it was trained to see at once.
  index context() const { return llama_model_n_ctx_train(get()); }
  index vocabulary() const { return llama_vocab_n_tokens(vocab()); }

  /// The tokens of a text, none of which are special ones.
  std::vector<token> tokenize(std::string_view text) const;
  /// The special tokens that it wants before a text, and after: BOS and EOS, or none.
  std::vector<token> before() const;
  std::vector<token> after() const;

 private:
  const llama_vocab* vocab() const { return llama_model_get_vocab(get()); }

  std::string path_;
  std::unique_ptr<llama_model, decltype(&llama_model_free)> model_{nullptr, llama_model_free};
};

/// What llama.cpp complained of first since it was asked last, else `otherwise`; all else that it logs is not shown.
std::string complaint_of_llama(const std::string& otherwise);

}  // namespace examples::layerwise_llama
