// Every method there is in C++ to get both scores of a layer pair, on the same data: its time, and its error
// on data that is hard. Each starts from the float32 rows, and casts and centres them itself. Ours takes the
// pair; the others get the right-hand sides of both scores at once, so that each factorizes X only once.
//
// LAPACK and Armadillo take part where CMake has found them (LAYERWISE_HAS_LAPACK, LAYERWISE_HAS_ARMADILLO).
#include "regression_data.hpp"

#include <benchmark/benchmark.h>

#include <Eigen/Core>
#include <Eigen/QR>
#include <Eigen/SVD>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <exception>
#include <limits>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#ifdef LAYERWISE_HAS_ARMADILLO
#include <armadillo>
#endif

namespace {

using namespace layerwise_bench;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using layerwise::index;
using layerwise::solver;
using pair_of_floats = layer_pair<float_rows>;

/// The two regressions in double: X, centred, and [Y R] with R = Y - X, centred.
struct regressions {
  MatrixXd x, right;
  Eigen::RowVectorXd energy;

  explicit regressions(const pair_of_floats& data) : right(data.tokens(), 2 * data.dims()) {
    x = data.before.cast<double>();
    right.leftCols(data.dims()) = data.after.cast<double>();
    right.rightCols(data.dims()) = right.leftCols(data.dims()) - x;
    x.rowwise() -= x.colwise().mean().eval();
    right.rowwise() -= right.colwise().mean().eval();
    energy = right.colwise().squaredNorm();
  }

  /// From the energy that is left of each column of `right`.
  scores left(const Eigen::RowVectorXd& left) const {
    const index d = energy.size() / 2;
    return {1 - left.head(d).sum() / energy.head(d).sum(), 1 - left.tail(d).sum() / energy.tail(d).sum()};
  }

  /// From the solution A of min ||X A - right||.
  scores solved(const MatrixXd& a) {
    right.noalias() -= x * a;
    return left(right.colwise().squaredNorm());
  }
};

template <solver method>
scores ours(const pair_of_floats& data) {
  return both_scores(data, method);
}

// Eigen. The energy left is that of Q^T [Y R] below the rank, or what U^T [Y R] has not: nothing need be
// solved.

using in_place = Eigen::Ref<MatrixXd>;

template <class Factorization>
scores by_qr(const pair_of_floats& data, index (*rank)(const Factorization&)) {
  regressions problem(data);
  const Factorization qr(problem.x);
  problem.right.applyOnTheLeft(qr.householderQ().adjoint());
  return problem.left(problem.right.bottomRows(data.tokens() - rank(qr)).colwise().squaredNorm());
}
scores householder_qr(const pair_of_floats& data) {
  return by_qr<Eigen::HouseholderQR<in_place>>(data, [](const auto& qr) { return qr.cols(); });
}
scores col_piv_householder_qr(const pair_of_floats& data) {
  return by_qr<Eigen::ColPivHouseholderQR<in_place>>(data, [](const auto& qr) { return qr.rank(); });
}
scores complete_orthogonal(const pair_of_floats& data) {
  return by_qr<Eigen::CompleteOrthogonalDecomposition<in_place>>(data, [](const auto& qr) { return qr.rank(); });
}
scores bdc_svd(const pair_of_floats& data) {
  regressions problem(data);
  const Eigen::BDCSVD<MatrixXd> svd(problem.x, Eigen::ComputeThinU);
  const MatrixXd explained = svd.matrixU().leftCols(svd.rank()).adjoint() * problem.right;
  return problem.left(problem.energy - explained.colwise().squaredNorm());
}

#ifdef LAYERWISE_HAS_LAPACK
extern "C" {
void dgels_(const char* trans, const int* m, const int* n, const int* nrhs, double* a, const int* lda, double* b,
            const int* ldb, double* work, const int* lwork, int* info, std::size_t);
void dgelsy_(const int* m, const int* n, const int* nrhs, double* a, const int* lda, double* b, const int* ldb,
             int* jpvt, const double* rcond, int* rank, double* work, const int* lwork, int* info);
void dgelsd_(const int* m, const int* n, const int* nrhs, double* a, const int* lda, double* b, const int* ldb,
             double* s, const double* rcond, int* rank, double* work, const int* lwork, int* iwork, int* info);
}

/// Calls solve(work, length, iwork, info) twice: for the best size of its workspace, and to solve.
template <class Solve>
void with_workspace(const Solve& solve) {
  double size = 0;
  int integers = 0, info = 0;
  solve(&size, -1, &integers, info);
  std::vector<double> work(static_cast<std::size_t>(size));
  std::vector<int> iwork(static_cast<std::size_t>(std::max(1, integers)));
  solve(work.data(), static_cast<int>(size), iwork.data(), info);
  if (info != 0) throw std::runtime_error("LAPACK: info = " + std::to_string(info));
}

struct lapack_problem {
  regressions original;
  MatrixXd a, b;  // LAPACK overwrites them
  int m, n, count, rank;

  /// Copies the data only where `original` will be needed again.
  lapack_problem(const pair_of_floats& data, bool keep_original) : original(data) {
    if (keep_original) {
      a = original.x;
      b = original.right;
    } else {
      a.swap(original.x);
      b.swap(original.right);
    }
    m = static_cast<int>(a.rows());
    n = rank = static_cast<int>(a.cols());
    count = static_cast<int>(b.cols());
  }

