#pragma once

#include "python.hpp"

#include <layerwise/core.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

/// @file
/// The memory of a Python object that has an array: by the buffer protocol, or DLPack.
namespace python_module {

using layerwise::index;

enum class kind { boolean, signed_integer, unsigned_integer, real, brain, other };

/// An array where it is. Sizes and strides are signed, strides in bytes.
struct array {
  kind of = kind::other;
  index item = 0;  // bytes of an element
  const std::byte* data = nullptr;
  std::vector<index> sizes, strides;
  std::shared_ptr<const void> owner;  // let go of with the GIL held

  index rank() const { return static_cast<index>(sizes.size()); }
  index size() const {
    index product = 1;
    for (const index each : sizes) product *= each;
    return product;
  }
  /// self[i]
  array operator[](index i) const;
};

/// Opens an array of native numbers. A torch tensor is detached, its negative and conjugate bits are resolved, and what
/// is on a device is copied to the CPU. TypeError for all that is no array here: it says what came, and `name`.
array open_array(nb::handle object, const std::string& name);

/// Whether it is a torch tensor that is not in the CPU's memory.
bool is_on_device(nb::handle object);

/// "a numpy.ndarray of int64", "a torch.Tensor of torch.float32 on meta"
std::string description_of(nb::handle object);

/// "3 x 4 x 5"
std::string text_of_sizes(const std::vector<index>& sizes);

[[noreturn]] void fail_type(const std::string& expected, const std::string& got, const std::string& where);

}  // namespace python_module
