#include "layer_names.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <map>
#include <set>
#include <tuple>

namespace layerwise_profile {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

bool contains_any(std::string_view text, std::initializer_list<std::string_view> parts) {
  return std::ranges::any_of(parts, [&](auto part) { return text.find(part) != std::string_view::npos; });
}

/// The runs of letters and of digits in a name, in lower case: l_out-12 -> l, out, 12.
std::vector<std::string> words_of(std::string_view name) {
  std::vector<std::string> words;
  char before = ' ';
  for (const char c : lower_case(name)) {
    const bool goes_on = (is_letter(c) && is_letter(before)) || (is_digit(c) && is_digit(before));
    if (goes_on)
      words.back() += c;
    else if (is_letter(c) || is_digit(c))
      words.emplace_back(1, c);
    before = c;
  }
  return words;
}

bool has_word(const std::vector<std::string>& words, std::initializer_list<std::string_view> wanted) {
  return std::ranges::any_of(
      words, [&](const std::string& w) { return std::ranges::find(wanted, w) != wanted.end(); });
}

enum class stage { embedding, block, norm, left_out, unknown };
enum class site { pre, mid, post };

/// What one name says. `pattern` is the name with its numbers and its site taken out: names of one pattern are blocks
/// of one model.
struct meaning {
  layerwise_profile::stage stage = stage::unknown;
  layerwise_profile::site site = site::post;
  std::string pattern;
  std::vector<index> numbers;
};

/// Saturates: a name may hold any number of digits.
index number_of(std::string_view digits) {
  index value = 0;
  const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return status == std::errc{} ? value : std::numeric_limits<index>::max();
}

meaning meaning_of(std::string_view name) {
  const auto lower = lower_case(name);
  const auto words = words_of(name);
  meaning result;
  for (const auto& word : words) {
    if (is_digit(word.front())) {
      result.numbers.push_back(number_of(word));
      result.pattern += " #";
    } else if (word == "pre" || word == "mid" || word == "post") {
      result.site = word == "pre" ? site::pre : word == "mid" ? site::mid : site::post;
      result.pattern += " @";
    } else {
      result.pattern += " " + word;
    }
  }
  const auto first_digit = std::ranges::find_if(lower, is_digit);
  const bool numbered = first_digit != lower.end();
  const std::string_view behind(first_digit, lower.end());

  const bool positional = has_word(words, {"pos", "position", "positions", "positional", "wpe", "rotary"});
  const bool part_of_block =
      numbered && contains_any(behind, {"attn", "attention", "mlp", "ln1", "ln2", "norm", "hook_q", "hook_k",
                                        "hook_v", "hook_z", "pattern", "ffn", "router"});
  if (means_no_state(name) || part_of_block || (positional && !numbered) || means_last_state(name))
    result.stage = stage::left_out;
  else if (numbered)
    result.stage = stage::block;
  else if (has_word(words, {"embed", "embeds", "embedding", "embeddings", "emb", "embd", "wte", "inp"}))
    result.stage = stage::embedding;
  else if (contains_any(lower, {"ln_f", "lnf", "norm_f", "ln_final", "ln_post"}) ||
           has_word(words, {"norm", "layernorm", "finalnorm"}))
    result.stage = stage::norm;
  return result;
}

/// Which of the numbers in the names tells the blocks apart; nothing when several do.
std::optional<std::size_t> counting_number(const std::vector<const meaning*>& blocks) {
  std::optional<std::size_t> result;
  const auto& first = blocks.front()->numbers;
  for (std::size_t i = 0; i < first.size(); ++i) {
    const bool varies =
        std::ranges::any_of(blocks, [&](const meaning* m) { return m->numbers[i] != first[i]; });
    if (varies && result) return std::nullopt;
    if (varies) result = i;
  }
  return result ? result : std::optional(first.size() - 1);
}

}  // namespace

bool means_last_state(std::string_view name) {
  return contains_any(lower_case(name),
                      {"last_hidden_state", "last_hidden", "lasthidden", "final_hidden_state"});
}

bool means_stack(std::string_view name) {
  return !means_last_state(name) && has_word(words_of(name), {"hiddens", "states", "layers", "activations",
                                                              "stack", "stacked", "residuals"});
}

bool means_no_state(std::string_view name) {
  return has_word(words_of(name), {"weight", "weights", "bias", "logits", "logit", "logprobs", "attentions",
                                   "loss", "cache", "lm"});
}

