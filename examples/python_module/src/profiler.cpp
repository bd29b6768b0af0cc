#include "module.hpp"
#include "profile.hpp"

#include <layerwise/profile/layer_profiler.hpp>
#include <layerwise/profile/profiler_bytes.hpp>

#include <mutex>
#include <span>
#include <utility>

// A profiler that may be fed from several threads.
namespace python_module {
namespace {

class profiler {
 public:
  explicit profiler(const layerwise::profile_options& options) : sums_(options) {}
  explicit profiler(layerwise::layer_profiler sums) : sums_(std::move(sums)) {}

  void add(const std::vector<matrix>& layers, const token_mask& mask) {
    const std::scoped_lock lock(mutex_);
    sums_.add(layers, mask);
  }
  void merge(const profiler& other) {
    const layerwise::layer_profiler theirs = other.sums();  // not under both locks: others may merge the other way
    const std::scoped_lock lock(mutex_);
    sums_.merge(theirs);
  }
  index tokens() const {
    const std::scoped_lock lock(mutex_);
    return sums_.tokens();
  }
  /// A copy, so that others can add while it is looked at.
  layerwise::layer_profiler sums() const {
    const std::scoped_lock lock(mutex_);
    return sums_;
  }

 private:
  mutable std::mutex mutex_;
  layerwise::layer_profiler sums_;
};

nb::bytes bytes_of(const profiler& self) {
  const std::vector<unsigned char> bytes = compute([&] { return layerwise::to_bytes(self.sums()); });
  return nb::bytes(bytes.data(), bytes.size());
}

layerwise::layer_profiler sums_of(const nb::bytes& bytes) {
  const std::span some(static_cast<const unsigned char*>(bytes.data()), bytes.size());
  return compute([&] { return layerwise::profiler_from_bytes(some); });
}

nb::object file_at(nb::handle path) { return nb::module_::import_("pathlib").attr("Path")(path); }

void bind_copies(nb::class_<profiler>& type) {
  type.def("to_bytes", bytes_of, "All that it has seen: what is made of it goes on to the last bit as it would have.")
      .def_static(
          "from_bytes", [](const nb::bytes& bytes) { return new profiler(sums_of(bytes)); }, "bytes"_a,
          "The profiler that to_bytes() wrote. UnsupportedError for other bytes.")
      .def(
          "save", [](const profiler& self, nb::handle path) { file_at(path).attr("write_bytes")(bytes_of(self)); },
          "path"_a, nb::sig("def save(self, path: str | os.PathLike[str]) -> None"), "Writes to_bytes() to a file.")
      .def_static(
          "load",
          [](nb::handle path) {
            return new profiler(sums_of(nb::cast<nb::bytes>(nb::object(file_at(path).attr("read_bytes")()))));
          },
          "path"_a, nb::sig("def load(path: str | os.PathLike[str]) -> Profiler"), "The profiler that save() wrote.")
      .def("__getstate__", bytes_of)
      .def("__setstate__", [](profiler& self, const nb::bytes& bytes) { new (&self) profiler(sums_of(bytes)); })
      .def("__copy__", [](const profiler& self) { return compute([&] { return new profiler(self.sums()); }); })
      .def(
          "__deepcopy__",
          [](const profiler& self, nb::handle) { return compute([&] { return new profiler(self.sums()); }); },
          "memo"_a);
}

}  // namespace

void bind_profiler(nb::module_& m) {
  const layerwise::profile_options defaults;
  nb::class_<profiler> type(
      m, "Profiler",
      "The profile of hidden states that come in batches, from one thread or many: O(L d^2) memory. It "
      "does not depend, to the last bit, on how tokens were batched.");
  bind_copies(type);
  type.def(
          "__init__",
          [](profiler* self, const std::string& centering, const std::string& method, double tolerance,
             const std::string& final_norm, bool linearity) {
            new (self) profiler(profile_options_of(centering, method, tolerance, final_norm, linearity));
          },
          nb::kw_only(), "centering"_a = "columns", "method"_a = "automatic", "tolerance"_a = defaults.tolerance,
          "final_norm"_a = "unspecified", "linearity"_a = defaults.linearity)
      .def(
          "add",
          [](profiler& self, const states_argument& hidden_states, const mask_argument& mask) {
            const states stack(hidden_states.value);
            const token_mask keep = mask_of(mask.value, stack.leading());
            compute([&] { self.add(stack.layers, keep); });
          },
          "hidden_states"_a.none(), "attention_mask"_a = nb::none(),
          "Adds a batch, the tokens that the mask keeps. Nothing of a batch that raises is added.")
      .def(
          "merge", [](profiler& self, const profiler& other) { compute([&] { self.merge(other); }); }, "other"_a,
          "Adds all that another profiler has seen.")
      .def_prop_ro("tokens", &profiler::tokens, nb::call_guard<nb::gil_scoped_release>(), "How many took part.")
      .def(
          "profile", [](const profiler& self) { return compute([&] { return self.sums().profile(); }); },
          "The profile of what was added so far.")
      .def("__repr__", [](const profiler& self) {
        return "<Profiler, " + std::to_string(compute([&] { return self.tokens(); })) + " tokens>";
      });
}

}  // namespace python_module
