// `using namespace layerwise` beside the C library's headers, whose `index` and `error` are functions: what
// README says to write. (By the rules of lookup the two names alone are ambiguous at namespace scope.)
#include <layerwise/layerwise.hpp>

#include <cstring>
#include <vector>
#if __has_include(<strings.h>)
#include <strings.h>
#endif
#if __has_include(<error.h>)
#include <error.h>
#endif

using namespace layerwise;

layerwise::index rows_of(const Eigen::MatrixXf& x) { return x.rows(); }

double using_namespace(const std::vector<Eigen::MatrixXf>& states) {
  using layerwise::index;
  const index rows = rows_of(states[0]);
  const place at{.operand = "states", .row = rows};
  const token_mask mask = token_mask::skip_first(rows, 1);
  try {
    const layer_profile result = profile(states, {}, mask);
    return result.layers[0].linearity->score + displacement(states[0], states[1]).mean() +
           linearity_score(states[0], states[1], {.tolerance = 0.1}) + static_cast<double>(at.row);
  } catch (const layerwise::error&) {
    return version_major;
  }
}
