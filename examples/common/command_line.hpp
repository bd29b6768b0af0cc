#pragma once

#include "common/parsed_options.hpp"
#include "common/write_file.hpp"

#include <layerwise/core/version.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <cstddef>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

/// What the command lines of the example programs have in common.
namespace examples {

/// Help in two columns that fit a terminal of 110.
class help_formatter : public CLI::Formatter {
 public:
  help_formatter() { column_width(38); }
};

/// What --help and --version say a program is.
inline void name_program(CLI::App& app, const std::string& name) {
  app.name(name);
  app.formatter(std::make_shared<help_formatter>());
  app.set_version_flag("--version", fmt::format("{} {}.{}.{}", name, LAYERWISE_VERSION_MAJOR, LAYERWISE_VERSION_MINOR,
                                                LAYERWISE_VERSION_PATCH));
}

/// The parts of "a,b,c". CLI11's own lists would take the files that follow for more of them.
inline std::vector<std::string> parts_of(const std::string& text) {
  std::vector<std::string> parts(1);
  for (const char c : text)
    if (c == ',')
      parts.emplace_back();
    else
      parts.back() += c;
  return parts;
}

inline CLI::Validator at_least(std::ptrdiff_t lowest) {
  return CLI::Range(lowest, std::numeric_limits<std::ptrdiff_t>::max()).description("");
}

/// Adds an option for the name of a file to be written: that it can be is known before, not after, what takes long.
inline CLI::Option* add_output_file(CLI::App& app, const std::string& name, std::string& file,
                                    const std::string& help) {
  return app.add_option(name, file, help)
      ->check(CLI::Validator([](const std::string& given) { return why_not_writable(given); }, ""))
      ->type_name("FILE");
}

/// For the name of a picture.
inline CLI::Validator picture_name() {
  return {[](const std::string& name) {
            return name.ends_with(".svg") || name.ends_with(".png") ? "" : "expected a name ending in .svg or .png";
          },
          ""};
}

/// For the name of a page.
inline CLI::Validator page_name() {
  return {[](const std::string& name) { return name.ends_with(".html") ? "" : "expected a name ending in .html"; }, ""};
}

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

/// Adds --format {text,csv,json}; `text` is the word for the first.
inline CLI::Option* add_format(CLI::App& app, output_format& format, const std::string& text, const std::string& help) {
  return add_choice(app, "--format", format,
                    std::map<std::string, output_format>{
                        {text, output_format::text}, {"csv", output_format::csv}, {"json", output_format::json}},
                    "Of the numbers (default: " + text + "); " + help);
}

/// Parses, then calls `check`, which may throw a CLI::ParseError, too. Gives back the exit status where the program ends
/// with that, after printing what there is to say.
inline std::optional<int> parse(CLI::App& app, int argc, char** argv, const std::function<void()>& check) {
  try {
    app.parse(argc, argv);
    check();
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 1;
  }
  return std::nullopt;
}

}  // namespace examples
