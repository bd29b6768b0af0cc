#include "metric.hpp"
#include "module.hpp"

#include <layerwise/data/normalized.hpp>
#include <layerwise/metrics/hypersphere.hpp>
#include <layerwise/metrics/procrustes_normalize.hpp>

#include <optional>
#include <variant>

// Rows normalized, and steps on the sphere. What are views in C++ are arrays of float64 here.
namespace python_module {
namespace {

using layerwise::row_matrix;

/// A vector of d values, as an embedding matrix of one row.
struct weights {
  array memory;
  matrix view;

  weights(nb::handle object, const std::string& name) : weights(nb::steal(unsqueeze(object)), name, 0) {}

 private:
  weights(const nb::object& row, const std::string& name, int) : weights(one_matrix(row, name)) {}
  explicit weights(one_matrix row) : memory(std::move(row.memory)), view(row.view) {}

  /// object[None]
  static PyObject* unsqueeze(nb::handle object) {
    PyObject* row = PyObject_GetItem(object.ptr(), nb::make_tuple(nb::none()).ptr());
    if (row == nullptr) throw nb::python_error();
    return row;
  }
};

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
        const weights factors(*gain, "gain");
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
        const weights factors(*gain, "gain"), terms(*bias, "bias");
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
      [](const array_argument& h, const array_argument& target, const std::variant<double, nb::object>& alpha) {
        const one_matrix from(h.value, "h"), to(target.value, "target");
        if (const double* number = std::get_if<double>(&alpha))
          return compute([&] { return layerwise::hypersphere_step(from.view, to.view, *number); });
        const weights rates(std::get<nb::object>(alpha), "alpha");
        return compute([&] { return layerwise::hypersphere_step(from.view, to.view, rates.view); });
      },
      "h"_a.none(), "target"_a.none(), "alpha"_a,
      "Norm(h + alpha (target - h)), a layer of nGPT (arXiv 2410.01131); alpha a number, or one for each dimension.");
  m.def(
      "slerp",
      [](const array_argument& h, const array_argument& target, double alpha) {
        const one_matrix from(h.value, "h"), to(target.value, "target");
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
