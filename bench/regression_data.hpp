// What the benchmarks bound by arithmetic share: a layer's input and output, the scores by another way,
// threads, and the product rate of this machine.
#pragma once

#include <layerwise/data.hpp>
#include <layerwise/profile.hpp>

#include <benchmark/benchmark.h>

#include <Eigen/Core>
#include <Eigen/QR>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __GNUC__
/// Null where the program has no OpenBLAS.
extern "C" {
void openblas_set_num_threads(int) __attribute__((weak));
char* openblas_get_config() __attribute__((weak));
char* openblas_get_corename() __attribute__((weak));
}
#endif
#ifdef LAYERWISE_HAS_BLAS
extern "C" void dgemm_(const char* transa, const char* transb, const int* m, const int* n, const int* k,
                       const double* alpha, const double* a, const int* lda, const double* b, const int* ldb,
                       const double* beta, double* c, const int* ldc);
#endif

namespace layerwise_bench {

using layerwise::index;

template <class Scalar, int order>
using matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, order>;
using float_rows = matrix<float, Eigen::RowMajor>;

// ---------------------------------------------------------------------------------------------------- data

/// h_{l-1} and h_l of a layer.
template <class Matrix>
struct layer_pair {
  Matrix before, after;

  index tokens() const { return before.rows(); }
  index dims() const { return before.cols(); }
  double bytes() const { return 2. * static_cast<double>(before.size() * index{sizeof(typename Matrix::Scalar)}); }
};

class normal_matrix {
 public:
  template <class Matrix = float_rows>
  Matrix operator()(index rows, index cols) {
    return Matrix::NullaryExpr(rows, cols, [this] { return static_cast<typename Matrix::Scalar>(normal_(random_)); });
  }

