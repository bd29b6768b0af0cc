#include "module.hpp"

#include <layerwise/core.hpp>

#include <exception>

// Errors of the library as subclasses of ValueError, with their place.
namespace python_module {
namespace {

// Never let go of: a destructor would run when the interpreter is gone.
nb::handle error_type, shape_type, option_type, non_finite_type, degenerate_type, unsupported_type;

nb::handle make_type(nb::module_& m, const char* name, const char* doc, nb::handle base) {
  nb::dict members;
  if (base.is(PyExc_ValueError))
    for (const char* part : {"operand", "layer", "row", "column"}) members[part] = nb::none();
  const std::string full = nb::cast<std::string>(m.attr("__name__")) + "." + name;
  nb::object type = nb::steal(PyErr_NewExceptionWithDoc(full.c_str(), doc, base.ptr(), members.ptr()));
  if (!type.is_valid()) throw nb::python_error();
  m.attr(name) = type;
  return type.release();
}

void set_error(nb::handle type, const layerwise::error& e) {
  const nb::object error = type(e.what());
  const layerwise::place at = e.where();
  if (!at.operand.empty()) error.attr("operand") = nb::str(at.operand.data(), at.operand.size());
  if (at.layer >= 0) error.attr("layer") = at.layer;
  if (at.row >= 0) error.attr("row") = at.row;
  if (at.column >= 0) error.attr("column") = at.column;
  PyErr_SetObject(type.ptr(), error.ptr());
}

void translate(const std::exception_ptr& thrown, void*) {
  try {
    std::rethrow_exception(thrown);
  } catch (const layerwise::shape_error& e) {
    set_error(shape_type, e);
  } catch (const layerwise::option_error& e) {
    set_error(option_type, e);
  } catch (const layerwise::non_finite_error& e) {
    set_error(non_finite_type, e);
  } catch (const layerwise::degenerate_input_error& e) {
    set_error(degenerate_type, e);
  } catch (const layerwise::unsupported_error& e) {
    set_error(unsupported_type, e);
  } catch (const layerwise::error& e) {
    set_error(error_type, e);
  }
}

}  // namespace

void bind_errors(nb::module_& m) {
  error_type =
      make_type(m, "Error",
                "Bad input. operand, layer, row and column tell where, as far as it is known; None where it is "
                "not. All count from 0.",
                PyExc_ValueError);
  shape_type = make_type(m, "ShapeError", "Sizes that do not fit together, an index outside its range.", error_type);
  option_type = make_type(m, "OptionError", "An option outside its range.", error_type);
  non_finite_type =
      make_type(m, "NonFiniteError", "NaN or infinity, or a result beyond the range of float64.", error_type);
  degenerate_type = make_type(m, "DegenerateInputError", "Data for which the quantity is undefined.", error_type);
  unsupported_type = make_type(m, "UnsupportedError", "Memory that cannot be read as it is.", error_type);
  nb::register_exception_translator(translate);
}

}  // namespace python_module
