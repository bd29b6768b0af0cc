#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace examples::dumps {

/// Where a JSON text stands, for messages.
struct json_place {
  std::string where;           // before each message, as "header: "
  std::size_t first_byte = 0;  // of the text, in the file
};

/// Parses a text of JSON, an object with at most `deepest` levels in one another, itself the first. The parser alone
/// keeps the last of two equal names, and any nesting, which is then copied and written by recursion; here both are
/// refused. Throws input_error.
nlohmann::json parse_strictly(const std::string& path, std::string_view text, int deepest,
                              const json_place& place = {});

}  // namespace examples::dumps
