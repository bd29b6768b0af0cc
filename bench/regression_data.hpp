// What the benchmarks bound by arithmetic share: a layer's input and output, the product rate of this
// machine, and the scores by another way.
#pragma once

#include <layerwise/embedding.hpp>

#include <benchmark/benchmark.h>

#include <Eigen/Core>
#include <Eigen/QR>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <random>

namespace layerwise_bench {

using layerwise::index;
using float_rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// h_{l-1} and h_l of a layer that is partly linear, float32, row-major.
struct layer_pair {
  float_rows before, after;

  layer_pair(index n, index d) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    const auto matrix = [&](index rows, index cols) -> float_rows {
      return float_rows::NullaryExpr(rows, cols, [&] { return normal(random); });
    };
    before = matrix(n, d);
    const float_rows map = matrix(d, d) / std::sqrt(static_cast<float>(d));
    after = before + 0.3f * (before * map) + 0.3f * matrix(n, d);
  }
};

/// Flops a second of the float64 product X^T Y of these shapes by Eigen (or the BLAS it was told to use), all
/// threads: the best of three.
inline double product_rate(const layer_pair& data) {
  const Eigen::MatrixXd x = data.before.cast<double>(), y = data.after.cast<double>();
  Eigen::MatrixXd out(x.cols(), y.cols());
  double best = 0;
  for (int run = 0; run < 3; ++run) {
    const auto start = std::chrono::steady_clock::now();
    out.noalias() = x.transpose() * y;
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (std::isfinite(out.sum()))  // used, so that it is done
      best = std::max(best, 2. * static_cast<double>(x.rows() * x.cols() * y.cols()) / seconds.count());
  }
  return best;
}

/// Both scores by a Householder factorization of the centred data.
struct reference_scores {
  double linearity, residual_linearity;

  explicit reference_scores(const layer_pair& data) {
    Eigen::MatrixXd x = data.before.cast<double>(), y = data.after.cast<double>();
    Eigen::MatrixXd r = y - x;
    for (Eigen::MatrixXd* m : {&x, &y, &r}) m->rowwise() -= m->colwise().mean().eval();
    const Eigen::HouseholderQR<Eigen::MatrixXd> qr(x);
    const Eigen::MatrixXd left = (qr.householderQ().adjoint() * r).bottomRows(x.rows() - x.cols());
    linearity = 1 - left.squaredNorm() / y.squaredNorm();
    residual_linearity = 1 - left.squaredNorm() / r.squaredNorm();
  }
};

inline bool close(double a, double b) { return std::abs(a - b) < 1e-11; }

/// of_product: 3 n d^2 flops a pair, against everything that was done, as a share of the float64 product rate
/// measured in the same process.
inline void report(benchmark::State& state, double pairs, const layer_pair& data) {
  const double n = static_cast<double>(data.before.rows()), d = static_cast<double>(data.before.cols());
  const double flops = pairs * 3 * n * d * d;
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  state.counters["flops"] = benchmark::Counter(flops, rate);
  state.counters["of_product"] = benchmark::Counter(flops / product_rate(data), rate);
}

}  // namespace layerwise_bench
