#include "array.hpp"

#include <nanobind/ndarray.h>

#include <bit>
#include <string_view>

namespace python_module {
namespace {

/// The type `name` of a module that is loaded; null where it is not, for then no object can be one.
nb::object loaded_type(const char* module, const char* name) {
  const nb::dict modules = nb::borrow<nb::dict>(nb::module_::import_("sys").attr("modules"));
  if (!modules.contains(module)) return {};
  return nb::getattr(modules[module], name, nb::object());
}

bool is_a(nb::handle object, const nb::object& type) {
  if (!type.is_valid()) return false;
  const int is = PyObject_IsInstance(object.ptr(), type.ptr());
  if (is < 0) throw nb::python_error();
  return is == 1;
}

bool is_tensor(nb::handle object) { return is_a(object, loaded_type("torch", "Tensor")); }

std::string text(nb::handle object) { return nb::cast<std::string>(nb::str(object)); }

std::string device_of(nb::handle tensor) { return text(nb::getattr(tensor.attr("device"), "type")); }

/// Of a struct's letter, as PEP 3118 has it; native only.
kind kind_of(std::string_view format) {
  constexpr bool is_little = std::endian::native == std::endian::little;
  if (!format.empty() && std::string_view(is_little ? "@=<" : "@=>!").find(format.front()) != std::string_view::npos)
    format.remove_prefix(1);
  if (format.size() != 1) return kind::other;
  const auto is_of = [&](std::string_view letters) { return letters.find(format.front()) != std::string_view::npos; };
  if (is_of("?")) return kind::boolean;
  if (is_of("bhilqn")) return kind::signed_integer;
  if (is_of("BHILQN")) return kind::unsigned_integer;
  if (is_of("efd")) return kind::real;
  return kind::other;
}

kind kind_of(nb::dlpack::dtype type) {
  if (type.lanes != 1) return kind::other;
  switch (static_cast<nb::dlpack::dtype_code>(type.code)) {
    case nb::dlpack::dtype_code::Bool:
      return kind::boolean;
    case nb::dlpack::dtype_code::Int:
      return kind::signed_integer;
    case nb::dlpack::dtype_code::UInt:
      return kind::unsigned_integer;
    case nb::dlpack::dtype_code::Float:
      return kind::real;
    case nb::dlpack::dtype_code::Bfloat:
      return kind::brain;
    default:
      return kind::other;
  }
}

bool open_buffer(nb::handle object, array& out) {
  if (PyObject_CheckBuffer(object.ptr()) == 0) return false;
  auto buffer = std::make_unique<Py_buffer>();
  if (PyObject_GetBuffer(object.ptr(), buffer.get(), PyBUF_RECORDS_RO) != 0) {
    PyErr_Clear();  // numpy has types that no letter stands for
    return false;
  }
  const Py_buffer& found = *buffer;
  out.owner = std::shared_ptr<const void>(buffer.release(), [](const void* p) {
    auto* held = static_cast<Py_buffer*>(const_cast<void*>(p));
    PyBuffer_Release(held);
    delete held;
  });
  out.of = kind_of(found.format == nullptr ? "B" : found.format);
  out.item = found.itemsize;
  out.data = static_cast<const std::byte*>(found.buf);
  out.sizes.assign(found.shape, found.shape + found.ndim);
  out.strides.assign(found.strides, found.strides + found.ndim);
  return true;
}

bool open_dlpack(nb::handle object, array& out) {
  nb::ndarray<nb::ro> held;
  if (!nb::try_cast(object, held, false) || !held.is_valid()) return false;
  if (held.device_type() != nb::device::cpu::value) return false;
  out.of = kind_of(held.dtype());
  out.item = (held.dtype().bits + 7) / 8;
  out.data = static_cast<const std::byte*>(held.data());
  for (std::size_t axis = 0; axis < held.ndim(); ++axis) {
    out.sizes.push_back(static_cast<index>(held.shape(axis)));
    out.strides.push_back(held.stride(axis) * out.item);
  }
  out.owner = std::make_shared<const nb::ndarray<nb::ro>>(std::move(held));
  return true;
}

/// The tensor as plain numbers in the CPU's memory. DLPack would ignore a negative bit, and refuses the rest.
nb::object plain_tensor(nb::handle tensor) {
  nb::object plain = tensor.attr("detach")();
  const std::string device = device_of(plain);
  if (device != "cpu" && device != "meta") plain = plain.attr("cpu")();
  return plain.attr("resolve_conj")().attr("resolve_neg")();
}

/// numpy has no bfloat16 of its own, and so no letter for that of ml_dtypes.
bool is_foreign_bfloat16(nb::handle object) {
  return is_a(object, loaded_type("numpy", "ndarray")) && text(object.attr("dtype")) == "bfloat16";
}

}  // namespace

array array::operator[](index i) const {
  array part = *this;
  part.data += i * strides.front();
  part.sizes.erase(part.sizes.begin());
  part.strides.erase(part.strides.begin());
  return part;
}

bool is_on_device(nb::handle object) { return is_tensor(object) && device_of(object) != "cpu"; }

std::string description_of(nb::handle object) {
  const nb::handle type = object.type();
  const std::string module = text(type.attr("__module__")), name = text(type.attr("__qualname__"));
  std::string out = object.is_none() ? "None" : "a " + (module == "builtins" ? name : module + "." + name);
  if (nb::hasattr(object, "dtype")) out += " of " + text(object.attr("dtype"));
  if (!is_tensor(object)) return out;
  const std::string layout = text(object.attr("layout")), device = device_of(object);
  if (layout != "torch.strided") out += ", " + layout;
  if (device != "cpu") out += " on " + device;
  return out;
}

std::string text_of_sizes(const std::vector<index>& sizes) {
  std::string out;
  for (const index each : sizes) out += (out.empty() ? "" : " x ") + std::to_string(each);
  return sizes.empty() ? "a single number" : out;
}

void fail_type(const std::string& expected, const std::string& got, const std::string& where) {
  throw nb::type_error(("layerwise: expected " + expected + ", got " + got + " (" + where + ")").c_str());
}

array open_array(nb::handle object, const std::string& name) {
  constexpr auto expected = "an array in memory: of numpy, torch, or with __dlpack__ or the buffer protocol";
  array out;
  if (is_a(object, loaded_type("numpy.ma", "MaskedArray")))
    fail_type("an array without a mask of its own (attention_mask says which tokens take part)", description_of(object),
              name);
  if (is_foreign_bfloat16(object)) {
    if (!open_buffer(object.attr("view")("uint16"), out)) fail_type(expected, description_of(object), name);
    out.of = kind::brain;
    return out;
  }
  if (is_tensor(object)) {
    const bool is_plain = text(object.attr("layout")) == "torch.strided" && device_of(object) != "meta";
    const bool is_open = is_plain && open_dlpack(plain_tensor(object), out);
    if (!is_open || (out.data == nullptr && out.size() > 0))  // a tensor of torch.compile has none
      fail_type("a tensor with strides and memory", description_of(object), name);
    return out;
  }
  if (!open_buffer(object, out) && !open_dlpack(object, out)) fail_type(expected, description_of(object), name);
  return out;
}

}  // namespace python_module
