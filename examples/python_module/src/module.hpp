#pragma once

#include "python.hpp"

/// @file
/// What the module is made of.
namespace python_module {

void bind_errors(nb::module_& m);
void bind_profile(nb::module_& m);
void bind_profiler(nb::module_& m);
void bind_angles(nb::module_& m);
void bind_linearity(nb::module_& m);
void bind_similarity(nb::module_& m);
void bind_decompositions(nb::module_& m);
void bind_layers(nb::module_& m);
void bind_stacks(nb::module_& m);
void bind_normalization(nb::module_& m);
void bind_training(nb::module_& m);

}  // namespace python_module
