#include "dumps/tensor_file.hpp"

#include "dumps/foreign_file.hpp"
#include "dumps/npy.hpp"
#include "dumps/npz.hpp"
#include "dumps/safetensors.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <filesystem>
#include <limits>

// Both formats are little-endian, and the views hand the file's bytes to the library as they are.
static_assert(std::endian::native == std::endian::little, "reading files needs a little-endian machine");

namespace examples::dumps {

std::vector<index> tensor::strides() const {
  std::vector<index> result(shape.size());
  index step = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const auto dimension = fortran_order ? i : shape.size() - 1 - i;
    result[dimension] = step;
    step *= shape[dimension];
  }
  return result;
}

tensor_file parse_tensor_file(const std::string& path, std::span<const std::byte> bytes) {
  if (is_npy(bytes)) return parse_npy(path, bytes);
  if (is_zip(bytes)) return parse_npz(path, bytes);
  reject_foreign(path, bytes);
  return parse_safetensors(path, bytes);
}

tensor_file open_tensor_file(const std::string& path) {
  auto mapping = std::make_shared<const mapped_file>(path);
  auto file = parse_tensor_file(path, mapping->bytes());
  file.mapping = std::move(mapping);
  return file;
}

std::string stem_of(const tensor_file& file) { return std::filesystem::path(file.path).stem().string(); }

std::string name_of(const tensor_file& file, const tensor& item) {
  return item.name.empty() ? stem_of(file) : item.name;
}

std::string shape_text(std::span<const index> shape) {
  constexpr std::size_t most = 8;
  if (shape.empty()) return "a scalar";
  const auto shown = fmt::format("{}", fmt::join(shape.first(std::min(shape.size(), most)), " x "));
  return shape.size() <= most ? shown : fmt::format("{} x ... ({} dimensions)", shown, shape.size());
}

std::optional<std::size_t> bytes_needed(std::span<const index> shape, std::size_t element_bits) {
  constexpr auto largest = static_cast<std::size_t>(std::numeric_limits<index>::max());
  // Zero dimensions are left out of the product: 0 x 2^62 x 4 is empty, but its strides must still fit.
  bool empty = false;
  std::size_t elements = 1;
  for (const auto dimension : shape) {
    if (dimension == 0) {
      empty = true;
      continue;
    }
    const auto factor = static_cast<std::size_t>(dimension);
    if (factor > largest / elements) return std::nullopt;
    elements *= factor;
  }
  if (element_bits > 0 && elements > largest / element_bits * 8) return std::nullopt;
  // Whole bytes, without a product of bits that overflows.
  return empty ? 0 : elements / 8 * element_bits + (elements % 8 * element_bits + 7) / 8;
}

}  // namespace examples::dumps
