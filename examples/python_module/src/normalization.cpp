#include "metric.hpp"
#include "module.hpp"

#include <layerwise/data/normalized.hpp>
#include <layerwise/metrics/hypersphere.hpp>
#include <layerwise/metrics/procrustes_normalize.hpp>

#include <optional>

// Rows normalized, and steps on the sphere. What are views in C++ are arrays of float64 here.
namespace python_module {
namespace {

using layerwise::row_matrix;

/// What is one number: of Python, of numpy, or an array without axes.
std::optional<double> number_of(nb::handle object) {
  if (nb::hasattr(object, "ndim") && nb::cast<index>(object.attr("ndim")) > 0) return std::nullopt;
  const double number = PyFloat_AsDouble(object.ptr());
  if (PyErr_Occurred() == nullptr) return number;
  PyErr_Clear();
  return std::nullopt;
}

layerwise::epsilon_position position_of(const std::string& word) {
  return enumerator_of<layerwise::epsilon_position>(word, "position");
}

void bind_rows(nb::module_& m) {
  m.def(
      "rms_normalized",
      [](const array_argument& x, const std::optional<nb::object>& gain, double epsilon, const std::string& position) {
        const layerwise::epsilon_position where = position_of(position);
        const one_matrix rows(x.value, "x");
        if (!gain) return compute([&] { return row_matrix(layerwise::rms_normalized(rows.view, epsilon, where)); });
        const auto factors = one_matrix::row(*gain, "gain");
        return compute([&] { return row_matrix(layerwise::rms_normalized(rows.view, factors.view, epsilon, where)); });
      },
      "x"_a.none(), "gain"_a = nb::none(), nb::kw_only(), "epsilon"_a = 1e-6, "position"_a = "inside_root",
      "Each row over its root mean square, times the gain where there is one.");
  m.def(
      "layer_normalized",
      [](const array_argument& x, const std::optional<nb::object>& gain, const std::optional<nb::object>& bias,
         double epsilon, const std::string& position) {
        const layerwise::epsilon_position where = position_of(position);
        const one_matrix rows(x.value, "x");
        if (gain.has_value() != bias.has_value())
          layerwise::detail::fail<layerwise::option_error>("a gain and a bias, or neither", "one of them",
                                                           {.operand = "layer_normalized"});
        if (!gain) return compute([&] { return row_matrix(layerwise::layer_normalized(rows.view, epsilon, where)); });
        const auto factors = one_matrix::row(*gain, "gain"), terms = one_matrix::row(*bias, "bias");
        return compute([&] {
          return row_matrix(layerwise::layer_normalized(rows.view, factors.view, terms.view, epsilon, where));
        });
      },
      "x"_a.none(), "gain"_a = nb::none(), "bias"_a = nb::none(), nb::kw_only(), "epsilon"_a = 1e-5,
      "position"_a = "inside_root", "Each row less its mean, over its standard deviation; with a gain and a bias.");
  m.def(
      "unit_normalized",
      [](const array_argument& x) {
        const one_matrix rows(x.value, "x");
        return compute([&] { return row_matrix(layerwise::unit_normalized(rows.view)); });
      },
      "x"_a.none(), "Each row over its norm.");
}

void bind_sphere(nb::module_& m) {
  m.def(
      "hypersphere_step",
      [](const array_argument& h, const array_argument& target, const nb::object& alpha) {
        const one_matrix from(h.value, "h"), to(target.value, "target", from);
        if (const auto number = number_of(alpha))
          return compute([&] { return layerwise::hypersphere_step(from.view, to.view, *number); });
        const auto rates = one_matrix::row(alpha, "alpha");
        return compute([&] { return layerwise::hypersphere_step(from.view, to.view, rates.view); });
      },
      "h"_a.none(), "target"_a.none(), "alpha"_a,
      "Norm(h + alpha (target - h)), a layer of nGPT (arXiv 2410.01131); alpha a number, or one for each dimension.");
  m.def(
      "slerp",
      [](const array_argument& h, const array_argument& target, double alpha) {
        const one_matrix from(h.value, "h"), to(target.value, "target", from);
        return compute([&] { return layerwise::slerp(from.view, to.view, alpha); });
      },
      "h"_a.none(), "target"_a.none(), "alpha"_a, "The point at alpha of the shortest arc from h to the target.");
}

}  // namespace

void bind_normalization(nb::module_& m) {
  bind_rows(m);
  bind_sphere(m);
  m.def(
      "procrustes_normalize",
      [](const array_argument& x, const std::string& centering) {
        const layerwise::centering how = centering_of(centering);
        const one_matrix rows(x.value, "x");
        return compute([&] { return layerwise::procrustes_normalize(rows.view, how); });
      },
      "x"_a.none(), nb::kw_only(), "centering"_a = "columns", "X_c / ||X_c||_F (arXiv 2405.12250).");
}

}  // namespace python_module
