#pragma once

#include "dumps/input.hpp"

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace examples::dumps {

/// Adds the options that say how a dump is read, but for its files: each sets all of `into`. `suffix` comes after every
/// option's name, for a second dump ("-b"); no help is shown of those.
void add_input(CLI::App& app, const std::vector<input_options*>& into, const std::string& suffix = {});

}  // namespace examples::dumps
