# What tests, benchmarks and examples are built with; none of it is exported or reaches a consumer.
#
#   layerwise_warnings   the warnings, as errors with LAYERWISE_WERROR
#   layerwise_openmp     OpenMP, where LAYERWISE_OPENMP is on and the compiler has it; else nothing
#   layerwise_native     -march=native, where LAYERWISE_NATIVE is on and the compiler has it; else nothing. Eigen's
#                        alignment, and so its ABI, follows the processor: link it into all of a program or none of it

include(CheckCXXCompilerFlag)

set(CMAKE_CXX_EXTENSIONS OFF)

if(LAYERWISE_QUICK)
  string(REGEX REPLACE "-O[23]" "-O1" CMAKE_CXX_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options("SHELL:--param ggc-min-heapsize=524288")  # a tenth of its time is garbage collection
  endif()
endif()

add_library(layerwise_warnings INTERFACE)
if(MSVC)
  target_compile_options(layerwise_warnings INTERFACE /W4 $<$<BOOL:${LAYERWISE_WERROR}>:/WX>)
else()
  target_compile_options(
    layerwise_warnings INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion
                                 # the names of another source are no shadows
                                 $<$<NOT:$<BOOL:$<TARGET_PROPERTY:UNITY_BUILD>>>:-Wshadow>
                                 $<$<BOOL:${LAYERWISE_WERROR}>:-Werror>)
endif()

add_library(layerwise_openmp INTERFACE)
if(LAYERWISE_OPENMP)
  find_package(OpenMP COMPONENTS CXX)
  if(OpenMP_CXX_FOUND)
    target_link_libraries(layerwise_openmp INTERFACE OpenMP::OpenMP_CXX)
  endif()
endif()

add_library(layerwise_native INTERFACE)
if(LAYERWISE_NATIVE)
  check_cxx_compiler_flag(-march=native LAYERWISE_HAS_MARCH_NATIVE)
  if(LAYERWISE_HAS_MARCH_NATIVE)
    target_compile_options(layerwise_native INTERFACE -march=native)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      # GCC's AVX-512 intrinsics start from a register left undefined on purpose, and GCC warns of it (bug 105593).
      target_compile_options(layerwise_native INTERFACE -Wno-uninitialized -Wno-maybe-uninitialized)
    endif()
  endif()
endif()

if(LAYERWISE_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g)
  add_link_options(-fsanitize=address,undefined)
endif()
