#pragma once

#include <nanobind/eigen/dense.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

/// @file
/// nanobind with the casters of all units: one that lacks what another has would throw std::bad_cast.
namespace nb = nanobind;
using namespace nb::literals;
