#include "dumps/layer_names.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <compare>
#include <limits>
#include <map>

namespace examples::dumps {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

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
  return std::ranges::any_of(words, [&](const std::string& w) { return std::ranges::find(wanted, w) != wanted.end(); });
}

enum class stage { embedding, block, norm, left_out, unknown };
enum class site { pre, mid, post };

/// Words before a number that counts something else than layers.
constexpr std::string_view counted_otherwise[] = {
    "prompt", "sample",     "text", "batch",    "request", "req",    "seq",   "sequence", "step",
    "token",  "tokens",     "doc",  "document", "example", "item",   "chunk", "shard",    "part",
    "epoch",  "checkpoint", "ckpt", "run",      "head",    "expert", "user",  "prompts"};

/// Words before the number of a layer.
constexpr std::string_view layer_words[] = {"layer", "layers", "block",  "blocks",    "h",
                                            "l",     "state",  "states", "hidden",    "resid",
                                            "out",   "emb",    "embed",  "embedding", "embeddings"};

/// A number with a sign, not with a dash before it: layer_-1, hidden_states[-3], but l_out-1.
bool has_negative_number(std::string_view name) {
  for (std::size_t i = 0; i + 1 < name.size(); ++i)
    if (name[i] == '-' && is_digit(name[i + 1]) && (i == 0 || !(is_letter(name[i - 1]) || is_digit(name[i - 1]))))
      return true;
  return false;
}

/// What one name says. `pattern` is the name with its numbers and its site taken out: names of one pattern are blocks
/// of one model.
struct meaning {
  dumps::stage stage = stage::unknown;
  dumps::site site = site::post;
  std::string pattern;
  std::vector<index> numbers;
  std::vector<bool> counts_layers;  // of each number: no word before it says otherwise
  bool numbers_a_layer = false;     // of one of them: the word before it says so
};

/// Saturates: a name may hold any number of digits.
index number_of(std::string_view digits) {
  index value = 0;
  const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return status == std::errc{} ? value : std::numeric_limits<index>::max();
}

/// The pattern of a name, its site and its numbers.
meaning read_words(const std::vector<std::string>& words) {
  meaning result;
  std::string before;
  for (const auto& word : words) {
    if (is_digit(word.front())) {
      result.numbers.push_back(number_of(word));
      result.counts_layers.push_back(std::ranges::find(counted_otherwise, before) == std::end(counted_otherwise));
      result.numbers_a_layer =
          result.numbers_a_layer || std::ranges::find(layer_words, before) != std::end(layer_words);
      result.pattern += " #";
    } else if (word == "pre" || word == "mid" || word == "post") {
      result.site = word == "pre" ? site::pre : word == "mid" ? site::mid : site::post;
      result.pattern += " @";
    } else {
      result.pattern += " " + word;
    }
    before = word;
  }
  return result;
}

stage stage_of(std::string_view name, const std::vector<std::string>& words, bool numbers_a_layer) {
  if (has_negative_number(name)) return stage::unknown;
  const auto lower = lower_case(name);
  const auto first_digit = std::ranges::find_if(lower, is_digit);
  const std::string_view behind(first_digit, lower.end());
  const bool is_embedding =
      has_word(words, {"embed", "embeds", "embedding", "embeddings", "emb", "embd", "wte", "inp"});
  const bool is_norm = contains_any(lower, {"ln_f", "lnf", "norm_f", "ln_final", "ln_post"}) ||
                       has_word(words, {"norm", "layernorm", "finalnorm"});
  // gpt2.wte has a digit, and no number.
  const bool numbered = first_digit != lower.end() && (numbers_a_layer || !(is_embedding || is_norm));
  const bool positional = has_word(words, {"pos", "position", "positions", "positional", "wpe", "rotary"});
  const bool part_of_block =
      numbered && contains_any(behind, {"attn", "attention", "mlp", "ln1", "ln2", "norm", "hook_q", "hook_k", "hook_v",
                                        "hook_z", "pattern", "ffn", "router"});
  if (means_no_state(name) || part_of_block || (positional && !numbered) || means_last_state(name))
    return stage::left_out;
  if (numbered) return stage::block;
  if (is_embedding) return stage::embedding;
  return is_norm && !has_word(words, {"pre", "input", "first"}) ? stage::norm : stage::unknown;
}

