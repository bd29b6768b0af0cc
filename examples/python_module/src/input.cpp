#include "input.hpp"

#include <layerwise/core.hpp>

#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

namespace python_module {
namespace {

using layerwise::scalar_type;

std::optional<scalar_type> scalar_of(const array& a) {
  if (a.of == kind::brain && a.item == 2) return scalar_type::bfloat16;
  if (a.of != kind::real) return std::nullopt;
  if (a.item == 8) return scalar_type::float64;
  if (a.item == 4) return scalar_type::float32;
  if (a.item == 2) return scalar_type::float16;
  return std::nullopt;
}

array open_floats(nb::handle object, const std::string& name) {
  array opened = open_array(object, name);
  if (!scalar_of(opened))
    fail_type("elements of float64, float32, float16 or bfloat16, in this machine's order of bytes",
              description_of(object), name);
  return opened;
}

[[noreturn]] void fail_rank(const std::string& expected, const array& got, const std::string& name) {
  layerwise::detail::fail<layerwise::shape_error>(expected, text_of_sizes(got.sizes), {.operand = name});
}

void require_same_sequences(const array& a, const array& beside, const std::string& name) {
  if (a.rank() != 3 || beside.rank() != 3 || (a.sizes[0] == beside.sizes[0] && a.sizes[1] == beside.sizes[1])) return;
  fail_rank(text_of_sizes({beside.sizes[0], beside.sizes[1]}) + " tokens, [sequence][token], as before", a, name);
}

/// Strides of axes that have no second element do not count.
matrix view_of(const array& a) {
  const scalar_type type = *scalar_of(a);
  const bool has_sequences = a.rank() == 3;
  const std::size_t first = has_sequences ? 1 : 0;
  nested_rows rows{type,
                   a.data,
                   has_sequences ? a.sizes[0] : 1,
                   a.sizes[first],
                   a.sizes[first + 1],
                   has_sequences ? a.strides[0] : 0,
                   a.strides[first],
                   a.strides[first + 1]};
  if (rows.dimensions <= 1) rows.stride = a.item;
  if (rows.length <= 1) rows.token_stride = rows.sequence_stride;
  const index count = rows.sequences * rows.length;
  if (count <= 1) rows.token_stride = rows.dimensions * a.item;
  if (count == 0 || rows.dimensions == 0) {
    rows.token_stride = rows.stride = a.item;
    if (rows.length == 0) rows.length = 1, rows.sequences = 0;  // no row is asked for; none is divided by 0
  }

  const bool is_flat =
      rows.sequences <= 1 || rows.length <= 1 || rows.sequence_stride == rows.length * rows.token_stride;
  const auto is_stride = [&](index stride, index size) { return stride % a.item == 0 && (stride != 0 || size <= 1); };
  const bool is_aligned = reinterpret_cast<std::uintptr_t>(a.data) % static_cast<std::uintptr_t>(a.item) == 0;
  if (!is_flat || !is_aligned || !is_stride(rows.token_stride, count) || !is_stride(rows.stride, rows.dimensions))
    return rows;
  return std::visit([](auto view) -> matrix { return view; },
                    layerwise::make_view(type, static_cast<const void*>(a.data), count, rows.dimensions,
                                         rows.token_stride / a.item, rows.stride / a.item));
}

/// Element i of an array of any rank, counted with the last axis fastest.
const std::byte* element(const array& a, index i) {
  const std::byte* at = a.data;
  for (std::size_t axis = a.sizes.size(); axis-- > 0; i /= a.sizes[axis]) at += i % a.sizes[axis] * a.strides[axis];
  return at;
}

template <class T>
double as(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return static_cast<double>(value);
}

double number_at(const std::byte* from, kind of, index item) {
  const bool is_signed = of == kind::signed_integer;
  if (of == kind::brain) return as<Eigen::bfloat16>(from);
  if (of == kind::real) return item == 8 ? as<double>(from) : item == 4 ? as<float>(from) : as<Eigen::half>(from);
  switch (item) {
    case 1:
      return is_signed ? as<std::int8_t>(from) : as<std::uint8_t>(from);
    case 2:
      return is_signed ? as<std::int16_t>(from) : as<std::uint16_t>(from);
    case 4:
      return is_signed ? as<std::int32_t>(from) : as<std::uint32_t>(from);
    default:
      return is_signed ? as<std::int64_t>(from) : as<std::uint64_t>(from);
  }
}

}  // namespace

one_matrix::one_matrix(array opened) : memory(std::move(opened)), view(view_of(memory)) {}

one_matrix::one_matrix(nb::handle object, const std::string& name)
    : one_matrix([&] {
        array opened = open_floats(object, name);
        if (opened.rank() != 2 && opened.rank() != 3)
          fail_rank("a matrix [token][dim] or [sequence][token][dim]", opened, name);
        return opened;
      }()) {}

one_matrix::one_matrix(nb::handle object, const std::string& name, const one_matrix& beside)
    : one_matrix(object, name) {
  require_same_sequences(memory, beside.memory, name);
}

one_matrix one_matrix::row(nb::handle object, const std::string& name) {
  array opened = open_floats(object, name);
  if (opened.rank() != 1) fail_rank("a vector [dim]", opened, name);
  opened.sizes.insert(opened.sizes.begin(), 1);
  opened.strides.insert(opened.strides.begin(), 0);
  return one_matrix(std::move(opened));
}

states::states(nb::handle object, const std::string& name) {
  const auto name_of = [&](index l) { return name + "[" + std::to_string(l) + "]"; };
  if (nb::isinstance<nb::list>(object) || nb::isinstance<nb::tuple>(object)) {
    index l = 0;
    for (const nb::handle layer : object) add(open_floats(layer, name_of(l)), name_of(l)), ++l;
  } else if (is_on_device(object) && nb::cast<index>(object.attr("dim")()) > 2) {
    // A layer at a time: the device never holds a second copy, and no copy of all layers is made in one piece.
    for (index l = 0, count = nb::cast<index>(object.attr("size")(0)); l < count; ++l)
      add(open_floats(object[nb::int_(l)], name_of(l)), name_of(l));
  } else {
    const array stack = open_floats(object, name);
    if (stack.rank() != 3 && stack.rank() != 4)
      fail_rank("a list of layers, or an array [layer][token][dim] or [layer][sequence][token][dim]", stack, name);
    for (index l = 0; l < stack.sizes.front(); ++l) add(stack[l], name_of(l));
  }
}

void states::add(array layer, const std::string& name) {
  if (layer.rank() != 2 && layer.rank() != 3) fail_rank("a layer [token][dim] or [sequence][token][dim]", layer, name);
  for (const array& before : memory) require_same_sequences(layer, before, name);
  layers.push_back(view_of(layer));
  memory.push_back(std::move(layer));
}

std::vector<index> states::leading() const {
  if (memory.empty()) return {0};
  return {memory.front().sizes.begin(), memory.front().sizes.end() - 1};
}

layerwise::token_mask mask_of(nb::handle object, const std::vector<index>& leading) {
  if (object.is_none()) return {};
  const std::string name = "attention_mask";
  const array mask = open_array(object, name);
  const bool is_number = mask.of != kind::other && mask.item <= 8;
  if (!is_number) fail_type("a mask of bools, integers or floats", description_of(object), name);
  index tokens = 1;
  for (const index each : leading) tokens *= each;
  const bool is_flat = mask.rank() == 1 || (mask.rank() == 2 && leading.size() == 1);
  if (mask.sizes != leading && !(is_flat && mask.size() == tokens))
    fail_rank("a mask of " + text_of_sizes(leading) + " tokens", mask, name);
  std::vector<bool> keep(static_cast<std::size_t>(tokens));
  for (index i = 0; i < tokens; ++i) {
    const double value = number_at(element(mask, i), mask.of, mask.item);
    if (value != 0.0 && value != 1.0)
      layerwise::detail::fail<layerwise::option_error>("a mask of 0 (left out) and 1 (takes part)",
                                                       layerwise::detail::text(value), {.operand = name, .row = i});
    keep[static_cast<std::size_t>(i)] = value == 1.0;
  }
  return layerwise::token_mask(std::move(keep));
}

}  // namespace python_module
