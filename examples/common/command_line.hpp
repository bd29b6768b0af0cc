#pragma once

#include <CLI/CLI.hpp>

#include <map>
#include <string>

/// What the command lines of the example programs have in common.
namespace examples {

/// Help in two columns that fit a terminal of 110.
class help_formatter : public CLI::Formatter {
 public:
  help_formatter() { column_width(38); }
};

/// Adds an option whose values are words: --name {word,word}.
template <class Target, class Value>
CLI::Option* add_choice(CLI::App& app, const std::string& name, Target& target,
                        const std::map<std::string, Value>& words, const std::string& help) {
  std::string list;
  for (const auto& [word, value] : words) list += (list.empty() ? "" : "|") + word;
  return app
      .add_option_function<std::string>(
          name, [&target, words](const std::string& word) { target = words.at(word); }, help)
      ->check(CLI::IsMember(words).description(""))
      ->type_name(list);
}

}  // namespace examples
