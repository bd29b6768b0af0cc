#include "config.hpp"

#include "common/input_error.hpp"
#include "dumps/mapped_file.hpp"
#include "dumps/strict_json.hpp"

#include <nlohmann/json.hpp>

#include <initializer_list>
#include <optional>
#include <string_view>

namespace examples::layerwise_weights {
namespace {

using nlohmann::json;

constexpr index most = index{1} << 32;  // of anything that is counted here

/// The first of those members that is there and not null.
std::optional<index> number(const std::string& path, const json& config, std::initializer_list<const char*> names) {
  for (const auto* name : names) {
    const auto found = config.find(name);
    if (found == config.end() || found->is_null()) continue;
    if (!found->is_number_unsigned() || found->get<std::uint64_t>() > static_cast<std::uint64_t>(most))
      reject(path, "{}: expected a number from 0 to 2^32, got {}", name, in_quotes(found->dump()));
    return found->get<index>();
  }
  return std::nullopt;
}

std::vector<index> one_or_none(std::optional<index> value) {
  return value && *value > 0 ? std::vector{*value} : std::vector<index>{};
}

/// What follows from the rest where it is not said: a key is as wide as its share of the model's width.
void complete(model_config& config, std::optional<index> width) {
  if (config.key_heads.empty()) config.key_heads = config.heads;
  if (config.key_size == 0 && width && config.heads.size() == 1 && *width % config.heads.front() == 0)
    config.key_size = *width / config.heads.front();
  if (config.value_size == 0) config.value_size = config.key_size;
}

/// The integers of a key of GGUF, one or a list.
std::vector<index> numbers(const std::string& path, const gguf_file& file, const std::string& key) {
  const auto found = file.metadata.find(key);
  if (found == file.metadata.end()) return {};
  std::vector<index> result;
  if (const auto* one = std::get_if<std::int64_t>(&found->second))
    result.assign(1, *one);
  else if (const auto* many = std::get_if<std::vector<std::int64_t>>(&found->second))
    result.assign(many->begin(), many->end());
  else
    reject(path, "metadata {}: expected a number, or a list of them, got another value", in_quotes(key));
  for (const auto value : result)
    if (value < 0 || value > most)
      reject(path, "metadata {}: expected numbers from 0 to 2^32, got {}", in_quotes(key), value);
  return result;
}

index one_number(const std::string& path, const gguf_file& file, const std::string& key) {
  const auto found = numbers(path, file, key);
  return found.size() == 1 ? found.front() : 0;
}

}  // namespace

json read_json(const std::string& path) {
  constexpr int deepest = 64;  // a configuration has about six
  const dumps::mapped_file file(path);
  return dumps::parse_strictly(path, {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()},
                               deepest);
}

model_config read_config(const std::string& path) {
  auto config = read_json(path);
  if (const auto inner = config.find("text_config"); inner != config.end() && inner->is_object()) config = json(*inner);

  model_config result;
  if (const auto type = config.find("model_type"); type != config.end() && type->is_string())
    result.architecture = type->get<std::string>();
  result.heads = one_or_none(number(path, config, {"num_attention_heads", "n_head"}));
  result.key_heads = one_or_none(number(path, config, {"num_key_value_heads"}));
  result.key_size = number(path, config, {"head_dim"}).value_or(0);
  result.feed_forward = number(path, config, {"intermediate_size", "n_inner"}).value_or(0);
  if (const auto tied = config.find("tie_word_embeddings"); tied != config.end() && tied->is_boolean())
    result.ties_embeddings = tied->get<bool>();
  complete(result, number(path, config, {"hidden_size", "n_embd"}));
  return result;
}

model_config config_of(const std::string& path, const gguf_file& file) {
  model_config result;
  const auto found = file.metadata.find("general.architecture");
  const auto* name = found == file.metadata.end() ? nullptr : std::get_if<std::string>(&found->second);
  if (name == nullptr) return result;
  result.architecture = *name;
  const auto key = [&](std::string_view rest) { return result.architecture + "." + std::string(rest); };
  result.heads = numbers(path, file, key("attention.head_count"));
  result.key_heads = numbers(path, file, key("attention.head_count_kv"));
  result.key_size = one_number(path, file, key("attention.key_length"));
  result.value_size = one_number(path, file, key("attention.value_length"));
  result.feed_forward = one_number(path, file, key("feed_forward_length"));
  if (result.heads == std::vector<index>{0}) result.heads.clear();
  const auto width = one_number(path, file, key("embedding_length"));
  complete(result, width > 0 ? std::optional(width) : std::nullopt);
  return result;
}

}  // namespace examples::layerwise_weights
