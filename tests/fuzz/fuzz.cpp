// Scores, residual scores and their error bounds, of random structured pairs in every way the library takes
// them, against exact arithmetic: |score - exact| <= error_bound, or the run fails.
//
//   fuzz                              what ctest runs: some thousand pairs, the same ones each time
//   fuzz --seconds 3600 [--seed S]    an hour by hand; another seed, other pairs
//   fuzz --seed S --case K            one pair again, with every score, and with its first violation shrunk
//   fuzz ... --gradients 1            the gradients of small pairs, too, to ten times what their comment
//   promises
//
// A score is right if it is within its bound of the exact score of all of X ("full"), or, where fewer
// directions than X has are reported, of the exact score of as many columns of X, of which the other ones are
// then dependent to nearly the data's precision ("reduced"). "No variance" is right if there is none, or none
// whose norm is above 1e-139 of the largest element, or, of an update whose data is gone, above the rounding
// of y - x. "Loose" are bounds above 1e-8 although the data was at hand and the options are the defaults.
#include "exact_scores.hpp"
#include "pairs.hpp"

#include <layerwise/metrics/linearity.hpp>
#include <layerwise/profile.hpp>
#include <layerwise/training/linearity_gradient.hpp>

#include <Eigen/Core>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace {

using namespace layerwise_test;
using Eigen::Index;
using layerwise::centering;
using layerwise::linearity_options;
using layerwise::linearity_result;
using layerwise::solver;

// --- One pair --------------------------------------------------------------------------------------------

struct trial {
  std::uint64_t seed, number;
  fuzz_pair pair;
  layerwise::centering centering;
  bool single;
  bool differentiated = false;  ///< its gradients are compared, too
};

/// Mostly a few rows and columns; one in eight has several blocks of rows, and one in a hundred many columns.
trial make_trial(std::uint64_t seed, std::uint64_t number) {
  dice random(seed * 0x9E3779B97F4A7C15u + number);
  Index n, d_x = random.one_in(12) ? random.between(5, 9) : random.between(1, 4);
  if (random.one_in(8)) {
    d_x = random.between(1, 3);
    n = random.one_in(3) ? random.between(500, 530) : random.between(1024, 1700);
    if (random.one_in(4)) n = 512 << random.between(0, 3);
  } else if (random.one_in(100)) {
    d_x = random.between(10, random.one_in(8) ? 40 : 16);
    n = random.between(d_x, random.one_in(4) ? 1100 : 100);
  } else {
    n = random.one_in(4) ? random.between(1, d_x + 3) : random.between(2, 40);
  }
  const Index d_y = random.one_in(6) ? random.between(1, 4) : d_x;
  const bool single = random.one_in(6);
  const auto center = random.one_in(3) ? centering::none : centering::columns;
  return {seed, number, make_pair(random, n, d_x, d_y, single), center, single};
}

/// What came out of one call: a score, or a refusal in words.
struct outcome {
  std::optional<linearity_result> result;
  std::string refusal;
  std::optional<std::pair<matrix, matrix>> gradients = {};  ///< ds/dX, ds/dY
};

/// Which pair and score, by which way.
struct asked {
  std::string way;
  bool swapped = false;  ///< (Y, X), which a profile of X, Y, X has as its second layer
  bool update = false;
  bool data = false;                    ///< the data was at hand
  bool must_be_1e8 = false;             ///< and nothing but the defaults was asked for
  std::optional<outcome> same_as = {};  ///< must be the same to the bit
};

using sink = std::function<void(const asked&, const outcome&)>;

template <class Call>
outcome attempt(const Call& call) {
  try {
    return {call(), {}};
  } catch (const layerwise::error& fault) {
    return {std::nullopt, fault.what()};
  }
}

template <class M>
outcome score(const M& x, const M& y, const linearity_options& options, bool update,
              const layerwise::token_mask& mask = {}) {
  return attempt([&] {
    return update ? layerwise::residual_linearity(x, y, options, mask) : layerwise::linearity(x, y, options, mask);
  });
}

outcome score(const layerwise::cross_moments& moments, const linearity_options& options, bool update) {
  return attempt([&] {
    return update ? layerwise::residual_linearity(moments, options) : layerwise::linearity(moments, options);
  });
}

