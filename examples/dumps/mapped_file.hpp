#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace examples::dumps {

/// A file's bytes, mapped read-only into memory for the object's lifetime: the kernel reads a page when it is
/// first touched, so a dump larger than memory can be opened.
class mapped_file {
 public:
  /// Throws input_error when `path` can't be opened or is no regular file.
  explicit mapped_file(const std::string& path);
  ~mapped_file();
  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }

  /// Lets go of the pages read so far; touching them again reads them again. Called behind a streaming
  /// reader, this keeps the process's memory at what the reader is working on.
  void release_pages() const noexcept;

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace examples::dumps
