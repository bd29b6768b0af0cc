#pragma once

#include "compute.hpp"
#include "input.hpp"
#include "python.hpp"
#include "result.hpp"

#include <layerwise/solve/linearity_options.hpp>
#include <layerwise/statistics/centering.hpp>

#include <string>
#include <utility>

/// @file
/// What functions of matrices have in common: arguments read, computed without the GIL.
namespace python_module {

using layerwise::token_mask;

/// f(x, y) of rows before and after a layer.
template <class F>
void def_rows(nb::module_& m, const char* name, F f, const char* doc) {
  m.def(
      name,
      [f](const array_argument& before, const array_argument& after) {
        const one_matrix x(before.value, "before"), y(after.value, "after", x);
        return compute([&] { return f(x.view, y.view); });
      },
      "before"_a.none(), "after"_a.none(), doc);
}

/// f(x, y, mask)
template <class F>
void def_pair(nb::module_& m, const char* name, F f, const char* doc) {
  m.def(
      name,
      [f](const array_argument& x, const array_argument& y, const mask_argument& mask) {
        const one_matrix from(x.value, "x"), to(y.value, "y", from);
        const token_mask keep = mask_of(mask.value, from.leading());
        return compute([&] { return f(from.view, to.view, keep); });
      },
      "x"_a.none(), "y"_a.none(), nb::kw_only(), "attention_mask"_a = nb::none(), doc);
}

/// f(x, mask)
template <class F>
void def_layer(nb::module_& m, const char* name, F f, const char* doc) {
  m.def(
      name,
      [f](const array_argument& x, const mask_argument& mask) {
        const one_matrix layer(x.value, "x");
        const token_mask keep = mask_of(mask.value, layer.leading());
        return compute([&] { return f(layer.view, keep); });
      },
      "x"_a.none(), nb::kw_only(), "attention_mask"_a = nb::none(), doc);
}

/// f(hidden states, mask)
template <class F>
void def_stack(nb::module_& m, const char* name, F f, const char* doc) {
  m.def(
      name,
      [f](const states_argument& hidden_states, const mask_argument& mask) {
        const states stack(hidden_states.value);
        const token_mask keep = mask_of(mask.value, stack.leading());
        return compute([&] { return f(stack.layers, keep); });
      },
      "hidden_states"_a.none(), nb::kw_only(), "attention_mask"_a = nb::none(), doc);
}

inline layerwise::centering centering_of(const std::string& word) {
  return enumerator_of<layerwise::centering>(word, "centering");
}

inline layerwise::linearity_options linearity_options_of(const std::string& centering, const std::string& method,
                                                         double tolerance) {
  return {.centering = centering_of(centering),
          .method = enumerator_of<layerwise::solver>(method, "method"),
          .tolerance = tolerance};
}

}  // namespace python_module