std::optional<layer_order> order_by_meaning(const std::vector<std::string>& names) {
  std::vector<meaning> meanings;
  for (const auto& name : names) meanings.push_back(meaning_of(name));
  std::vector<const meaning*> blocks;
  for (const auto& m : meanings) {
    if (m.stage == stage::unknown) return std::nullopt;
    if (m.stage == stage::block) blocks.push_back(&m);
  }
  std::size_t which = 0;
  if (!blocks.empty()) {
    for (const auto* m : blocks)
      if (m->pattern != blocks.front()->pattern) return std::nullopt;
    const auto counting = counting_number(blocks);
    if (!counting) return std::nullopt;
    which = *counting;
  }

  // Two names for one place are not an order: std::map would drop one.
  using place = std::tuple<stage, index, site>;
  std::map<place, std::size_t> in_order;
  layer_order result;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const auto& m = meanings[i];
    if (m.stage == stage::left_out)
      result.left_out.push_back(i);
    else if (!in_order.emplace(place{m.stage, m.stage == stage::block ? m.numbers[which] : 0, m.site}, i)
                  .second)
      return std::nullopt;
  }
  const auto has = [&](stage s) {
    return std::ranges::any_of(in_order, [&](const auto& e) { return std::get<0>(e.first) == s; });
  };
  const auto has_site = [&](site s) {
    return std::ranges::any_of(in_order, [&](const auto& e) {
      return std::get<0>(e.first) == stage::block && std::get<2>(e.first) == s;
    });
  };
  std::erase_if(in_order, [&](const auto& entry) {
    const auto& [where, number, at] = entry.first;
    const bool twice =
        where == stage::block && at == site::pre && in_order.contains({stage::block, number - 1, site::post});
    if (twice) result.left_out.push_back(entry.second);
    return twice;
  });
  if (in_order.empty()) return std::nullopt;

  const bool named = has(stage::embedding) || has(stage::norm);
  const bool several_sites = has_site(site::mid) || (has_site(site::pre) && has_site(site::post));
  const bool after_blocks = named || has_site(site::post);
  for (const auto& [where, i] : in_order) {
    result.order.push_back(i);
    const auto& [which_stage, number, at] = where;
    // Where the embeddings are named, block 0 gives h_1.
    std::optional<index> state = number;
    if (which_stage == stage::embedding) state = 0;
    if (which_stage == stage::block && named && after_blocks && number < std::numeric_limits<index>::max())
      state = number + 1;
    if (which_stage == stage::norm)
      state = result.numbers.empty() || !result.numbers.back() ? state : *result.numbers.back() + 1;
    result.numbers.push_back(several_sites ? std::nullopt : state);
  }
  result.how = has(stage::embedding) ? "embeddings" : "";
  if (has(stage::block)) result.how += (result.how.empty() ? "" : ", blocks ") + std::string("by number");
  if (has(stage::norm)) result.how += result.how.empty() ? "final norm" : ", final norm";
  return result;
}

bool speak_of_layers(const std::vector<std::string>& names) {
  return std::ranges::all_of(names, [](const auto& name) {
    const auto words = words_of(name);
    return has_word(words, {"layer", "layers", "block", "blocks", "h", "l", "resid", "embed", "embeds",
                            "embedding", "embeddings", "embd", "wte", "norm", "ln"});
  });
}

bool natural_less(std::string_view a, std::string_view b) {
  const auto take_number = [&](std::string_view& text) {
    const auto* const end = std::find_if_not(text.begin(), text.end(), is_digit);
    auto digits = text.substr(0, static_cast<std::size_t>(end - text.begin()));
    text.remove_prefix(digits.size());
    while (digits.size() > 1 && digits.front() == '0') digits.remove_prefix(1);
    return digits;
  };
  const auto whole_a = a, whole_b = b;
  while (!a.empty() && !b.empty()) {
    if (is_digit(a.front()) && is_digit(b.front())) {
      const auto x = take_number(a), y = take_number(b);
      if (x.size() != y.size()) return x.size() < y.size();
      if (x != y) return x < y;
    } else {
      if (a.front() != b.front()) return a.front() < b.front();
      a.remove_prefix(1);
      b.remove_prefix(1);
    }
  }
  if (a.empty() != b.empty()) return a.empty();
  return whole_a < whole_b;  // "h.01" and "h.1": equal as numbers, not as names
}

bool matches(std::string_view name, std::string_view pattern) {
  const auto star = pattern.find('*');
  if (star == std::string_view::npos) return name == pattern;
  if (!name.starts_with(pattern.substr(0, star))) return false;
  const auto rest = pattern.substr(star + 1);
  for (auto begin = star; begin <= name.size(); ++begin)
    if (matches(name.substr(begin), rest)) return true;
  return false;
}

}  // namespace layerwise_profile