 private:
  std::mt19937 random_{7};
  std::normal_distribution<float> normal_;
};

/// A layer that is partly linear, on well-conditioned states.
inline layer_pair<float_rows> make_pair(index n, index d) {
  normal_matrix normal;
  layer_pair<float_rows> out{normal(n, d), {}};
  const float_rows map = normal(d, d) / std::sqrt(static_cast<float>(d));
  out.after = out.before + 0.3f * (out.before * map) + 0.3f * normal(n, d);
  return out;
}

/// States whose k-th principal direction has the size k^-2, with an offset and three outlier dimensions
/// (condition of the scaled columns at d = 256: about 1e5), and an update that depends on the small
/// directions nearly as much as on the large ones.
inline layer_pair<float_rows> make_hard_pair(index n, index d) {
  normal_matrix normal;
  const Eigen::HouseholderQR<Eigen::MatrixXd> rotation(normal.operator()<Eigen::MatrixXd>(d, d));
  const Eigen::MatrixXd directions = normal.operator()<Eigen::MatrixXd>(n, d);
  const Eigen::ArrayXd k = Eigen::ArrayXd::LinSpaced(d, 1, static_cast<double>(d));

  Eigen::MatrixXd x = directions * k.pow(-2).matrix().asDiagonal();
  x *= Eigen::MatrixXd(rotation.householderQ()).transpose();
  const double spread = std::sqrt(x.squaredNorm() / static_cast<double>(x.size()));
  Eigen::MatrixXd update = directions * k.pow(-0.5).matrix().asDiagonal();
  update *= 0.3 * spread / std::sqrt(static_cast<double>(d)) * normal.operator()<Eigen::MatrixXd>(d, d);
  update += 0.1 * spread * normal.operator()<Eigen::MatrixXd>(n, d);

  x.rowwise() += spread * Eigen::RowVectorXd::LinSpaced(d, -1, 1);
  for (const auto& [dim, factor] : {std::pair{d / 15, 1000.}, {d / 3, 300.}, {3 * d / 4, 100.}}) x.col(dim) *= factor;
  layer_pair<float_rows> out{x.cast<float>(), {}};
  out.after = out.before + update.cast<float>();
  return out;
}

/// make_pair in another scalar type and storage order. The last one is kept: Google Benchmark calls a
/// benchmark several times.
template <class Scalar, int order>
const layer_pair<matrix<Scalar, order>>& pair_of(index n, index d) {
  static layer_pair<matrix<Scalar, order>> last;
  if (last.tokens() != n || last.dims() != d) {
    last = {};
    const layer_pair<float_rows> made = make_pair(n, d);
    last = {made.before.template cast<Scalar>(), made.after.template cast<Scalar>()};
  }
  return last;
}

// ------------------------------------------------------------------------------------------------- scores

struct scores {
  double linearity = 0, residual_linearity = 0;
};

/// By a Householder factorization of the centred data, in double or in long double.
template <class Real, class Matrix>
scores householder_scores(const layer_pair<Matrix>& data) {
  using real_matrix = matrix<Real, Eigen::ColMajor>;
  const auto exact = [](const Matrix& m) -> real_matrix { return m.template cast<double>().template cast<Real>(); };
  real_matrix x = exact(data.before), y = exact(data.after);
  real_matrix r = y - x;
  for (real_matrix* m : {&x, &y, &r}) m->rowwise() -= m->colwise().mean().eval();
  const Real y_energy = y.squaredNorm(), r_energy = r.squaredNorm();
  const Eigen::HouseholderQR<Eigen::Ref<real_matrix>> qr(x);
  r.applyOnTheLeft(qr.householderQ().adjoint());
  const Real left = r.bottomRows(r.rows() - x.cols()).squaredNorm();
  return {static_cast<double>(1 - left / y_energy), static_cast<double>(1 - left / r_energy)};
}

/// householder_scores of pair_of(n, d), computed once.
template <class Scalar, int order>
const scores& expected_scores(index n, index d) {
  static std::map<std::tuple<index, index>, scores> known;
  const auto [it, is_new] = known.try_emplace({n, d});
  if (is_new) it->second = householder_scores<double>(pair_of<Scalar, order>(n, d));
  return it->second;
}

inline bool close(double a, double b) { return std::abs(a - b) < 1e-11; }
inline bool close(const scores& a, const scores& b) {
  return close(a.linearity, b.linearity) && close(a.residual_linearity, b.residual_linearity);
}

inline scores scores_of(const layerwise::layer_metrics& layer) {
  return {layer.linearity.value().score, layer.residual_linearity.value().score};
}

/// Both scores from one pass over the data, with the data at hand where the solver needs it.
template <class Matrix>
scores both_scores(const layer_pair<Matrix>& data, layerwise::solver method = layerwise::solver::automatic) {
  using view = layerwise::strided_view<const typename Matrix::Scalar>;
  const auto viewed = [](const Matrix& m) { return view(m.data(), m.rows(), m.cols(), m.rowStride(), m.colStride()); };
  const std::array stack{viewed(data.before), viewed(data.after)};
  return scores_of(layerwise::profile(stack, {.method = method}).layers.front());
}

// ------------------------------------------------------------------------------------------------ measuring

inline int max_threads() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

/// Sets the threads of OpenMP, which are Eigen's and ours, and of OpenBLAS, for as long as it lives.
class thread_scope {
 public:
  explicit thread_scope(int threads) : before_(max_threads()) { set(threads); }
  ~thread_scope() { set(before_); }
  thread_scope(const thread_scope&) = delete;
  thread_scope& operator=(const thread_scope&) = delete;

 private:
  static void set([[maybe_unused]] int threads) {
#ifdef _OPENMP
    omp_set_num_threads(threads);
#endif
#ifdef __GNUC__
    if (openblas_set_num_threads != nullptr) openblas_set_num_threads(threads);
#endif
  }

