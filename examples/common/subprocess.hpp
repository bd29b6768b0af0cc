#pragma once

#include <optional>
#include <string>
#include <vector>

namespace examples {

struct process_result {
  int status;          // exit status; 128 + signal when a signal ended it
  std::string output;  // its standard output
  std::string errors;  // its standard error
  long peak_memory;    // largest resident set, KiB
};

/// Runs a program found on the PATH with these arguments (no shell in between), `input` as its standard
/// input, and waits for it. Its streams are unnamed temporary files, so neither side can block on the other
/// or lose its reader. Nothing when there is no such program. Throws std::system_error when no process can be
/// had.
std::optional<process_result> run_process(const std::vector<std::string>& command, const std::string& input = {});

}  // namespace examples
