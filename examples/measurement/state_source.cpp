#include "measurement/state_source.hpp"

#include "common/input_error.hpp"

#include <fmt/format.h>

namespace examples::measurement {
namespace {

/// Where they are not h_0, h_1 ...
std::string which_states(const std::vector<index>& states) {
  if (states.front() == 0 && states.back() == std::ssize(states) - 1) return {};
  if (states.size() == 2) return fmt::format(", layers 0 and 1 are states {} and {}", states.front(), states.back());
  return fmt::format(", layer 0 is state {}", states.front());
}

}  // namespace

void reject_states(const std::string& path, index first_token, index tokens, const std::vector<index>& states,
                   const std::string& what) {
  reject(path, "in tokens {} to {} (row 0 is token {}{}): {}", first_token, first_token + tokens - 1, first_token,
         which_states(states), what);
}

}  // namespace examples::measurement
