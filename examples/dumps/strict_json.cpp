#include "dumps/strict_json.hpp"

#include "common/input_error.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>
#include <vector>

namespace examples::dumps {

using nlohmann::json;

json parse_strictly(const std::string& path, std::string_view text, int deepest, const json_place& place) {
  std::vector<std::set<std::string>> keys;  // of the objects being read, outermost first
  const auto check = [&](int depth, json::parse_event_t event, json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
      case json::parse_event_t::array_start:
        if (depth >= deepest) reject(path, "{}expected at most {} nested levels, got more", place.where, deepest);
        keys.emplace_back();
        break;
      case json::parse_event_t::key:
        if (!keys.back().insert(parsed.get_ref<const std::string&>()).second)
          reject(path, "{}expected each name once, got {} twice", place.where,
                 in_quotes(parsed.get_ref<const std::string&>()));
        break;
      case json::parse_event_t::object_end:
      case json::parse_event_t::array_end:
        keys.pop_back();
        break;
      default:
        break;
    }
    return true;
  };
  try {
    auto parsed = json::parse(text.begin(), text.end(), check);
    if (!parsed.is_object()) reject(path, "{}expected a JSON object, got {}", place.where, parsed.type_name());
    return parsed;
  } catch (const json::parse_error& error) {
    reject(path, "{}expected JSON in UTF-8, got an error at byte {} of the file", place.where,
           place.first_byte + std::max<std::size_t>(error.byte, 1) - 1);
  } catch (const json::out_of_range&) {
    reject(path, "{}expected numbers that fit 64 bits, got a larger one", place.where);
  }
}

}  // namespace examples::dumps
