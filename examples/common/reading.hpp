#pragma once

#include <string>
#include <vector>

namespace examples {

/// What was taken from the files, for the user to see.
struct reading {
  std::vector<std::string> states;  // the names of h_0 ... h_L; of a stack one name
  std::string axes;                 // "[layer][token][dim]"
  std::string axes_because;
  bool axes_assumed = false;          // nothing but their shape says so
  std::string order_because;          // empty: the states are one tensor
  std::string mask;                   // its name; empty: none
  std::vector<std::string> left_out;  // tensors that are not taken, but could be states
  std::vector<std::string> remarks;
  bool assumed = false;  // of some of it nothing but a likelihood says so
};

}  // namespace examples