/// Rows [0, n) cut into `parts`, or fewer: at random places, where two pairs were spliced, and after whole
/// blocks, as only these are merged as moments.
std::vector<Index> cuts(dice& random, const fuzz_pair& pair, Index parts) {
  const Index n = pair.x.rows();
  std::vector<Index> out{0, n};
  if (pair.splice > 0 && !random.one_in(4)) out.push_back(pair.splice), --parts;
  for (; parts > 1; --parts)
    out.push_back(n > 512 && !random.one_in(3) ? 512 * random.between(1, (n - 1) / 512) : random.below(n));
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

template <class M>
layerwise::cross_moments moments_of(const M& x, const M& y, const std::vector<Index>& at) {
  layerwise::cross_moments out;
  for (std::size_t k = 1; k < at.size(); ++k)
    out.add(x.middleRows(at[k - 1], at[k] - at[k - 1]), y.middleRows(at[k - 1], at[k] - at[k - 1]));
  return out;
}

bool has_zero_row(const matrix& m) {
  for (Index i = 0; i < m.rows(); ++i)
    if (m.row(i).isZero(0.0)) return true;
  return false;
}

/// Every way to the scores of a pair.
template <class M>
void score_all(const trial& t, const M& x, const M& y, const sink& to) {
  dice random(t.seed + 77 * t.number + 1);
  const bool square = x.cols() == y.cols();
  const auto options = [&](solver method, double tolerance) {
    return linearity_options{.centering = t.centering, .method = method, .tolerance = tolerance};
  };
  const auto both = [&](const std::string& way, bool data, bool defaults, const auto& call) {
    for (const bool update : {false, true})
      if (!update || square) to({.way = way, .update = update, .data = data, .must_be_1e8 = defaults}, call(update));
  };
  const auto from_data = [&](const std::string& way, solver method, double tolerance) {
    both(way, true, method == solver::automatic && tolerance == 1e-8,
         [&](bool update) { return score(x, y, options(method, tolerance), update); });
  };
  from_data("data", solver::automatic, 1e-8);
  from_data("data, tolerance 0", solver::automatic, 0.0);
  from_data("data, tolerance 1", solver::automatic, 1.0);
  from_data("data, cholesky", solver::cholesky, 1e-8);
  from_data("data, orthogonal", solver::orthogonal, 1e-8);
  from_data("data, orthogonal, tolerance 0", solver::orthogonal, 0.0);
  from_data("data, orthogonal, tolerance 1", solver::orthogonal, 1.0);
  from_data("data, rank_revealing", solver::rank_revealing, 1e-8);

  for (const bool update : {false, true}) {
    if (update && !square) continue;
    const outcome plain = score(x, y, options(solver::automatic, 1e-8), update);
    // Rows that are masked leave no trace, however large they are.
    const Index n = x.rows(), more = random.between(1, 3), at = random.between(0, n);
    const auto padded = [&](const M& m) {
      M out(n + more, m.cols());
      out << m.topRows(at), M::Constant(more, m.cols(), typename M::Scalar(1e30)), m.bottomRows(n - at);
      return out;
    };
    std::vector<bool> keep(static_cast<std::size_t>(n + more), true);
    std::fill_n(keep.begin() + at, more, false);
    const linearity_options plainly = options(solver::automatic, 1e-8);
    to({.way = "data, masked", .update = update, .data = true, .same_as = plain},
       score(padded(x), padded(y), plainly, update, layerwise::token_mask(keep)));
    outcome differentiated;
    matrix of_x = matrix::Zero(n, x.cols()), of_y = matrix::Zero(n, y.cols());
    differentiated = attempt([&] {
      const linearity_options defaults = options(solver::automatic, 1e-8);
      return update ? layerwise::residual_linearity_and_gradient(x, y, of_x, of_y, 1.0, defaults)
                    : layerwise::linearity_and_gradient(x, y, of_x, of_y, 1.0, defaults);
    });
    if (t.differentiated && n <= 40) differentiated.gradients.emplace(of_x, of_y);
    to({.way = "data, with gradients", .update = update, .data = true}, differentiated);
  }

  const layerwise::cross_moments whole = moments_of(x, y, {0, x.rows()});
  const auto from_moments = [&](const std::string& way, const layerwise::cross_moments& moments, bool is_whole) {
    for (const bool update : {false, true}) {
      if (update && !square) continue;
      const auto automatic = options(solver::automatic, 1e-8);
      asked what{.way = way, .update = update};
      if (is_whole) what.same_as = score(whole, automatic, update);
      to(what, score(moments, automatic, update));
      const solver method = random.one_in(2) ? solver::cholesky : solver::rank_revealing;
      to({.way = way + ", a method", .update = update}, score(moments, options(method, 1e-8), update));
    }
  };
  from_moments("moments", moments_of(x, y, cuts(random, t.pair, random.between(1, 4))), true);

  const auto at = cuts(random, t.pair, random.one_in(4) ? random.between(5, 12) : random.between(2, 4));
  std::vector<layerwise::cross_moments> parts;
  for (std::size_t k = 1; k < at.size(); ++k) parts.push_back(moments_of(x, y, {at[k - 1], at[k]}));
  layerwise::cross_moments forward, backward;
  for (std::size_t k = 0; k < parts.size(); ++k) {
    forward.merge(parts[k]);
    backward.merge(parts[parts.size() - 1 - k]);
  }
  from_moments("merged", forward, false);
  from_moments("merged backward", backward, false);

  if (!square || has_zero_row(t.pair.x) || has_zero_row(t.pair.y)) return;
  const std::vector<M> states{x, y, x};
  const layerwise::profile_options profiled{.centering = t.centering};
  const auto tell = [&](const std::string& way, bool data, const auto& take) {
    layerwise::layer_profile profile;
    try {
      profile = take();
    } catch (const layerwise::non_finite_error&) {
      return;  // the ratio of the layers' norms is beyond the range of double
    }
    for (const bool swapped : {false, true})
      for (const bool update : {false, true}) {
        const auto& layer = profile.layers[swapped ? 1 : 0];
        const auto& result = update ? layer.residual_linearity : layer.linearity;
        to({.way = way, .swapped = swapped, .update = update, .data = data, .must_be_1e8 = data},
           {result, "no variance"});
      }
  };
  tell("profile", true, [&] { return layerwise::profile(states, profiled); });

  layerwise::layer_profiler streamed(profiled), merged(profiled);
  const auto batch = [&](Index first, Index last) {
    std::vector<M> rows;
    for (const M& state : states) rows.push_back(state.middleRows(first, last - first));
    return rows;
  };
  for (std::size_t k = 1; k < at.size(); ++k) {
    streamed.add(batch(at[k - 1], at[k]));
    layerwise::layer_profiler part(profiled);
    part.add(batch(at[k - 1], at[k]));
    merged.merge(part);
  }
  tell("profiler", false, [&] { return streamed.profile(); });
  tell("profilers merged", false, [&] { return merged.profile(); });
}

// --- The verdict -----------------------------------------------------------------------------------------

/// The exact scores of a pair, taken when they are first asked for.
class reference {
 public:
  explicit reference(const trial& t) : t_(t) {}

  const exact_pair& of(bool swapped) {
    std::unique_ptr<exact_pair>& pair = pairs_[swapped ? 1 : 0];
    const fuzz_pair& p = t_.pair;
    if (!pair)
      pair = std::make_unique<exact_pair>(swapped ? p.y : p.x, swapped ? p.x : p.y, t_.centering == centering::columns);
    return *pair;
  }

 private:
  const trial& t_;
  std::unique_ptr<exact_pair> pairs_[2];
};

enum class verdict { full, reduced, refused, violation };

struct judgement {
  verdict is = verdict::violation;
  double error = 0.0;  ///< |score - exact|, of the exact score that is nearest
  double exact = 0.0;
  double ratio = 0.0;  ///< of the error to what is allowed
  std::string why;
};

double error_of(double score, const mpf_class& unexplained) {
  mpf_class error = mpf_class(1, reference_bits) - unexplained - mpf_class(score, reference_bits);
  return std::abs(error.get_d());
}

/// Is that energy, which the exact pair has, nothing beside elements of that size?
bool is_negligible(const exact_pair& exact, const mpf_class& energy, double peak) {
  const mpf_class least(peak, reference_bits);
  return energy <= least * least * mpf_class(1e-278, reference_bits) * exact.multiple();
}

/// Is that energy of y - x what the rounding of its elements may have made of nothing, or nothing of it?
bool is_rounding(const exact_pair& exact, const mpf_class& energy, const matrix& x, const matrix& y) {
  mpf_class raw(0, reference_bits);
  for (Index i = 0; i < x.size(); ++i) {
    const mpf_class update = mpf_class(y.data()[i], reference_bits) - mpf_class(x.data()[i], reference_bits);
    raw += update * update;
  }
  const mpf_class most(0x1p-102, reference_bits);  // (4 u)^2
  return energy <= most * raw * exact.multiple();
}

/// Are the columns of x that `kept` leaves out dependent on these, to nearly the precision of the data?
bool spans(const exact_pair& exact, const matrix& x, const std::vector<Index>& kept) {
  const double peak = x.cwiseAbs().maxCoeff();
  for (Index j = 0; j < x.cols(); ++j) {
    if (std::find(kept.begin(), kept.end(), j) != kept.end()) continue;
    const mpf_class left = exact.left_of_x(j, kept);
    const mpf_class size(x.col(j).cwiseAbs().maxCoeff(), reference_bits);
    const double n = static_cast<double>(x.rows());
    if (left > size * size * mpf_class(1e-22 * n, reference_bits) * exact.multiple() &&
        !is_negligible(exact, left, peak))
      return false;
  }
  return true;
}

/// ||computed - exact|| in units of `promise` times (||exact|| + 1e-4), columns times `sizes`: exactly linear
/// data has a gradient of 0, and no relative error. 0 where the exact one overflows.
double gradient_error(const matrix& computed, const real_matrix& exact, double promise,
                      const std::vector<mpf_class>& sizes) {
  mpf_class error = real(), size = real();
  for (Index j = 0; j < computed.cols(); ++j)
    for (Index i = 0; i < computed.rows(); ++i) {
      const auto row = static_cast<std::size_t>(i), column = static_cast<std::size_t>(j);
      const mpf_class right = exact[row][column] * sizes[column];
      if (abs(exact[row][column]) > 1e307) return 0.0;
      if (!std::isfinite(computed(i, j))) return HUGE_VAL;
      const mpf_class wrong = real(computed(i, j)) * sizes[column] - right;
      error += wrong * wrong, size += right * right;
    }
  return mpf_class(sqrt(error) / (promise * (sqrt(size) + 1e-4))).get_d();
}

/// Adds to a score that is right: are its gradients?
void judge_gradients(const exact_pair& exact, const matrix& x, const matrix& y, const asked& what, const outcome& got,
                     judgement& out) {
  const exact_gradients right = exact.gradients(x, y, what.update);
  const double promise = 10.0 * (std::max)(1e-10, 1e-15 * got.result->condition);  // "about"
  const mpf_class multiple = real(exact.multiple()), size = sqrt(exact.energy(what.update) / multiple);
  std::vector<mpf_class> x_sizes, y_sizes(right.of_y.front().size(), size);
  for (Index j = 0; j < x.cols(); ++j) {
    const mpf_class own = sqrt(exact.left_of_x(j, {}) / multiple);
    x_sizes.push_back(what.update && size < own ? size : own);
  }
  const double of_x = gradient_error(got.gradients->first, right.of_x, promise, x_sizes);
  const double of_y = gradient_error(got.gradients->second, right.of_y, promise, y_sizes);
  if (of_x <= 1.0 && of_y <= 1.0) return;
  out.is = verdict::violation, out.ratio = (std::max)(of_x, of_y);
  out.why = of_x > of_y ? "gradient of x" : "gradient of y";
}

judgement judge(const trial& t, reference& references, const asked& what, const outcome& got) {
  const exact_pair& exact = references.of(what.swapped);
  const matrix& x = what.swapped ? t.pair.y : t.pair.x;
  const matrix& y = what.swapped ? t.pair.x : t.pair.y;
  const mpf_class energy = exact.energy(what.update);
  judgement out;
  if (!got.result) {
    const double x_peak = x.cwiseAbs().maxCoeff(), y_peak = y.cwiseAbs().maxCoeff();
    const bool no_variance = got.refusal.find("no variance") != std::string::npos ||
                             got.refusal.find("none beyond the rounding") != std::string::npos;
    const bool right = is_negligible(exact, exact.x_energy(), x_peak) ||
                       is_negligible(exact, energy, what.update ? (std::max)(x_peak, y_peak) : y_peak) ||
                       (what.update && !what.data && is_rounding(exact, energy, x, y));
    const bool dependent = got.refusal.find("dependent within rounding") != std::string::npos;
    // ds/dX is of the size of 1/X, ds/dY of 1/Y.
    const bool no_gradient =
        got.refusal.find("within the range of double") != std::string::npos && (std::min)(x_peak, y_peak) < 1e-280;
    out.is = (no_variance && right) || dependent || no_gradient ? verdict::refused : verdict::violation;
    out.why = "wrong refusal: " + got.refusal;
    return out;
  }
  const linearity_result& r = *got.result;
  if (what.same_as) {
    const auto& other = what.same_as->result;
    if (!other || other->score != r.score || other->error_bound != r.error_bound) {
      out.why = "not the same to the bit as from the data as it is";
      return out;
    }
  }
  if (!(r.score >= 0.0 && r.score <= 1.0 && r.error_bound >= 0.0 && r.error_bound <= 1.0)) {
    out.why = "score or bound outside [0, 1]";
    return out;
  }
  if (energy == 0) {
    out.why = "a score of no variance";
    return out;
  }
  const double allowed = r.error_bound + 0x1p-53;
  const mpf_class unexplained = exact.unexplained(what.update);
  out.error = error_of(r.score, unexplained);
  out.ratio = out.error / allowed;
  out.exact = mpf_class(1 - unexplained).get_d();
  out.why = "outside its bound";
  if (out.error <= allowed) {
    out.is = verdict::full;
    if (got.gradients && r.rank == x.cols() && !r.underdetermined) judge_gradients(exact, x, y, what, got, out);
    return out;
  }
  if (r.rank >= exact.rank()) return out;
  if (x.cols() > 9) {  // too many sets to try
    out.is = verdict::reduced;
    return out;
  }
  // Of as many columns as the rank says: of all such sets, there are at most some hundred.
  double nearest = HUGE_VAL;
  for (std::uint64_t set = 0; set < std::uint64_t{1} << x.cols(); ++set) {
    if (std::popcount(set) != r.rank) continue;
    std::vector<Index> kept;
    for (Index j = 0; j < x.cols(); ++j)
      if (set >> j & 1) kept.push_back(j);
    const double error = error_of(r.score, exact.unexplained(what.update, kept));
    if (error >= nearest || !spans(exact, x, kept)) continue;
    nearest = error;
    if (error > allowed) continue;
    out.is = verdict::reduced, out.error = error, out.ratio = error / allowed;
    return out;
  }
  std::ostringstream why;
  why << "outside its bound, and " << nearest << " from the nearest of that rank";
  out.why = why.str();
  return out;
}

// --- The table -------------------------------------------------------------------------------------------

struct tally {
  long scores = 0, reduced = 0, refused = 0, loose = 0, violations = 0;
  double worst = 0.0;  ///< error over bound
  double loosest = 0.0;
  std::map<int, long> bounds;  ///< how many by 4 log10 of the bound

  void count(const asked& what, const outcome& got, const judgement& verdict_of) {
    ++scores;
    reduced += verdict_of.is == verdict::reduced;
    refused += verdict_of.is == verdict::refused;
    violations += verdict_of.is == verdict::violation;
    if (!got.result) return;
    const double bound = got.result->error_bound;
    if (verdict_of.is != verdict::reduced) worst = (std::max)(worst, verdict_of.ratio);
    if (what.must_be_1e8 && bound > 1e-8) ++loose, loosest = (std::max)(loosest, bound);
    ++bounds[bound > 0.0 ? static_cast<int>(std::floor(4.0 * std::log10(bound))) : -1300];
  }

  double median() const {
    long total = 0, seen = 0;
    for (const auto& [at, count] : bounds) total += count;
    for (const auto& [at, count] : bounds)
      if ((seen += count) * 2 >= total) return std::pow(10.0, at / 4.0);
    return 0.0;
  }

  void print(const std::string& name) const {
    std::printf("%-32s %9ld %8ld %8ld %8ld %9.1e %10ld %9.2g %9.1e\n", name.c_str(), scores, reduced, refused, loose,
                loosest, violations, worst, median());
  }
};

class report {
 public:
  void count(const trial& t, const asked& what, const outcome& got, const judgement& verdict_of, bool always) {
    const bool spliced = t.pair.splice > 0;
    const std::string score = what.update ? " (residual)" : "";
    all_.count(what, got, verdict_of);
    ways_[what.way + score].count(what, got, verdict_of);
    xs_["x: " + (spliced ? "spliced" : t.pair.x_name)].count(what, got, verdict_of);
    ys_["y: " + (spliced ? "spliced" : t.pair.y_name)].count(what, got, verdict_of);
    const bool violates = verdict_of.is == verdict::violation;
    const std::string kind = t.pair.x_name + " / " + t.pair.y_name + " / " + what.way + score;
    const bool loose = got.result && what.must_be_1e8 && got.result->error_bound > 1e-8;
    if (violates && ++which_[kind] > most_printed && !always) return;
    if (loose && !violates && ++loose_[kind] > 1 && !always) return;
    if (!violates && !loose && !always) return;
    std::printf("%s: x %s, y %s, %td x (%td, %td), %s%s, %s%s%s: ",
                violates ? "VIOLATION"
                : loose  ? "loose"
                         : "ok",
                t.pair.x_name.c_str(), t.pair.y_name.c_str(), t.pair.x.rows(), t.pair.x.cols(), t.pair.y.cols(),
                t.centering == centering::columns ? "centred" : "not centred", t.single ? ", float" : "",
                what.way.c_str(), what.swapped ? ", swapped" : "", score.c_str());
    if (got.result)
      std::printf("score %.17g exact %.17g error %.3g bound %.3g ratio %.3g rank %td%s%s", got.result->score,
                  verdict_of.exact, verdict_of.error, got.result->error_bound, verdict_of.ratio, got.result->rank,
                  violates ? ": " : "", violates ? verdict_of.why.c_str() : "");
    else
      std::printf("%s", violates ? verdict_of.why.c_str() : got.refusal.c_str());
    std::printf(" | --seed %llu --case %llu\n", static_cast<unsigned long long>(t.seed),
                static_cast<unsigned long long>(t.number));
  }

  void print() const {
    std::printf("\n%-32s %9s %8s %8s %8s %9s %10s %9s %9s\n", "", "scores", "reduced", "refused", "loose", "loosest",
                "violations", "err/bound", "median");
    for (const auto* tallies : {&ways_, &xs_, &ys_}) {
      for (const auto& [name, tally] : *tallies) tally.print(name);
      std::printf("\n");
    }
    all_.print("all");
    if (which_.empty()) return;
    std::printf("\nViolations by kind and way:\n");
    for (const auto& [name, count] : which_) std::printf("%8ld  %s\n", count, name.c_str());
  }

  long violations() const { return all_.violations; }

 private:
  static constexpr long most_printed = 2;  // of a kind and way
  tally all_;
  std::map<std::string, tally> ways_, xs_, ys_;
  std::map<std::string, long> which_, loose_;
};

void print_matrix(const char* name, const matrix& m) {
  std::printf("%s = %td x %td, by rows:\n", name, m.rows(), m.cols());
  for (Index i = 0; i < m.rows(); ++i) {
    for (Index j = 0; j < m.cols(); ++j) std::printf(" %a", m(i, j));
    std::printf("\n");
  }
}

using judged = std::function<void(const asked&, const outcome&, const judgement&)>;

void judge_all(const trial& t, const judged& to) {
  reference references(t);
  const sink judge_it = [&](const asked& what, const outcome& got) { to(what, got, judge(t, references, what, got)); };
  if (t.single)
    score_all<Eigen::MatrixXf>(t, t.pair.x.cast<float>(), t.pair.y.cast<float>(), judge_it);
  else
    score_all<matrix>(t, t.pair.x, t.pair.y, judge_it);
}

// --- Smaller ---------------------------------------------------------------------------------------------

/// The same trial without some rows.
trial without_rows(const trial& t, Index first, Index count) {
  trial out = t;
  const Index rest = t.pair.x.rows() - first - count;
  for (matrix* m : {&out.pair.x, &out.pair.y}) {
    m->middleRows(first, rest) = matrix(m->bottomRows(rest));
    m->conservativeResize(m->rows() - count, Eigen::NoChange);
  }
  out.pair.splice -= std::clamp<Index>(t.pair.splice - first, 0, count);
  return out;
}

/// The same without a column of X and, if they have as many, of Y.
trial without_column(const trial& t, Index j) {
  trial out = t;
  const auto drop = [j](matrix& m) {
    const Index rest = m.cols() - j - 1;
    m.middleCols(j, rest) = matrix(m.rightCols(rest));
    m.conservativeResize(Eigen::NoChange, m.cols() - 1);
  };
  if (t.pair.x.cols() == t.pair.y.cols()) drop(out.pair.y);
  drop(out.pair.x);
  return out;
}

/// Leaves out rows and columns and rounds elements for as long as the score stays wrong in the way it is.
trial shrink(trial t, const asked& what, const judgement& wrong) {
  const double enough = (std::min)(wrong.ratio, std::sqrt(wrong.ratio));  // not another, marginal violation
  const auto is_still_wrong = [&](const trial& smaller) {
    bool found = false;
    judge_all(smaller, [&](const asked& other, const outcome&, const judgement& verdict_of) {
      found |= verdict_of.is == verdict::violation && verdict_of.why.substr(0, 12) == wrong.why.substr(0, 12) &&
               other.way == what.way && verdict_of.ratio >= enough && other.update == what.update &&
               other.swapped == what.swapped;
    });
    return found;
  };
  const auto replace_by = [&](const trial& smaller) {
    if (!is_still_wrong(smaller)) return false;
    t = smaller;
    return true;
  };
  for (Index size = -1; size != t.pair.x.size();) {
    size = t.pair.x.size();
    for (Index chunk = t.pair.x.rows() / 2; chunk > 0; chunk /= 2)
      for (Index first = 0; first + chunk <= t.pair.x.rows() && t.pair.x.rows() > chunk;)
        if (!replace_by(without_rows(t, first, chunk))) first += chunk;
    for (Index j = 0; j < t.pair.x.cols() && t.pair.x.cols() > 1;)
      if (!replace_by(without_column(t, j))) ++j;
  }
  if (t.pair.x.rows() > 40) return t;
  for (matrix fuzz_pair::* which : {&fuzz_pair::x, &fuzz_pair::y})
    for (Index at = 0; at < (t.pair.*which).size(); ++at)
      for (const int bits : {0, 1, 3, 8, 24, 40}) {
        trial simpler = t;
        double& v = (simpler.pair.*which).data()[at];
        int exponent;
        const double digits = std::ldexp(std::frexp(v, &exponent), bits);
        v = bits == 0 ? 0.0 : std::ldexp(std::round(digits), exponent - bits);
        if (v == (t.pair.*which).data()[at] || replace_by(simpler)) break;
      }
  return t;
}

void print_data(const trial& t) {
  if (t.pair.x.size() + t.pair.y.size() > 400) return;
  print_matrix("X", t.pair.x);
  print_matrix("Y", t.pair.y);
}

/// One trial with all its scores, and its first violation with as little data as shows it.
void examine(const trial& t, report& to) {
  print_data(t);
  std::optional<std::pair<asked, judgement>> wrong;
  judge_all(t, [&](const asked& what, const outcome& got, const judgement& verdict_of) {
    to.count(t, what, got, verdict_of, true);
    if (verdict_of.is == verdict::violation && !wrong) wrong.emplace(what, verdict_of);
  });
  if (!wrong) return;
  const trial small = shrink(t, wrong->first, wrong->second);
  std::printf("\nThe first violation, with %td of %td rows:\n", small.pair.x.rows(), t.pair.x.rows());
  print_data(small);
  report of_small;
  judge_all(small, [&](const asked& what, const outcome& got, const judgement& verdict_of) {
    if (verdict_of.is == verdict::violation) of_small.count(small, what, got, verdict_of, true);
  });
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seed = 1, trials = 3000;
  std::optional<std::uint64_t> only;
  double seconds = 0.0;
  bool gradients = false;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--seed") seed = std::strtoull(argv[i + 1], nullptr, 10);
    if (option == "--case") only = std::strtoull(argv[i + 1], nullptr, 10);
    if (option == "--trials") trials = std::strtoull(argv[i + 1], nullptr, 10);
    if (option == "--gradients") gradients = argv[i + 1] == std::string("1");
    if (option == "--seconds") seconds = std::strtod(argv[i + 1], nullptr);
  }
  mpf_set_default_prec(reference_bits);
  report to;
  if (only) {
    trial t = make_trial(seed, *only);
    t.differentiated = gradients;
    examine(t, to);
  } else {
    const auto start = std::chrono::steady_clock::now();
    const auto elapsed = [&] {
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    for (std::uint64_t k = 0; seconds > 0.0 ? elapsed() < seconds : k < trials; ++k) {
      trial t = make_trial(seed, k);
      t.differentiated = gradients;
      judge_all(t, [&](const asked& what, const outcome& got, const judgement& verdict_of) {
        to.count(t, what, got, verdict_of, false);
      });
    }
  }
  to.print();
  return to.violations() == 0 ? 0 : 1;
}
