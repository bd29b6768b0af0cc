// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>
#include <layerwise/kernel/parallel.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <memory>
#include <new>
#include <utility>
#include <vector>

// The hot loop of the library: C += alpha A^T B, where A and B are blocks of rows (tokens). All O(n d^2) work
// of the moments and all O(d^3) work of a solution is this product.
//
// Eigen, which packs and multiplies matrices of any form, runs it at 0.7 of what this processor (Zen 4) can
// do, a BLAS at 0.9. Here the operands are packed once, by whoever produces them, in the form in which the
// kernel reads them, and one packing serves as A and as B: 0.95 to 1.
//
// Three sizes matter, from the registers outwards:
//   kernel  3 packets x 8 columns of sums (fewer with fewer registers) stay in registers for a whole block of
//           rows: each loaded packet of A is used 8 times, each element of B 3 packets wide.
//   panel   3 cache lines of a row, 24 doubles: the kernel walks down a panel without a gap. Eight columns
//           of a panel serve as B; their lines stay in the nearest caches while all of A passes by.
//   tile    192 x 192 of C, one task of one thread: its 192 columns of A, 512 rows deep, fit the cache of
//           a core (0.8 MB), and 2 to 16 threads find enough tasks from d = 576 on.
// Work is split over C, never over rows: no thread needs a copy of C, and the sums are the same to the last
// bit for any number of threads.
//
// With EIGEN_USE_BLAS the BLAS does it, where that is the faster way: a BLAS uses what the processor has, the
// kernel what the compiler was told to use. Compiled for AVX and FMA the kernel is as fast as OpenBLAS (53 to
// 49 GFLOP/s, a Zen 4 core).
#if defined(EIGEN_USE_BLAS) && !defined(EIGEN_VECTORIZE_FMA)
#define LAYERWISE_PRODUCTS_BY_BLAS
#endif
namespace layerwise::inline LAYERWISE_ABI::detail {

/// A block of rows packed in panels: column j of row i is at(j)[i * row_stride()].
class packed_block {
 public:
  static constexpr index width = 24;

  void resize(index rows, index cols) {
    rows_ = rows, cols_ = cols;
    const index needed = rows * padded_cols();
    if (needed <= capacity_) return;
    data_.reset(
        static_cast<double*>(::operator new(static_cast<std::size_t>(needed) * sizeof(double), std::align_val_t(64))));
    capacity_ = needed;
  }

  index rows() const { return rows_; }
  index cols() const { return cols_; }
  index padded_cols() const { return (cols_ + width - 1) / width * width; }

  /// Sets to 0 the columns that fill up the last panel, for the kernel to run over. To be called when it is
  /// filled.
  void clear_padding() {
    for (index j = cols_; j < padded_cols(); ++j)
      for (index i = 0; i < rows_; ++i) at(j)[i * row_stride()] = 0.0;
  }

#ifdef LAYERWISE_PRODUCTS_BY_BLAS
  // A BLAS wants plain rows.
  index row_stride() const { return padded_cols(); }
  double* at(index j) { return data_.get() + j; }
  auto matrix() const {
    return Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, 0,
                      Eigen::OuterStride<>>(data_.get(), rows_, cols_, Eigen::OuterStride<>(row_stride()));
  }
#else
  index row_stride() const { return width; }
  double* at(index j) { return data_.get() + j / width * width * rows_ + j % width; }
#endif
  const double* at(index j) const { return const_cast<packed_block*>(this)->at(j); }

