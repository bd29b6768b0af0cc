#include "profile_file.hpp"

#include "common/input_error.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <sstream>
#include <string_view>

namespace examples::layerwise_report {
namespace {

using json = nlohmann::ordered_json;

constexpr auto writer = "a profile that layerwise-profile --format json has written";

/// A value of the file, and where it is.
struct field {
  const std::string& file;
  std::string place;  // "layers[3].displacement"; empty: the whole
  const json& value;

  [[noreturn]] void reject_for(std::string_view expected) const {
    const auto got = value.dump(-1, ' ', false, json::error_handler_t::replace);
    reject(file, "{}{}expected {}, got {}", place, place.empty() ? "" : ": ", expected, shortened(got, 60));
  }

  field member(const std::string& name) const {
    if (!value.is_object()) reject_for("an object");
    const auto found = value.find(name);
    auto where = place.empty() ? name : place + "." + name;
    if (found == value.end()) reject(file, "{}: expected {}, got none", where, place.empty() ? writer : "this field");
    return {file, std::move(where), *found};
  }

  field element(std::size_t i) const { return {file, fmt::format("{}[{}]", place, i), value[i]}; }

  template <class Check>
  void each(const Check& check) const {
    if (!value.is_array()) reject_for("an array");
    for (std::size_t i = 0; i < value.size(); ++i) check(element(i));
  }
};

void check_text(const field& of) {
  if (!of.value.is_string()) of.reject_for("a text");
}
void check_text_or_null(const field& of) {
  if (!of.value.is_null() && !of.value.is_string()) of.reject_for("a text or null");
}
void check_count(const field& of) {
  if (!of.value.is_number_integer() || of.value < 0) of.reject_for("a count");
}
void check_integer(const field& of) {
  if (!of.value.is_number_integer()) of.reject_for("an integer");
}
void check_flag(const field& of) {
  if (!of.value.is_boolean()) of.reject_for("true or false");
}
void check_number_or_null(const field& of) {
  if (!of.value.is_null() && !of.value.is_number()) of.reject_for("a number or null");
}
void check_word(const field& of, std::initializer_list<std::string_view> words) {
  std::string expected;
  for (const auto word : words) {
    if (of.value.is_string() && of.value.get_ref<const std::string&>() == word) return;
    expected += fmt::format("{}\"{}\"", expected.empty() ? "" : " or ", word);
  }
  of.reject_for(expected);
}

/// Numbers, and words and flags that are shown as they are.
void check_scalar_or_null(const field& of) {
  if (of.value.is_structured()) of.reject_for("a number, text, flag or null");
}

void check_linearity(const field& of) {
  if (of.value.is_null()) return;
  for (const auto* name : {"score", "adjusted_score", "chance_floor", "error_bound"})
    check_number_or_null(of.member(name));
  check_flag(of.member("underdetermined"));
  for (const auto& [name, value] : of.value.items()) check_scalar_or_null(of.member(name));
}

void check_layer(const field& of) {
  check_integer(of.member("layer"));
  for (const auto* name : {"displacement", "jump_rate", "angular_distance", "contribution_ratio", "outlier_share"})
    check_number_or_null(of.member(name));
  for (const auto* name : {"linearity", "residual_linearity"}) check_linearity(of.member(name));
  for (const auto& [name, value] : of.value.items())
    if (name != "linearity" && name != "residual_linearity") check_scalar_or_null(of.member(name));
}

void check_input(const field& of) {
  of.member("tensors").each(check_text);
  for (const auto* name : {"axes", "axes_because"}) check_text(of.member(name));
  for (const auto* name : {"order_because", "mask"}) check_text_or_null(of.member(name));
  const auto numbers = of.member("state_numbers");
  numbers.each(check_integer);
  if (numbers.value.size() < 2) numbers.reject_for("at least two states");
  check_count(of.member("tokens_left_out"));
  for (const auto* name : {"not_read", "remarks"}) of.member(name).each(check_text);
  check_flag(of.member("assumed"));
}

/// Of all pairs of states.
void check_matrix(const field& of, std::size_t states) {
  const auto check_size = [&](const field& part) {
    if (!part.value.is_array() || part.value.size() != states)
      part.reject_for(fmt::format("an array of {}, as many as input.state_numbers", states));
  };
  check_size(of);
  of.each([&](const field& row) {
    check_size(row);
    row.each(check_number_or_null);
  });
}

void check_profile(const field& of) {
  if (!of.value.is_object() || !of.value.contains("layers")) of.reject_for(writer);
  check_text(of.member("title"));
  of.member("files").each(check_text);
  for (const auto* name : {"tokens", "dimensions"}) check_count(of.member(name));
  check_text(of.member("dtype"));
  check_word(of.member("final_norm"), {"unspecified", "before", "after"});
  check_word(of.member("centering"), {"columns", "none"});
  check_input(of.member("input"));
  const auto layers = of.member("layers");
  layers.each(check_layer);
  if (layers.value.empty()) layers.reject_for("at least one layer");
  for (const auto* name : {"angular_distances", "linear_cka"})
    if (of.value.contains(name)) check_matrix(of.member(name), of.value["input"]["state_numbers"].size());
}

}  // namespace

nlohmann::ordered_json parse_profile(const std::string& path, const std::string& text) {
  json document;
  try {
    document = json::parse(text);
  } catch (const json::parse_error& error) {
    reject(path, "byte {}: expected {}, got what is no JSON", error.byte, writer);
  } catch (const json::exception& error) {  // a number that no double holds
    reject(path, "expected {}: {}", writer, error.what());
  }
  check_profile({path, {}, document});
  return document;
}

nlohmann::ordered_json read_profile(const std::string& path) {
  if (std::filesystem::is_directory(path)) reject(path, "expected {}, got a directory", writer);
  std::ifstream file(path, std::ios::binary);
  if (!file) reject(path, "can't be opened: {}", std::strerror(errno));
  std::ostringstream text;
  text << file.rdbuf();
  if (file.bad() || text.bad()) reject(path, "can't be read");
  return parse_profile(path, text.str());
}

}  // namespace examples::layerwise_report
