#include "dumps/input_command_line.hpp"

#include "common/command_line.hpp"
#include "dumps/axes.hpp"

#include <CLI/CLI.hpp>

#include <charconv>
#include <map>
#include <optional>
#include <system_error>

namespace examples::dumps {
namespace {

/// Rising numbers.
std::vector<index> layer_numbers_of(const std::string& option, const std::string& text) {
  std::vector<index> numbers;
  for (const auto& part : examples::parts_of(text)) {
    index value = -1;
    const auto [end, status] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (status != std::errc{} || end != part.data() + part.size() || value < 0 ||
        (!numbers.empty() && value <= numbers.back()))
      throw CLI::ValidationError(option, text + ": expected rising numbers, as in 0,8,16");
    numbers.push_back(value);
  }
  return numbers;
}

axis_order axes_of(const std::string& option, const std::string& text) {
  const auto axes = parse_axes(text);
  if (!axes)
    throw CLI::ValidationError(
        option, text + ": expected layer-major, token-major, or axes as in '[layer][batch][token][dim]'");
  return *axes;
}

/// Options that set all of `into`.
class input_group {
 public:
  input_group(CLI::App& app, const std::vector<input_options*>& into, const std::string& suffix)
      : app_(&app), into_(into), suffix_(suffix) {}

  /// An option whose value `set(input, value)` takes.
  template <class Value, class Set>
  CLI::Option* add(const std::string& name, const std::string& type, const std::string& help, const Set& set) {
    const auto into = into_;
    return app_
        ->add_option_function<Value>(
            name + suffix_,
            [into, set](const Value& value) {
              for (auto* input : into) set(*input, value);
            },
            help)
        ->type_name(type)
        ->group(suffix_.empty() ? "Input" : "");
  }

  std::string name_of(const std::string& option) const { return option + suffix_; }

 private:
  CLI::App* app_;
  std::vector<input_options*> into_;
  std::string suffix_;
};

/// What the axes are, which tensors are the states, and which of them is which layer.
void add_layers(input_group& group) {
  group.add<std::string>(
      "--layout", "AXES",
      "What the axes of a tensor are: layer-major ([layer][token][dim]),\n"
      "token-major ([token][layer][dim]), or any order, as in\n"
      "'[layer][batch][token][dim]'; default: as the metadata's layout,\n"
      "attention_mask, input_ids, token_ids, sequence_lengths or, where it leaves\n"
      "no doubt, the shape tell",
      [name = group.name_of("--layout")](input_options& o, const auto& text) { o.stack.layout = axes_of(name, text); });
  group.add<std::string>("--tensor", "NAME", "Which tensor: the stack of layers, or what the layers' names begin with",
                         [](input_options& o, const auto& text) { o.stack.tensor = text; });
  group.add<std::string>("--tensors", "NAME,...",
                         "Which tensors, one a layer, in their order, h_0 first; * stands for any\nnumber",
                         [](input_options& o, const auto& text) { o.stack.tensors = examples::parts_of(text); });
  const std::map<std::string, order_rule> rules{{"name", order_rule::by_name}, {"given", order_rule::as_given}};
  group
      .add<std::string>("--order", "given|name",
                        "Of the layers: that of the names, or the one in which they lie in the file,\n"
                        "and the files on the command line; default: as the names mean, embeddings,\n"
                        "blocks by number, final norm",
                        [rules](input_options& o, const auto& word) { o.stack.order = rules.at(word); })
      ->check(CLI::IsMember(rules).description(""));
  group.add<std::string>("--layer-numbers", "N,...",
                         "The numbers of the states in their model, where they are some of its\n"
                         "layers: one for each, as in 0,8,16",
                         [name = group.name_of("--layer-numbers")](input_options& o, const auto& text) {
                           o.stack.numbers = layer_numbers_of(name, text);
                         });
}

/// Which tokens take part.
void add_tokens(input_group& group) {
  group.add<std::string>("--mask", "NAME|FILE|none",
                         "Which tokens are real (1) and which padding (0): a tensor beside the\n"
                         "states, a file, or none; default: attention_mask, if there is one",
                         [](input_options& o, const auto& text) { o.mask = text; });
  group
      .add<index>(
          "--sequence-length", "N",
          "Tokens of a sequence, for what is said of sequences; 0: each file is one;\ndefault: as the files tell",
          [](input_options& o, index length) { o.tokens.sequence_length = length; })
      ->check(at_least(0));
  group
      .add<index>("--skip-first", "K",
                  "Leave out the first K tokens of each sequence, padding not counted\n"
                  "(the first is often an attention sink)",
                  [](input_options& o, index count) { o.tokens.skip_first = count; })
      ->check(at_least(0));
}

}  // namespace

void add_input(CLI::App& app, const std::vector<input_options*>& into, const std::string& suffix) {
  input_group group(app, into, suffix);
  add_layers(group);
  add_tokens(group);
  app.add_flag_callback(
         "--last-only" + suffix,
         [into] {
           for (auto* input : into) input->tokens.last_only = true;
         },
         "Use only the last token of each sequence")
      ->group(suffix.empty() ? "Input" : "");
}

}  // namespace examples::dumps