meaning meaning_of(std::string_view name) {
  const auto words = words_of(name);
  auto result = read_words(words);
  result.stage = stage_of(name, words, result.numbers_a_layer);
  return result;
}

/// Which of the numbers in the names tells the blocks apart; nothing when several do.
std::optional<std::size_t> counting_number(const std::vector<const meaning*>& blocks) {
  std::optional<std::size_t> result;
  const auto& first = blocks.front()->numbers;
  for (std::size_t i = 0; i < first.size(); ++i) {
    const bool varies = std::ranges::any_of(blocks, [&](const meaning* m) { return m->numbers[i] != first[i]; });
    if (varies && result) return std::nullopt;
    if (varies) result = i;
  }
  return result ? result : std::optional(first.size() - 1);
}

/// Which number of the names is that of their blocks: nothing where names are not understood, or not of one kind.
std::optional<std::size_t> block_number(const std::vector<meaning>& meanings) {
  std::vector<const meaning*> blocks;
  for (const auto& m : meanings) {
    if (m.stage == stage::unknown) return std::nullopt;
    if (m.stage == stage::block) blocks.push_back(&m);
  }
  if (blocks.empty()) return 0;
  for (const auto* m : blocks)
    if (m->pattern != blocks.front()->pattern) return std::nullopt;
  const auto which = counting_number(blocks);
  if (!which) return std::nullopt;
  for (const auto* m : blocks)
    if (!m->counts_layers[*which]) return std::nullopt;
  return which;
}

/// Where in the model a state is; in the order of the stages, of the blocks, and of the sites in a block.
struct place {
  dumps::stage stage;
  index block;
  dumps::site site;

  bool is_block_at(dumps::site where) const { return stage == stage::block && site == where; }
  auto operator<=>(const place&) const = default;
};
using places = std::map<place, std::size_t>;  // of the names

/// Notes those left out. Nothing where two names have one place: that is no order.
std::optional<places> places_of(const std::vector<meaning>& meanings, std::size_t number, layer_order& result) {
  places found;
  for (std::size_t i = 0; i < meanings.size(); ++i) {
    const auto& m = meanings[i];
    if (m.stage == stage::left_out)
      result.left_out.push_back(i);
    else if (!found.emplace(place{m.stage, m.stage == stage::block ? m.numbers[number] : 0, m.site}, i).second)
      return std::nullopt;
  }
  return found;
}

template <class Which>
void leave_out(places& from, layer_order& result, const Which& which) {
  std::erase_if(from, [&](const auto& entry) {
    const bool out = which(entry.first);
    if (out) result.left_out.push_back(entry.second);
    return out;
  });
}

template <class Which>
bool any_place(const places& where, const Which& which) {
  return std::ranges::any_of(where, [&](const auto& entry) { return which(entry.first); });
}

/// A state that is there twice is taken once.
void leave_out_inputs(places& where, layer_order& result) {
  // Beside the input of the first block the embeddings are no state of their own: positions may have been added.
  const auto first = std::ranges::find_if(where, [](const auto& e) { return e.first.stage == stage::block; });
  if (first != where.end() && first->first.site == site::pre)
    leave_out(where, result, [](const place& p) { return p.stage == stage::embedding; });
  const auto with_output_before = [&](const place& p) {
    return p.is_block_at(site::pre) && where.contains({stage::block, p.block - 1, site::post});
  };
  leave_out(where, result, with_output_before);
}

