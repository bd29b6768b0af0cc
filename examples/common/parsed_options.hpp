#pragma once

#include <optional>

namespace examples {

/// How a program prints numbers; csv and json have every digit.
enum class output_format { text, csv, json };

/// What a command line asks for; or, on --help, --version and a mistake, the exit status, after what CLI11 has to say was
/// printed.
template <class Options>
struct parsed_options {
  Options values;
  std::optional<int> exit_status;
};

}  // namespace examples
