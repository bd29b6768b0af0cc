#pragma once

#include <string>

namespace examples {

/// How much memory this process may use, and what sets that limit.
struct memory_limit {
  double bytes;
  std::string set_by;  // "of memory", "of the container's memory", "of address space (ulimit -v)"
};

/// The least of the machine's memory, that of the control groups which the process is in (a container's), and what
/// `ulimit -v` has left.
memory_limit available_memory();

}  // namespace examples
