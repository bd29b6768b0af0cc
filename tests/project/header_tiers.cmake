# cmake -D INCLUDE=<include folder> -P header_tiers.cmake
#
# Fails if a header includes upwards, or includes anything but lower headers of layerwise, Eigen and the C++20 standard
# library. A new header belongs into the table first.

cmake_minimum_required(VERSION 3.25)

set(tier_0 version detail/config detail/matrix error detail/arithmetic view embedding token_mask detail/parallel
    detail/row_reader detail/rows detail/row_writer detail/indices detail/distinct_rows detail/vectors detail/product
    detail/cholesky detail/householder detail/lanczos detail/double_double)
set(tier_1 procrustes residual angle moments detail/refinement least_squares)
set(tier_2 linearity jump regularizer)
set(tier_3 linearity_gradient profile)
set(tier_4 layerwise)

# Opt-in: what other libraries' types need. They include their library and embedding.hpp (torch_autograd.hpp what it
# differentiates), and nothing includes them.
set(tier_5 interop/armadillo interop/dlpack interop/ggml interop/mdspan interop/opencv interop/torch
    interop/torch_autograd interop/xtensor)
set(libraries <armadillo> <dlpack/dlpack.h> <ggml.h> <opencv2/core.hpp> <ATen/ATen.h> <ATen/core/Tensor.h>
    <ATen/core/ivalue.h> <torch/csrc/autograd/custom_function.h> <xtensor/xexpression.hpp> <xtensor/xutils.hpp>)

# Inside a tier a header stands alone, but for these: "<header> may include <header>".
set(within_a_tier
    "detail/config may include version"
    "detail/matrix may include detail/config"
    "error may include detail/config"
    "detail/arithmetic may include error"
    "detail/vectors may include detail/matrix"
    "detail/product may include detail/matrix"
    "detail/row_reader may include detail/arithmetic"
    "detail/row_reader may include detail/matrix"
    "view may include error"
    "embedding may include view"
    "detail/row_reader may include embedding"
    "token_mask may include error"
    "detail/parallel may include error"
    "detail/rows may include error"
    "detail/rows may include detail/row_reader"
    "detail/rows may include detail/parallel"
    "detail/row_writer may include detail/rows"
    "detail/row_writer may include view"
    "detail/product may include detail/parallel"
    "detail/distinct_rows may include detail/matrix"
    "detail/distinct_rows may include detail/parallel"
    "detail/indices may include error"
    "detail/vectors may include error"
    "detail/cholesky may include detail/indices"
    "detail/cholesky may include detail/parallel"
    "detail/cholesky may include detail/product"
    "detail/cholesky may include detail/vectors"
    "detail/householder may include detail/cholesky"
    "detail/householder may include detail/indices"
    "detail/householder may include detail/parallel"
    "detail/householder may include detail/product"
    "detail/householder may include detail/vectors"
    "detail/lanczos may include detail/cholesky"
    "detail/lanczos may include detail/vectors"
    "detail/lanczos may include error"
    "detail/double_double may include error"
    "detail/distinct_rows may include error"
    "moments may include procrustes"
    "detail/refinement may include moments"
    "least_squares may include detail/refinement"
    "least_squares may include moments"
    "interop/torch_autograd may include interop/torch")

# Other than these, <name> is not of the standard library (C++20, without the C headers' .h names).
set(standard
    algorithm any array atomic barrier bit bitset cassert cctype cerrno cfenv cfloat charconv chrono cinttypes
    climits clocale cmath compare complex concepts condition_variable coroutine csetjmp csignal cstdarg cstddef cstdint
    cstdio cstdlib cstring ctime cuchar cwchar cwctype deque exception execution filesystem format forward_list
    fstream functional future initializer_list iomanip ios iosfwd iostream istream iterator latch limits list locale
    map memory memory_resource mutex new numbers numeric optional ostream queue random ranges ratio regex
    scoped_allocator semaphore set shared_mutex source_location span sstream stack stdexcept stop_token streambuf
    string string_view strstream syncstream system_error thread tuple type_traits typeindex typeinfo unordered_map
    unordered_set utility valarray variant vector version)

set(faults 0)
function(fault header text)
  message("${header}: ${text}")
  math(EXPR faults "${faults} + 1")
  set(faults ${faults} PARENT_SCOPE)
endfunction()

foreach(tier RANGE 5)
  foreach(name IN LISTS tier_${tier})
    set(tier_of_${name} ${tier})
    if(NOT EXISTS "${INCLUDE}/layerwise/${name}.hpp")
      fault(layerwise/${name}.hpp "is in the table of tiers, but does not exist")
    endif()
  endforeach()
endforeach()

set(checked 0)
file(GLOB_RECURSE headers RELATIVE "${INCLUDE}/layerwise" "${INCLUDE}/layerwise/*")
foreach(header IN LISTS headers)
  string(REGEX REPLACE "\\.hpp$" "" name "${header}")
  if(NOT DEFINED tier_of_${name})
    fault(${header} "is in no tier: add it to the table in header_tiers.cmake")
    continue()
  endif()
  file(STRINGS "${INCLUDE}/layerwise/${header}" lines REGEX "^[ \t]*#[ \t]*include")
  foreach(line IN LISTS lines)
    math(EXPR checked "${checked} + 1")
    if(line MATCHES "<layerwise/([a-z_/]+)\\.hpp>")
      set(included ${CMAKE_MATCH_1})
      if(NOT DEFINED tier_of_${included})
        fault(${header} "includes layerwise/${included}.hpp, which is in no tier")
      elseif(tier_of_${included} GREATER_EQUAL tier_of_${name} AND NOT "${name} may include ${included}" IN_LIST within_a_tier)
        fault(${header} "is of tier ${tier_of_${name}} and includes ${included}.hpp of tier ${tier_of_${included}}")
      endif()
    elseif(line MATCHES "<Eigen/[A-Za-z]+>")
    elseif(line MATCHES "<([a-z_]+)>" AND CMAKE_MATCH_1 IN_LIST standard)
    elseif(line MATCHES "<(omp|unistd)\\.h>" AND name STREQUAL "detail/parallel")
    elseif(name MATCHES "^interop/" AND line MATCHES "(<.+>)" AND CMAKE_MATCH_1 IN_LIST libraries)
    else()
      fault(${header} "includes what the core may not: ${line}")
    endif()
  endforeach()
endforeach()

# The umbrella includes every other header of the core, and nothing but includes.
file(STRINGS "${INCLUDE}/layerwise/layerwise.hpp" umbrella)
foreach(header IN LISTS headers)
  if(NOT header STREQUAL "layerwise.hpp" AND NOT header MATCHES "^(detail|interop)/"
     AND NOT "#include <layerwise/${header}>" IN_LIST umbrella)
    fault(layerwise.hpp "does not include ${header}")
  endif()
endforeach()

if(faults GREATER 0)
  message(FATAL_ERROR "${faults} faults")
endif()
message("${checked} includes checked")
