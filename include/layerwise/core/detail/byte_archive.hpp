// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/error.hpp>
#include <layerwise/core/types.hpp>

#include <Eigen/Core>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

// Values as bytes, and back. A writer and a reader are called alike, archive(a, b, c), so that one list of members serves
// both; what they call for a struct is visit_members(archive, value).
namespace layerwise::inline LAYERWISE_ABI::detail {

template <class T>
concept archived_number = std::is_arithmetic_v<T> || std::is_enum_v<T>;

/// What stands for a number in the bytes: the same on all platforms of a byte order.
template <class T>
using archived = std::conditional_t<std::is_enum_v<T> || std::same_as<T, bool> || std::same_as<T, int>, std::int32_t,
                                    std::conditional_t<std::same_as<T, index>, std::int64_t, T>>;

/// Appends to bytes.
class byte_writer {
 public:
  template <class... T>
  void operator()(const T&... values) {
    (put(values), ...);
  }

  std::vector<unsigned char> bytes;

 private:
  void put_raw(const void* from, std::size_t size) {
    const auto* first = static_cast<const unsigned char*>(from);
    bytes.insert(bytes.end(), first, first + size);
  }
  template <class T>
  void put(const T& value) {
    if constexpr (archived_number<T>) {
      const auto number = static_cast<archived<T>>(value);
      put_raw(&number, sizeof number);
    } else if constexpr (std::is_base_of_v<Eigen::EigenBase<T>, T>) {
      put(value.rows()), put(value.cols());
      if (value.size() > 0) put_raw(value.data(), static_cast<std::size_t>(value.size()) * sizeof(double));
    } else {
      visit_members(*this, value);
    }
  }
  template <class T>
  void put(const std::vector<T>& values) {
    put(static_cast<index>(values.size()));
    for (const T& value : values) put(value);
  }
};

/// Takes from bytes. Throws unsupported_error where they end too early, or cannot be what a writer wrote.
class byte_reader {
 public:
  byte_reader(std::span<const unsigned char> bytes, const place& here) : left_(bytes), here_(here) {}

  template <class... T>
  void operator()(T&... values) {
    (get(values), ...);
  }

  std::size_t left() const { return left_.size(); }
  void require(bool holds, const std::string& expected, const std::string& got) const {
    if (!holds) fail<unsupported_error>(expected, got, here_);
  }
  /// A number of things of which each takes at least `size` bytes.
  index count(std::size_t size) {
    index number = 0;
    get(number);
    require(number >= 0 && static_cast<std::size_t>(number) <= left() / size, "a number of things that are there",
            text(number));
    return number;
  }

 private:
  void get_raw(void* to, std::size_t size) {
    require(size <= left(), text(size, " more bytes"), text(left()));
    std::memcpy(to, left_.data(), size);
    left_ = left_.subspan(size);
  }
  template <class T>
  void get(T& value) {
    if constexpr (archived_number<T>) {
      archived<T> number;
      get_raw(&number, sizeof number);
      value = static_cast<T>(number);
    } else if constexpr (std::is_base_of_v<Eigen::EigenBase<T>, T>) {
      index rows = 0, cols = 0;
      get(rows), get(cols);
      const index most = static_cast<index>(left() / sizeof(double));
      const bool is_shape = T::ColsAtCompileTime == Eigen::Dynamic || cols == T::ColsAtCompileTime;
      require(is_shape && rows >= 0 && cols >= 0 && (cols == 0 || rows <= most / cols), "a matrix that is there",
              text(shape{rows, cols}));
      value.resize(rows, cols);
      if (value.size() > 0) get_raw(value.data(), static_cast<std::size_t>(value.size()) * sizeof(double));
    } else {
      visit_members(*this, value);
    }
  }
  template <class T>
  void get(std::vector<T>& values) {
    values.resize(static_cast<std::size_t>(count(sizeof(double))));
    for (T& value : values) get(value);
  }

  std::span<const unsigned char> left_;
  place here_;
};

/// FNV-1a.
inline std::uint64_t checksum(std::span<const unsigned char> bytes) {
  std::uint64_t sum = 0xcbf29ce484222325u;
  for (const unsigned char byte : bytes) sum = (sum ^ byte) * 0x100000001b3u;
  return sum;
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
