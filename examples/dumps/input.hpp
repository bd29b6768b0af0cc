#pragma once

#include "dumps/layer_stack.hpp"
#include "dumps/token_choice.hpp"

#include <string>
#include <vector>

namespace examples::dumps {

/// What a command line says of a dump.
struct input_options {
  std::vector<std::string> files;  // or directories of them
  stack_options stack;
  bool final_norm_is_known = false;  // what the files say of it is not looked at
  std::string mask;                  // a tensor's name, a file, or "none"
  token_choice tokens;
};

/// Opens the files and fits them together, with the tokens chosen. Throws input_error.
layer_stack read_input(const input_options& asked);

/// The model's name where the dump has it, else the file's.
std::string title_of(const layer_stack& stack);

}  // namespace examples::dumps
