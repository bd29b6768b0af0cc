#pragma once

#include "array.hpp"
#include "nested_rows.hpp"

#include <layerwise/data.hpp>

#include <cstdint>
#include <string>
#include <vector>

/// @file
/// The arguments of functions: matrices, hidden states, attention masks.
namespace python_module {

/// Arguments as they come, so that what is wrong with them can be said with the argument's name. The names of the types
/// are those of layerwise/typing.py.
struct array_argument {
  nb::object value;
};
struct states_argument {
  nb::object value;
};
struct mask_argument {
  nb::object value;
};

/// One matrix: [token][dim] or [sequence][token][dim].
struct one_matrix {
  array memory;
  matrix view;

  one_matrix(nb::handle object, const std::string& name);
  /// Of the same tokens as another one. ShapeError where both have sequences, of other sizes: rows would be paired with
  /// those of other tokens.
  one_matrix(nb::handle object, const std::string& name, const one_matrix& beside);
  /// A vector [dim] as one row.
  static one_matrix row(nb::handle object, const std::string& name);

  /// The sizes but for the last: of tokens, or of sequences and tokens.
  std::vector<index> leading() const { return {memory.sizes.begin(), memory.sizes.end() - 1}; }

 private:
  explicit one_matrix(array opened);
};

/// h_0 ... h_L: a list or tuple of matrices, or one array with an axis of layers before them.
struct states {
  std::vector<array> memory;
  std::vector<matrix> layers;

  explicit states(nb::handle object, const std::string& name = "hidden_states");

  std::vector<index> leading() const;

 private:
  void add(array layer, const std::string& name);
};

/// The mask of tokens whose matrix has these sizes before its last. Of numbers that are 0 or 1, as many; with the same
/// sizes where the matrix has sequences, else with any. None: all tokens.
layerwise::token_mask mask_of(nb::handle object, const std::vector<index>& leading);

}  // namespace python_module

namespace nanobind::detail {

template <>
struct type_caster<python_module::array_argument> {
  NB_TYPE_CASTER(python_module::array_argument, const_name("layerwise.typing.Array"))
  bool from_python(handle source, std::uint32_t, cleanup_list*) noexcept { return value.value = borrow(source), true; }
};

template <>
struct type_caster<python_module::states_argument> {
  NB_TYPE_CASTER(python_module::states_argument, const_name("layerwise.typing.HiddenStates"))
  bool from_python(handle source, std::uint32_t, cleanup_list*) noexcept { return value.value = borrow(source), true; }
};

template <>
struct type_caster<python_module::mask_argument> {
  NB_TYPE_CASTER(python_module::mask_argument, const_name("layerwise.typing.Mask"))
  bool from_python(handle source, std::uint32_t, cleanup_list*) noexcept { return value.value = borrow(source), true; }
};

}  // namespace nanobind::detail
