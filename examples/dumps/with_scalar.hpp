#pragma once

#include "dumps/data_type.hpp"

#include <Eigen/Core>

#include <stdexcept>

namespace examples::dumps {

/// Calls function(Scalar()) with the C++ type of a profilable `type`: the one place where the file's element
/// type becomes a type of the program.
template <class Function>
decltype(auto) with_scalar(data_type type, Function&& function) {
  switch (type) {  // NOLINTBEGIN(bugprone-branch-clone): the branches differ in the type
    case data_type::f64:
      return function(double());
    case data_type::f32:
      return function(float());
    case data_type::f16:
      return function(Eigen::half());
    case data_type::bf16:
      return function(Eigen::bfloat16());
    default:
      throw std::logic_error("with_scalar: not a profilable element type");
  }  // NOLINTEND(bugprone-branch-clone)
}

}  // namespace examples::dumps