  /// At full rank, dgels and dgelsd put what is left into the rows of B below the solution.
  scores below() const {
    if (rank < n) throw std::runtime_error("rank " + std::to_string(rank));
    return original.left(b.bottomRows(m - n).colwise().squaredNorm());
  }
};

scores dgels(const pair_of_floats& data) {
  lapack_problem p(data, false);
  with_workspace([&](double* work, int length, int*, int& info) {
    dgels_("N", &p.m, &p.n, &p.count, p.a.data(), &p.m, p.b.data(), &p.m, work, &length, &info, 1);
  });
  return p.below();
}
scores dgelsy(const pair_of_floats& data) {
  lapack_problem p(data, true);
  const double rcond = std::numeric_limits<double>::epsilon();
  std::vector<int> pivots(static_cast<std::size_t>(p.n));
  with_workspace([&](double* work, int length, int*, int& info) {
    dgelsy_(&p.m, &p.n, &p.count, p.a.data(), &p.m, p.b.data(), &p.m, pivots.data(), &rcond, &p.rank, work, &length,
            &info);
  });
  return p.original.solved(p.b.topRows(p.n));
}
scores dgelsd(const pair_of_floats& data) {
  lapack_problem p(data, false);
  const double rcond = -1;  // the machine's precision
  VectorXd singular_values(p.n);
  with_workspace([&](double* work, int length, int* iwork, int& info) {
    dgelsd_(&p.m, &p.n, &p.count, p.a.data(), &p.m, p.b.data(), &p.m, singular_values.data(), &rcond, &p.rank, work,
            &length, iwork, &info);
  });
  return p.below();
}
#endif

#ifdef LAYERWISE_HAS_ARMADILLO
scores armadillo_solve(const pair_of_floats& data) {
  regressions problem(data);
  const auto view = [](MatrixXd& m) {
    return arma::mat(m.data(), static_cast<arma::uword>(m.rows()), static_cast<arma::uword>(m.cols()), false, true);
  };
  const arma::mat a = arma::solve(view(problem.x), view(problem.right));
  return problem.solved(MatrixXd::Map(a.memptr(), static_cast<index>(a.n_rows), static_cast<index>(a.n_cols)));
}
#endif

#ifdef EIGEN_USE_BLAS
constexpr const char* with_blas = " + BLAS";
#else
constexpr const char* with_blas = "";
#endif

struct method {
  std::string name;
  scores (*run)(const pair_of_floats&);
};

std::vector<method> methods() {
  std::vector<method> all = {
      {"layerwise automatic", ours<solver::automatic>},
      {"layerwise cholesky", ours<solver::cholesky>},
      {"layerwise orthogonal", ours<solver::orthogonal>},
      {"layerwise rank_revealing", ours<solver::rank_revealing>},
      {"Eigen HouseholderQR", householder_qr},
      {"Eigen ColPivHouseholderQR", col_piv_householder_qr},
      {"Eigen CompleteOrthogonalDecomposition", complete_orthogonal},
      {"Eigen BDCSVD", bdc_svd},
  };
  for (method& m : all) m.name += with_blas;
#ifndef EIGEN_USE_BLAS  // the others do not change with it
#ifdef LAYERWISE_HAS_LAPACK
  all.push_back({"LAPACK dgels", dgels});
  all.push_back({"LAPACK dgelsy", dgelsy});
  all.push_back({"LAPACK dgelsd", dgelsd});
#endif
#ifdef LAYERWISE_HAS_ARMADILLO
  all.push_back({"Armadillo solve", armadillo_solve});
#endif
#endif
  return all;
}

struct data_set {
  std::string name;
  index n, d;
  pair_of_floats (*make)(index n, index d);
  scores (*reference)(const pair_of_floats&);
};

/// pair: well-conditioned, against Householder's scores in double. hard: against those in long double.
const data_set data_sets[] = {
    {"hard", 4000, 256, make_hard_pair, householder_scores<long double, float_rows>},
    {"pair", 4096, 256, make_pair, householder_scores<double, float_rows>},
    {"pair", 8192, 768, make_pair, householder_scores<double, float_rows>},
};

void measure_method(benchmark::State& state, const data_set& set, const method& m) {
  // All are kept: Google Benchmark may run the methods in any order.
  static std::map<const data_set*, std::pair<pair_of_floats, scores>> known;
  const auto [it, is_new] = known.try_emplace(&set);
  if (is_new) {
    it->second.first = set.make(set.n, set.d);
    it->second.second = set.reference(it->second.first);
  }
  const pair_of_floats& data = it->second.first;
  const scores& expected = it->second.second;
  const thread_scope threads(max_threads());
  try {
    const scores got = m.run(data);
    state.counters["linearity_error"] = std::abs(got.linearity - expected.linearity);
    state.counters["residual_error"] = std::abs(got.residual_linearity - expected.residual_linearity);
    if (set.name == "pair" && !close(got, expected)) return state.SkipWithError("wrong score");
    best_seconds(state, [&] { return m.run(data).linearity; });
  } catch (const std::exception& failure) {
    state.SkipWithError(failure.what());
  }
}

const bool registered = [] {
  for (const data_set& set : data_sets)
    for (const method& m : methods()) {
      const std::string name = set.name + ":" + std::to_string(set.n) + "x" + std::to_string(set.d) + "/" + m.name;
      usual(benchmark::RegisterBenchmark(name.c_str(),
                                         [&set, m](benchmark::State& state) { measure_method(state, set, m); }));
    }
  return true;
}();

}  // namespace
