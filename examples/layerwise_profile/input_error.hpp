#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace layerwise_profile {

/// Something is wrong with an input file or with how the files fit together. One line, printable on a
/// terminal whatever the file's bytes are: "FILE: where: expected ..., got ...".
class input_error : public std::runtime_error {
 public:
  input_error(std::string_view file, std::string_view message);
};

/// `text` with control characters written as \xNN, so that no file can move the cursor or add a line.
std::string printable(std::string_view text);

/// `name` in quotes, shortened when long: names come from files, and a header may hold megabytes of them.
std::string in_quotes(std::string_view name);

}  // namespace layerwise_profile
