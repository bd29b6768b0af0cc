// How much memory the program holds, where that can be asked.
#pragma once

#include <cstddef>
#include <optional>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LAYERWISE_TEST_ADDRESS_SANITIZER
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define LAYERWISE_TEST_ADDRESS_SANITIZER
#endif

#if defined(LAYERWISE_TEST_ADDRESS_SANITIZER)
#include <sanitizer/allocator_interface.h>
#elif defined(__GLIBC__) && defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 33)
#include <malloc.h>
#define LAYERWISE_TEST_MALLINFO
#endif
#endif

namespace layerwise_test {

/// Bytes allocated and not freed, by this thread's allocations at least; empty where nobody knows.
inline std::optional<std::size_t> live_bytes() {
#if defined(LAYERWISE_TEST_ADDRESS_SANITIZER)
  return __sanitizer_get_current_allocated_bytes();
#elif defined(LAYERWISE_TEST_MALLINFO)
  const auto info = mallinfo2();
  return info.uordblks + info.hblkhd;
#else
  return std::nullopt;
#endif
}

}  // namespace layerwise_test
