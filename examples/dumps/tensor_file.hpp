#pragma once

#include "dumps/data_type.hpp"
#include "dumps/mapped_file.hpp"

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace examples::dumps {

using index = std::ptrdiff_t;

/// One array of a file. The reader has checked that `bytes` is exactly as large as shape and type say, and
/// that the number of elements fits an index; a dimension may be 0.
struct tensor {
  std::string name;  // empty in a .npy file
  data_type dtype;
  std::vector<index> shape;
  bool fortran_order = false;  // the first index runs fastest
  std::span<const std::byte> bytes;

  std::vector<index> strides() const;  // in elements, one for each dimension
};

enum class file_format { safetensors, npy, npz };

struct tensor_file {
  std::string path;
  file_format format;
  std::map<std::string, std::string> metadata;
  std::vector<tensor> tensors;                 // views into the mapping, or into `members`; in the order of their bytes
  std::shared_ptr<const mapped_file> mapping;  // empty when the bytes belong to the caller
  std::vector<std::shared_ptr<const std::vector<std::byte>>> members;  // of an archive
  std::string remark;  // what was assumed in reading it, for the user to know; or nothing
};

/// Opens a .safetensors, .npy or .npz file, told apart by their first bytes. Reads the header only, of an archive its
/// arrays. Throws input_error, which for the files of other programs says what makes them readable.
tensor_file open_tensor_file(const std::string& path);

/// The same for bytes already in memory, which must outlive the result; `path` serves the messages.
tensor_file parse_tensor_file(const std::string& path, std::span<const std::byte> bytes);

/// The file's name without folder and extension, which names what is in a .npy file.
std::string stem_of(const tensor_file& file);

/// The name of a tensor, or of the file that holds no other.
std::string name_of(const tensor_file& file, const tensor& item);

std::string shape_text(std::span<const index> shape);  // "9 x 2048 x 96"

/// The bytes of an array of that shape; nothing when the number doesn't fit an index.
std::optional<std::size_t> bytes_needed(std::span<const index> shape, std::size_t element_bits);

}  // namespace examples::dumps
