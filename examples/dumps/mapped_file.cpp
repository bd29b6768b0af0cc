#include "dumps/mapped_file.hpp"

#include "common/input_error.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace examples::dumps {
namespace {

/// A file descriptor that closes itself; a mapping outlives the descriptor it was made from.
struct descriptor {
  int fd;
  explicit descriptor(int opened) : fd(opened) {}
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  ~descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

[[noreturn]] void fail(const std::string& path, const char* what) {
  throw input_error(path, std::string(what) + ": " + std::strerror(errno));
}

}  // namespace

mapped_file::mapped_file(const std::string& path) {
  // O_NONBLOCK: opening a named pipe must not wait for a writer, only fail below.
  const descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) fail(path, "can't be opened");

  struct stat status{};
  if (::fstat(file.fd, &status) != 0) fail(path, "can't be examined");
  if (!S_ISREG(status.st_mode)) reject(path, "expected a regular file, got a directory, pipe or device");

  size_ = static_cast<std::size_t>(status.st_size);
  if (size_ == 0) return;  // a mapping can't be empty; an empty span says the same
  void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (address == MAP_FAILED) fail(path, "can't be mapped into memory");
  data_ = static_cast<const std::byte*>(address);
}

mapped_file::~mapped_file() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void mapped_file::release_pages() const noexcept {
  if (data_ != nullptr) ::madvise(const_cast<std::byte*>(data_), size_, MADV_DONTNEED);
}

}  // namespace examples::dumps