 private:
  struct release {
    void operator()(double* data) const { ::operator delete(data, std::align_val_t(64)); }
  };
  std::unique_ptr<double[], release> data_;
  index rows_ = 0, cols_ = 0, capacity_ = 0;
};

/// out = m
inline void pack(const Eigen::Ref<const matrix>& m, packed_block& out) {
  out.resize(m.rows(), m.cols());
  parallel_chunks(m.cols(), packed_block::width, [&](index first, index count) {
    double* to = out.at(first);
    for (index i = 0; i < m.rows(); ++i, to += out.row_stride())
      for (index j = 0; j < count; ++j) to[j] = m(i, first + j);
  });
  out.clear_padding();
}

/// out = m^T
inline void pack_transposed(const Eigen::Ref<const matrix>& m, packed_block& out) {
  out.resize(m.cols(), m.rows());
  parallel_chunks(m.rows(), packed_block::width, [&](index first, index count) {
    double* to = out.at(first);
    for (index i = 0; i < m.cols(); ++i, to += out.row_stride())
      std::copy_n(m.data() + i * m.outerStride() + first, count, to);
  });
  out.clear_padding();
}

/// m = block
inline void unpack(const packed_block& block, Eigen::Ref<matrix> m) {
  parallel_chunks(m.cols(), packed_block::width, [&](index first, index count) {
    const double* from = block.at(first);
    for (index i = 0; i < m.rows(); ++i, from += block.row_stride())
      for (index j = 0; j < count; ++j) m(i, first + j) = from[j];
  });
}

/// m = block^T
inline void unpack_transposed(const packed_block& block, Eigen::Ref<matrix> m) {
  parallel_chunks(m.rows(), packed_block::width, [&](index first, index count) {
    const double* from = block.at(first);
    for (index i = 0; i < m.cols(); ++i, from += block.row_stride())
      std::copy_n(from, count, m.data() + i * m.outerStride() + first);
  });
}

/// Rows and columns of a tile of C.
inline constexpr index product_tile = 192;

/// c += alpha a^T b, or its lower triangle only; what is above the diagonal may be anything then. The size of
/// c says how many columns of a and of b take part. Sums are those of rows_at_once rows each: of n numbers in
/// one go they are off by u sqrt(n / 3), in parts by a few u.
struct product {
  const packed_block& a;
  const packed_block& b;
  Eigen::Ref<matrix> c;
  bool lower_only = false;
  index rows_at_once = (std::numeric_limits<index>::max)();
};

#ifdef LAYERWISE_PRODUCTS_BY_BLAS

/// The BLAS brings its own tiles and threads.
inline void add_products(double alpha, const std::vector<product>& products) {
  for (const auto& [a, b, c, lower_only, rows_at_once] : products) {
    Eigen::Ref<matrix> out = c;
    const index square = lower_only ? c.cols() : 0;
    if (lower_only)
      out.topRows(square).selfadjointView<Eigen::Lower>().rankUpdate(a.matrix().leftCols(square).transpose(), alpha);
    out.bottomRows(out.rows() - square).noalias() +=
        alpha * (a.matrix().middleCols(square, out.rows() - square).transpose() * b.matrix().leftCols(out.cols()));
  }
}

#else

/// The sums of `depth` rows of a, `rows` neighbouring columns, times b, `columns` of them: the hot loop.
struct product_kernel {
  using packet = Eigen::internal::packet_traits<double>::type;
  static constexpr int packet_size = Eigen::internal::packet_traits<double>::size;
  static constexpr bool has_32_registers = EIGEN_ARCH_DEFAULT_NUMBER_OF_REGISTERS >= 32;
#ifdef EIGEN_VECTORIZE_FMA
  static constexpr bool has_fma = true;  // of x86; others with 32 registers have it anyway
#else
  static constexpr bool has_fma = false;
#endif
  // 24 sums with AVX-512, 18 in 32 registers otherwise, 12 in 16 with FMA and 9 without: they leave registers
  // for the packets of A, an element of B, a product where there is no FMA, and what compilers load ahead of
  // its use. With one to spare less clang 19 (AVX2), g++ and both clangs (SSE2) and g++ (aarch64, which fills
  // a register with two elements of B) move sums to the stack and back at every step.
  static constexpr int packets = has_fma && !has_32_registers ? 2 : 3;
  static constexpr int columns = packet_size == 8 ? 8 : has_32_registers || has_fma ? 6 : 3;
  static constexpr int rows = packets * packet_size;
  static constexpr index stride = packed_block::width;
  static_assert(stride % rows == 0 && stride % columns == 0);

  /// out: rows x columns, column by column.
  ///
  /// Not inlined: inlined into add_tile, g++ 12 -O3 -mavx512f -mtune=znver3 keeps the packets of A on the
  /// stack and reads them from there for every multiply-add, 53 instead of 88 GFLOP/s (a Sapphire Rapids
  /// core). tests/project/hot_loop.cmake looks at what comes out.
  [[gnu::noinline]] static void run(index depth, const double* a, const double* b, double* out) {
    run(depth, a, b, out, std::make_integer_sequence<int, packets>(), std::make_integer_sequence<int, columns>());
  }

