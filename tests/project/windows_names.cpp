// Macros that Windows' headers define, before everything: min and max, and names that look like anybody's.
#define min(a, b) (((a) < (b)) ? (a) : (b))
#define max(a, b) (((a) > (b)) ? (a) : (b))
#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <memory>
#include <new>
#include <numbers>
#include <numeric>
#include <optional>
#include <ranges>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>
#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif
// The standard library and Eigen take these two away again, or write (std::min).
#undef min
#undef max
#define min(a, b) (((a) < (b)) ? (a) : (b))
#define max(a, b) (((a) > (b)) ? (a) : (b))
#define near
#define far
#define small char
#define interface struct
#define hyper long
#define pascal
#define cdecl
#define IN
#define OUT
#define OPTIONAL
#define CONST const
#define VOID void
#define TRUE 1
#define FALSE 0
#define ERROR 0
#define NO_ERROR 0
#define STRICT
#define DELETE 0x00010000L
#define IGNORE 0
#define INFINITE 0xffffffff
#define rad1 0x0438
#define rad2 0x0439
#define grp1 0x0430
#define chx1 0x0410
#define Yield()
#define GetObject GetObjectW

#include <layerwise/interop/mdspan.hpp>
#include <layerwise/layerwise.hpp>

double windows_names(const Eigen::MatrixXf& x, const Eigen::MatrixXd& y) {
  Eigen::MatrixXd gradient = y;
  layerwise::layer_profiler profiler;
  profiler.add(std::vector<Eigen::MatrixXf>{x, 2 * x});
  return profiler.profile().layers[0].displacement + layerwise::fit_linear_map(x, y)(x).sum() +
         layerwise::mse_regularizer{.lambda = 1}.value(std::vector<Eigen::MatrixXf>{x, 2 * x}) +
         layerwise::linearity_and_gradient(x, y, nullptr, gradient).score + layerwise::jump_rate({0.25, 0.5});
}