/// The order, and the numbers of the states.
void number_states(const places& where, layer_order& result) {
  const auto has_site = [&](site s) { return any_place(where, [&](const place& p) { return p.is_block_at(s); }); };
  const bool several_sites = has_site(site::mid) || (has_site(site::pre) && has_site(site::post));
  // Beside embeddings block 0 gives h_1; where blocks are counted from 1 their numbers are those of the states.
  index first_block = 1;
  for (const auto& [at, i] : where)
    if (at.stage == stage::block) first_block = std::min(first_block, at.block);
  const bool embeddings = any_place(where, [](const place& p) { return p.stage == stage::embedding; });
  const index shift = embeddings && first_block == 0 ? 1 : 0;
  for (const auto& [at, i] : where) {
    result.order.push_back(i);
    std::optional<index> state = 0;  // of the embeddings
    if (at.stage == stage::block) state = at.block < std::numeric_limits<index>::max() ? at.block + shift : at.block;
    if (at.stage == stage::norm && !result.numbers.empty() && result.numbers.back()) state = *result.numbers.back() + 1;
    result.numbers.push_back(several_sites ? std::nullopt : state);
  }
}

/// "embeddings, blocks by number, final norm"
std::string order_text(const places& where) {
  const auto has = [&](stage s) { return any_place(where, [&](const place& p) { return p.stage == s; }); };
  std::string text = has(stage::embedding) ? "embeddings" : "";
  if (has(stage::block)) text += (text.empty() ? "" : ", blocks ") + std::string("by number");
  if (has(stage::norm)) text += text.empty() ? "final norm" : ", final norm";
  return text;
}

}  // namespace

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

bool means_last_state(std::string_view name) {
  return !has_word(words_of(name), {"norm", "layernorm"}) &&
         contains_any(lower_case(name),
                      {"last_hidden", "lasthidden", "final_hidden", "final_layer", "states_last", "hidden_last",
                       "last_layer", "last_state", "sequence_output", "encoder_output", "pooled", "pooler"});
}

bool means_one_layer(std::string_view name) {
  const auto meaning = meaning_of(name);
  if (means_last_state(name) || meaning.stage == stage::embedding || meaning.stage == stage::norm) return true;
  const auto words = words_of(name);
  const bool one_state = has_word(words, {"state"}) && meaning.numbers.empty();
  return one_state || (meaning.stage == stage::block && meaning.numbers_a_layer);
}

bool numbers_a_layer(std::string_view name) { return meaning_of(name).numbers_a_layer; }

bool means_first_or_last(std::string_view name) {
  const auto what = meaning_of(name).stage;
  return what == stage::embedding || what == stage::norm;
}

bool differ_in_numbers(std::string_view a, std::string_view b) {
  const auto first = meaning_of(a), second = meaning_of(b);
  return !first.numbers.empty() && first.pattern == second.pattern;
}

bool means_stack(std::string_view name) {
  return !means_last_state(name) &&
         has_word(words_of(name), {"hiddens", "states", "layers", "activations", "stack", "stacked", "residuals"});
}

bool means_no_state(std::string_view name) {
  return has_word(words_of(name),
                  {"weight", "weights", "bias", "kernel", "grad", "logits", "logit", "logprobs", "probs", "attn",
                   "attention", "attentions", "mlp", "keys", "queries", "pixel", "labels", "loss"});
}

std::optional<layer_order> order_by_meaning(const std::vector<std::string>& names) {
  std::vector<meaning> meanings;
  for (const auto& name : names) meanings.push_back(meaning_of(name));
  const auto number = block_number(meanings);
  if (!number) return std::nullopt;
  layer_order result;
  auto where = places_of(meanings, *number, result);
  if (!where) return std::nullopt;
  leave_out_inputs(*where, result);
  if (where->empty()) return std::nullopt;
  number_states(*where, result);
  result.how = order_text(*where);
  return result;
}

bool speak_of_layers(const std::vector<std::string>& names) {
  return std::ranges::all_of(names, [](const auto& name) {
    const auto words = words_of(name);
    return has_word(words, {"layer", "layers", "block", "blocks", "h", "l", "resid", "hidden", "embed", "embeds",
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
  // Back to the last star when what follows it does not fit.
  std::size_t at = 0, in = 0, star = std::string_view::npos, tried = 0;
  while (at < name.size()) {
    if (in < pattern.size() && pattern[in] == '*') {
      star = in++, tried = at;
    } else if (in < pattern.size() && pattern[in] == name[at]) {
      ++in, ++at;
    } else if (star != std::string_view::npos) {
      in = star + 1, at = ++tried;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', in) == std::string_view::npos;
}

}  // namespace examples::dumps
