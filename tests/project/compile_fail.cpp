// Wrong types, passed to functions of the library. compile_fail.cmake sees to it that each line below that says so is
// an error, that the compiler's next lines name the requirement that failed, and that there are no other errors.
#include <layerwise/metrics/linearity.hpp>
#include <layerwise/profile.hpp>
#include <layerwise/training/mse.hpp>

#include <Eigen/Core>

#include <cstddef>
#include <variant>
#include <vector>

namespace {

struct foreign_type {
  float value;
};

// Layers made on the fly, which are gone when the loop moves on: what a transforming view gives.
struct temporary_layers {
  struct iterator {
    using difference_type = std::ptrdiff_t;
    using value_type = Eigen::MatrixXf;
    value_type operator*() const { return value_type::Ones(2, 2); }
    iterator& operator++() { return ++i, *this; }
    iterator operator++(int) { return {i++}; }
    bool operator==(const iterator&) const = default;
    int i = 0;
  };
  iterator begin() const { return {0}; }
  iterator end() const { return {2}; }
};

// Three that specialize the trait, two of them wrongly.
struct only_rows {};
struct rows_without_sizes {};
struct owner_by_value {};

}  // namespace

template <>
struct layerwise::embedding_traits<only_rows> {
  static index rows(const only_rows&) { return 9; }
  static index cols(const only_rows&) { return 2; }
  static void read_row(const only_rows&, index, double* out) { out[0] = out[1] = 1; }
};
template <>
struct layerwise::embedding_traits<rows_without_sizes> {
  static void read_row(const rows_without_sizes&, index, double* out) { out[0] = out[1] = 1; }
};
template <>
struct layerwise::embedding_traits<owner_by_value> {
  static Eigen::MatrixXd view(const owner_by_value&) { return {}; }
};

void calls(const std::vector<Eigen::MatrixXf>& states, std::vector<Eigen::MatrixXf>& gradients) {
  const layerwise::mse_regularizer regularizer{.lambda = 1.0};
  const std::vector<Eigen::MatrixXf>& const_gradients = gradients;

  layerwise::linearity_score(states[0], states[1]);
  layerwise::linearity_score(foreign_type{}, states[1]);         // fails: has_embedding_traits
  layerwise::linearity_score(Eigen::MatrixXi(9, 2), states[1]);  // fails: has_embedding_scalars

  layerwise::linearity_score(only_rows{}, states[1]);
  layerwise::linearity_score(rows_without_sizes{}, states[1]);            // fails: has_embedding_traits
  layerwise::linearity_score(owner_by_value{}, states[1]);                // fails: has_embedding_scalars
  layerwise::linearity_score(std::variant<only_rows, int>(), states[1]);  // fails: has_embedding_scalars

  layerwise::profile(states);
  layerwise::profile(std::vector<int>(9));  // fails: has_embedding_traits
  layerwise::profile(temporary_layers{});   // fails: outlives_iteration

  regularizer.value_and_gradient(states, gradients);
  regularizer.value_and_gradient(states, const_gradients);  // fails: may_be_written
  std::vector<only_rows> rows(2);
  regularizer.value_and_gradient(states, rows);  // fails: may_be_written
}
