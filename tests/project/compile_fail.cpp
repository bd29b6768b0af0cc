// Wrong types, passed to functions of the library. compile_fail.cmake sees to it that each line below that says so is
// an error, that the compiler's next lines name the requirement that failed, and that there are no other errors.
#include <layerwise/metrics/linearity.hpp>
#include <layerwise/profile/layer_profiler.hpp>
#include <layerwise/training/mse.hpp>

#include <Eigen/Core>

#include <cstddef>
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

}  // namespace

void calls(const std::vector<Eigen::MatrixXf>& states, std::vector<Eigen::MatrixXf>& gradients) {
  const layerwise::mse_regularizer regularizer{.lambda = 1.0};
  const std::vector<Eigen::MatrixXf>& const_gradients = gradients;

  layerwise::linearity_score(states[0], states[1]);
  layerwise::linearity_score(foreign_type{}, states[1]);         // fails: has_embedding_traits
  layerwise::linearity_score(Eigen::MatrixXi(9, 2), states[1]);  // fails: has_embedding_scalars

  layerwise::profile(states);
  layerwise::profile(std::vector<int>(9));  // fails: has_embedding_traits
  layerwise::profile(temporary_layers{});   // fails: outlives_iteration

  regularizer.value_and_gradient(states, gradients);
  regularizer.value_and_gradient(states, const_gradients);  // fails: may_be_written
}
