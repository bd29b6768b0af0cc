#include "profile.hpp"
#include "module.hpp"

#include <layerwise/profile/profile.hpp>

// profile(), and what comes out of it.
namespace python_module {
namespace {

using layerwise::layer_metrics, layerwise::layer_profile;

/// A dict a layer: its number, and all numbers by the names that reports have, "linearity_score" ...
nb::list rows_of(const layer_profile& profile) {
  nb::list rows;
  for (const layer_metrics& layer : profile.layers) {
    nb::dict row;
    row["layer"] = nb::len(rows) + 1;
    layerwise::visit_values(&layer, [&](const std::string& name, const auto* value, std::string_view) {
      row[name.c_str()] = value == nullptr ? nb::none() : plain_value(*value);
    });
    rows.append(row);
  }
  return rows;
}

nb::dict dict_of_profile(const layer_profile& profile) {
  nb::list layers;
  for (const layer_metrics& layer : profile.layers) layers.append(plain_value(layer));
  nb::dict out;
  out["tokens"] = profile.tokens;
  out["dimensions"] = profile.dimensions;
  out["centering"] = text_of(profile.centering);
  out["final_norm"] = text_of(profile.final_norm);
  out["layers"] = layers;
  return out;
}

nb::object shown(const char* how, nb::handle profile, const nb::kwargs& options = nb::kwargs()) {
  return nb::module_::import_("layerwise._show").attr(how)(profile, **options);
}

void bind_layer_profile(nb::module_& m) {
  bind_result<layer_metrics>(m, "LayerMetrics", "Everything about one layer l, which turns h_{l-1} into h_l.");
  nb::class_<layer_profile>(m, "LayerProfile", "The profile of a stack h_0 ... h_L.")
      .def_ro("layers", &layer_profile::layers, "layers[l - 1] is layer l")
      .def_ro("tokens", &layer_profile::tokens, "those that took part")
      .def_ro("dimensions", &layer_profile::dimensions, "d")
      .def_prop_ro("centering", [](const layer_profile& p) { return text_of(p.centering); })
      .def_prop_ro("final_norm", [](const layer_profile& p) { return text_of(p.final_norm); })
      .def("to_dict", dict_of_profile, "All of it as numbers, words, lists and dicts.")
      .def("rows", rows_of, "A dict a layer: \"layer\", and every number by its flat name, \"linearity_score\" ...")
      .def(
          "to_pandas", [](nb::handle self) { return shown("to_pandas", self); },
          "A pandas.DataFrame of rows(), indexed by the layer.")
      .def(
          "plot", [](nb::handle self, const nb::kwargs& options) { return shown("plot", self, options); },
          nb::sig("def plot(self, **options: typing.Any) -> typing.Any"),
          "Draws linearities and displacement with matplotlib; ax=[two axes] draws there. The figure.")
      .def("_repr_html_", [](nb::handle self) { return nb::cast<std::string>(shown("html", self)); })
      .def("__str__", [](nb::handle self) { return nb::cast<std::string>(shown("table", self)); })
      .def("__repr__", [](const layer_profile& p) {
        return layerwise::detail::text("<LayerProfile of ", p.layers.size(), " layers, ", p.tokens, " tokens, ",
                                       p.dimensions, " dimensions>");
      });
}

}  // namespace

void bind_profile(nb::module_& m) {
  bind_layer_profile(m);
  const layerwise::profile_options defaults;
  m.def(
      "profile",
      [](const states_argument& hidden_states, const mask_argument& mask, const std::string& centering,
         const std::string& method, double tolerance, const std::string& final_norm, bool linearity) {
        const auto options = profile_options_of(centering, method, tolerance, final_norm, linearity);
        const states stack(hidden_states.value);
        const token_mask keep = mask_of(mask.value, stack.leading());
        return compute([&] { return layerwise::profile(stack.layers, options, keep); });
      },
      "hidden_states"_a.none(), "attention_mask"_a = nb::none(), nb::kw_only(), "centering"_a = "columns",
      "method"_a = "automatic", "tolerance"_a = defaults.tolerance, "final_norm"_a = "unspecified",
      "linearity"_a = defaults.linearity,
      "Every metric of every layer of hidden states h_0 ... h_L, in one pass: a list or tuple of matrices [token][dim] "
      "or [sequence][token][dim], or one array with an axis of layers before them.");
}

}  // namespace python_module