  int before_;
};

template <class Call>
double seconds_of(const Call& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Flops a second of the float64 product X^T Y by Eigen, or the BLAS it was told to use, and by OpenBLAS
/// beside Eigen where the program has it (LAYERWISE_HAS_BLAS); 0 where it has not, or where OpenBLAS is
/// wrong.
struct product_rates {
  double eigen = 0, openblas = 0;
};

/// With the threads that are set: the best of two products each, or of as many as a fifth of a second holds.
template <class Matrix>
product_rates measure_products(const layer_pair<Matrix>& data) {
  const Eigen::MatrixXd x = data.before.template cast<double>(), y = data.after.template cast<double>();
  const auto rate = [&](const auto& multiply) {
    double best = HUGE_VAL, total = 0;
    for (int run = 0; run < 2 || total < 0.2; ++run) {
      const double seconds = seconds_of(multiply);
      best = std::min(best, seconds);
      total += seconds;
    }
    return 2. * static_cast<double>(x.rows() * x.cols() * y.cols()) / best;
  };
  product_rates out;
#ifdef LAYERWISE_HAS_BLAS
  // First: its threads go on spinning for a while.
  Eigen::MatrixXd by_openblas(x.cols(), y.cols());
  out.openblas = rate([&] {
    const int m = static_cast<int>(x.cols()), n = static_cast<int>(y.cols()), k = static_cast<int>(x.rows());
    const double one = 1, zero = 0;
    dgemm_("T", "N", &m, &n, &k, &one, x.data(), &k, y.data(), &k, &zero, by_openblas.data(), &m);
  });
#endif
  Eigen::MatrixXd product(x.cols(), y.cols());
  out.eigen = rate([&] {
    product.noalias() = x.transpose() * y;
    benchmark::DoNotOptimize(product.data());
  });
#ifdef LAYERWISE_HAS_BLAS
  // Some builds of OpenBLAS are on some processors.
  if (!((by_openblas - product).norm() <= 1e-12 * product.norm())) out.openblas = 0;
#endif
  return out;
}

/// Runs the benchmark and returns the seconds of its best iteration, of three at least unless they take long:
/// other programs may disturb the rest.
template <class Call>
double best_seconds(benchmark::State& state, const Call& call) {
  double best = HUGE_VAL, total = 0;
  int runs = 0;
  const auto run = [&] {
    const double seconds = seconds_of([&] { benchmark::DoNotOptimize(call()); });
    best = std::min(best, seconds);
    total += seconds;
    ++runs;
  };
  for ([[maybe_unused]] auto _ : state) run();
  while (runs < 3 && total < 10) run();
  state.counters["best_seconds"] = best;
  return best;
}

/// best_seconds(), and the counters
///   flops         3 n d^2 flops a pair, against everything that was done, a second
///   of_product    as a share of the float64 product rate, measured right before and after (the better of the
///                 two)
///   of_openblas   and of OpenBLAS's, where the program has it
///   bytes         of input, a second
template <class Matrix, class Call>
void measure(benchmark::State& state, const layer_pair<Matrix>& data, int threads, double pairs, const Call& call) {
  const thread_scope scope(threads);
  const product_rates before = measure_products(data);
  const double best = best_seconds(state, call);
  const product_rates after = measure_products(data);
  const double n = static_cast<double>(data.tokens()), d = static_cast<double>(data.dims());
  const double flops = pairs * 3 * n * d * d / best;
  state.counters["flops"] = flops;
  state.counters["of_product"] = flops / std::max(before.eigen, after.eigen);
  if (before.openblas > 0 && after.openblas > 0)
    state.counters["of_openblas"] = flops / std::max(before.openblas, after.openblas);
  state.counters["bytes"] = (pairs + 1) / 2 * data.bytes() / best;
}

// -------------------------------------------------------------------------------------------------
// registering

/// One thread, and all.
inline std::vector<int> thread_counts() { return max_threads() > 1 ? std::vector{1, max_threads()} : std::vector{1}; }

/// The sizes of a layer pair that figures are quoted for; a large one too if LAYERWISE_BENCH_LARGE is set.
inline std::vector<std::pair<index, index>> quoted_sizes() {
  std::vector<std::pair<index, index>> sizes{{8192, 768}, {8192, 1024}, {16384, 576}, {8192, 2048}};
  if (std::getenv("LAYERWISE_BENCH_LARGE") != nullptr) sizes.emplace_back(16384, 4096);
  return sizes;
}

/// The sizes from which cost is plotted against n at one d, and against d at one n.
inline std::vector<std::pair<index, index>> plotted_sizes() {
  std::vector<std::pair<index, index>> sizes;
  for (index n = 512; n <= 32768; n *= 2) sizes.emplace_back(n, 256);
  for (index d = 32; d <= 2048; d *= 2) sizes.emplace_back(4096, d);
  return sizes;
}

/// For the report.
inline const bool context_is_known = [] {
  benchmark::AddCustomContext("eigen", std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) +
                                           "." + std::to_string(EIGEN_MINOR_VERSION));
#ifdef __GNUC__
  if (openblas_get_config != nullptr && openblas_get_corename != nullptr) {
    benchmark::AddCustomContext("openblas", openblas_get_config());
    benchmark::AddCustomContext("openblas_kernel", openblas_get_corename());
  }
#endif
  return true;
}();

inline void usual(benchmark::internal::Benchmark* b) { b->UseRealTime()->Unit(benchmark::kMillisecond)->MinTime(0.3); }

}  // namespace layerwise_bench
