#include "result.hpp"

#include "array.hpp"

namespace python_module {

std::string text_of_result(nb::handle self, const nb::dict& values) {
  std::string members;
  for (const auto& [key, unused] : values) {
    const std::string name = member_name(nb::cast<std::string>(key));
    const nb::object value = self.attr(name.c_str()), shape = nb::getattr(value, "shape", nb::none());
    const std::string shown = shape.is_none() ? nb::cast<std::string>(nb::repr(value))
                                              : "<array of " + nb::cast<std::string>(nb::repr(shape)) + ">";
    members += (members.empty() ? "" : ", ") + name + "=" + shown;
  }
  return nb::cast<std::string>(self.type().attr("__name__")) + "(" + members + ")";
}

}  // namespace python_module
