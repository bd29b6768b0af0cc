#include "module.hpp"

#include "compute.hpp"

#include <layerwise/core.hpp>

#include <string>

#ifndef LAYERWISE_INSTRUCTION_SET
#error "LAYERWISE_INSTRUCTION_SET is the name of what this core is compiled for"
#endif

namespace python_module {
namespace {

std::string version() {
  return layerwise::detail::text(layerwise::version_major, ".", layerwise::version_minor, ".",
                                 layerwise::version_patch);
}

void bind_threads(nb::module_& m) {
  m.def(
      "set_num_threads",
      [](int threads) {
        if (threads < 1)
          layerwise::detail::fail<layerwise::option_error>("at least 1 thread", std::to_string(threads),
                                                           {.operand = "set_num_threads"});
        chosen_threads = threads;
      },
      "threads"_a, "How many threads each call may use from now on. Results do not depend on it.");
  m.def(
      "get_num_threads",
      [] {
#ifdef _OPENMP
        return chosen_threads > 0 ? chosen_threads.load() : omp_get_max_threads();
#else
        return 1;
#endif
      },
      "How many threads a call may use.");
}

}  // namespace

void bind(nb::module_& m) {
  m.attr("__version__") = version();
  m.attr("instruction_set") = LAYERWISE_INSTRUCTION_SET;
  nb::dict build;
  build["compiler"] = LAYERWISE_COMPILER;
  build["flags"] = LAYERWISE_FLAGS;
  m.attr("build") = build;
  bind_errors(m);
  bind_threads(m);
  bind_linearity(m);  // before profiles, whose members are linearities
  bind_profile(m);
  bind_profiler(m);
  bind_angles(m);
  bind_similarity(m);
  bind_decompositions(m);
  bind_layers(m);
  bind_stacks(m);
  bind_normalization(m);
  bind_training(m);
}

}  // namespace python_module

NB_MODULE(LAYERWISE_CORE, m) {
  m.doc() = "The core of layerwise, compiled for one set of instructions.";
  nb::set_leak_warnings(false);  // what torch's graphs hold when the interpreter ends is no leak
  python_module::bind(m);
}