 private:
  // Folds over packets and columns instead of loops: unrolled at every optimization level, so that the sums
  // are registers.
  template <int... p, int... j>
  static void run(index depth, const double* a, const double* b, double* out, std::integer_sequence<int, p...>,
                  std::integer_sequence<int, j...>) {
    using namespace Eigen::internal;
    packet sums[columns][packets];
    const auto clear_column = [](packet(&sum)[packets]) { ((sum[p] = pset1<packet>(0.0)), ...); };
    (clear_column(sums[j]), ...);
    // Four steps at once leave the loads of a panel, which passes through the first cache once for every few columns
    // of B, time to be under way: 108 instead of 100 GFLOP/s (a Sapphire Rapids core); prefetching did no better.
#pragma GCC unroll 4
    for (index k = 0; k < depth; ++k, a += stride, b += stride) {
      const packet of_a[packets] = {ploadu<packet>(a + p * packet_size)...};
      const auto add_column = [&](packet(&sum)[packets], double factor) {
        const packet times = pset1<packet>(factor);
        ((sum[p] = pmadd(of_a[p], times, sum[p])), ...);
      };
      (add_column(sums[j], b[j]), ...);
    }
    const auto store_column = [&](const packet(&sum)[packets], double* to) {
      (pstoreu(to + p * packet_size, sum[p]), ...);
    };
    (store_column(sums[j], out + j * rows), ...);
  }
};

/// The tile of a product whose first element is (row, column).
inline void add_tile(double alpha, product& of, index row, index column) {
  using kernel = product_kernel;
  const index last_row = (std::min)(of.c.rows(), row + product_tile);
  const index last_column = (std::min)(of.c.cols(), column + product_tile);
  alignas(64) double sums[kernel::rows * kernel::columns];
  const Eigen::Map<const Eigen::Matrix<double, kernel::rows, kernel::columns, Eigen::ColMajor>> block(sums);
  for (index j = column; j < last_column; j += kernel::columns)
    for (index i = row; i < last_row; i += kernel::rows) {
      if (of.lower_only && i + kernel::rows <= j) continue;  // above the diagonal
      auto c = of.c.block(i, j, (std::min<index>)(kernel::rows, last_row - i),
                          (std::min<index>)(kernel::columns, last_column - j));
      // C is not in the cache: its lines come while the kernel runs.
      for (index at = 0; at < c.cols(); ++at)
        for (index line = 0; line < c.rows(); line += 8) Eigen::internal::prefetch(&c(line, at));
      for (index k = 0; k < of.a.rows(); k += of.rows_at_once) {
        kernel::run((std::min)(of.rows_at_once, of.a.rows() - k), of.a.at(i) + k * kernel::stride,
                    of.b.at(j) + k * kernel::stride, sums);
        if (c.rows() == kernel::rows && c.cols() == kernel::columns)
          // With all sizes known its loads are under way together.
          c.topLeftCorner<kernel::rows, kernel::columns>() += alpha * block;
        else
          c += alpha * block.topLeftCorner(c.rows(), c.cols());
      }
    }
}

/// All products at once: their tiles are shared out together.
inline void add_products(double alpha, std::vector<product> products) {
  struct tile {
    std::size_t product;
    index row, column;
  };
  // Along the rows of C: A, all of which a tile needs at once, is in the cache from the tile before, and B comes panel
  // by panel. 86 instead of 82 GFLOP/s at 768 columns.
  std::vector<tile> tiles;
  for (std::size_t p = 0; p < products.size(); ++p)
    for (index i = 0; i < products[p].c.rows(); i += product_tile)
      for (index j = 0; j < products[p].c.cols(); j += product_tile)
        if (!products[p].lower_only || j <= i) tiles.push_back({p, i, j});
  // Those that the diagonal cuts are half the work: last, so that no thread waits long for another.
  std::stable_partition(tiles.begin(), tiles.end(),
                        [&](const tile& t) { return !products[t.product].lower_only || t.column < t.row; });
  parallel_for(static_cast<index>(tiles.size()), [&](index t) {
    const tile& here = tiles[static_cast<std::size_t>(t)];
    add_tile(alpha, products[here.product], here.row, here.column);
  });
}

#endif

/// a^T b
inline matrix product_of(const matrix& a, const matrix& b) {
  packed_block left, right;
  pack(a, left);
  pack(b, right);
  matrix out = matrix::Zero(a.cols(), b.cols());
  add_products(1.0, {{left, right, out}});
  return out;
}

}  // namespace layerwise::inline LAYERWISE_ABI::detail
