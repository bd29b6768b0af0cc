// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/version.hpp>

#include <Eigen/Core>

#include <cfloat>
#include <cstddef>
#include <type_traits>

// What the library asks of a build: the flags under which its arithmetic cannot be trusted are refused here, by
// name, and the namespace says which of the others a unit was compiled with.

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__) || \
    defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__)
#error \
    "layerwise: -ffast-math, -Ofast, -funsafe-math-optimizations and -ffinite-math-only take away NaN, infinity and the order of additions, on which its checks and error bounds rest. Compile units that include layerwise with -fno-fast-math after those flags (icpx: -fp-model=precise)."
#endif

#if FLT_EVAL_METHOD == 2 || FLT_EVAL_METHOD < 0
#error \
    "layerwise: double is computed in another precision here (FLT_EVAL_METHOD: x87), and its error bounds do not hold. Compile with -msse2 -mfpmath=sse."
#endif

#if !defined(__cpp_exceptions) && !defined(_CPPUNWIND) && !defined(LAYERWISE_NO_EXCEPTIONS)
#error \
    "layerwise: bad input throws, and -fno-exceptions forbids it. Define LAYERWISE_NO_EXCEPTIONS to have the message printed to stderr and the program aborted instead."
#endif

/// The namespace inside layerwise that everything is in. Units of one program that were compiled with different
/// flags have different ones, so that the linker neither gives the code of one to the other nor lets an object
/// cross from one to the other: that is an undefined reference, whose name tells the two apart.
#define LAYERWISE_ABI                                                                                               \
  LAYERWISE_ABI_NAME(LAYERWISE_VERSION_MAJOR, LAYERWISE_VERSION_MINOR, LAYERWISE_VERSION_PATCH, LAYERWISE_ABI_ARCH, \
                     LAYERWISE_ABI_FMA, LAYERWISE_ABI_F16, EIGEN_MAX_ALIGN_BYTES, EIGEN_MAX_STATIC_ALIGN_BYTES,     \
                     LAYERWISE_ABI_ORDER, LAYERWISE_ABI_BLAS, LAYERWISE_ABI_OMP, LAYERWISE_ABI_THROW)
#define LAYERWISE_ABI_NAME(major, minor, patch, arch, fma, f16, align, static_align, order, blas, omp, fails) \
  LAYERWISE_ABI_PASTE(major, minor, patch, arch, fma, f16, align, static_align, order, blas, omp, fails)
#define LAYERWISE_ABI_PASTE(major, minor, patch, arch, fma, f16, align, static_align, order, blas, omp, fails) \
  v##major##_##minor##_##patch##_##arch##fma##f16##_align##align##_##static_align##order##blas##omp##fails

// The instructions that Eigen, and the compiler, may use.
#if defined(EIGEN_DONT_VECTORIZE)
#define LAYERWISE_ABI_ARCH scalar
#elif defined(EIGEN_VECTORIZE_AVX512)
#define LAYERWISE_ABI_ARCH avx512
#elif defined(EIGEN_VECTORIZE_AVX2)
#define LAYERWISE_ABI_ARCH avx2
#elif defined(EIGEN_VECTORIZE_AVX)
#define LAYERWISE_ABI_ARCH avx
#elif defined(EIGEN_VECTORIZE_SSE4_2)
#define LAYERWISE_ABI_ARCH sse42
#elif defined(EIGEN_VECTORIZE_SSE)
#define LAYERWISE_ABI_ARCH sse
#elif defined(EIGEN_VECTORIZE_SVE)
#define LAYERWISE_ABI_ARCH sve
#elif defined(EIGEN_VECTORIZE_NEON)
#define LAYERWISE_ABI_ARCH neon
#elif defined(EIGEN_VECTORIZE)
#define LAYERWISE_ABI_ARCH vector
#else
#define LAYERWISE_ABI_ARCH scalar
#endif

#if defined(__FMA__) && !defined(EIGEN_DONT_VECTORIZE)
#define LAYERWISE_ABI_FMA _fma
#else
#define LAYERWISE_ABI_FMA
#endif

#if defined(__F16C__)
#define LAYERWISE_ABI_F16 _f16c
#else
#define LAYERWISE_ABI_F16
#endif

// Eigen::MatrixXd, a member of linear_map, is laid out by it.
#if defined(EIGEN_DEFAULT_TO_ROW_MAJOR)
#define LAYERWISE_ABI_ORDER _row
#else
#define LAYERWISE_ABI_ORDER
#endif

#if defined(EIGEN_USE_BLAS)
#define LAYERWISE_ABI_BLAS _blas
#else
#define LAYERWISE_ABI_BLAS
#endif

#if defined(_OPENMP)
#define LAYERWISE_ABI_OMP _omp
#else
#define LAYERWISE_ABI_OMP
#endif

#if defined(LAYERWISE_NO_EXCEPTIONS)
#define LAYERWISE_ABI_THROW _abort
#else
#define LAYERWISE_ABI_THROW
#endif

namespace layerwise::inline LAYERWISE_ABI {

static_assert(sizeof(Eigen::Index) >= sizeof(std::ptrdiff_t),
              "layerwise: EIGEN_DEFAULT_DENSE_INDEX_TYPE is too small for the offsets of a stack of layers, which "
              "pass 2^31. Leave it at std::ptrdiff_t.");

static_assert(std::is_same_v<decltype(0.1), double>,
              "layerwise: -fsingle-precision-constant rounds its constants to float. Compile units that include "
              "layerwise without it.");

}  // namespace layerwise::inline LAYERWISE_ABI
