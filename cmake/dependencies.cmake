# Where a dependency comes from, in this order: a target that the surrounding project has already made, an installed
# package, a pinned tag of its repository. Only Eigen is a dependency of the library; the others serve its tests,
# benchmarks and examples.
#
# -DCMAKE_DISABLE_FIND_PACKAGE_<name>=ON leaves out the second, -DFETCHCONTENT_SOURCE_DIR_<NAME>=<folder> takes the
# third from a folder instead of the network.

include(FetchContent)

function(layerwise_dependency package)
  # `include`: the folder of a header-only package; its own build files are then left alone, and so are the tests,
  # options and install rules in them. `switches`: the variables, set to OFF, that silence those of a compiled one.
  if(package STREQUAL "Eigen3")
    set(target Eigen3::Eigen)
    set(repository https://gitlab.com/libeigen/eigen.git)
    set(tag 3.4.0)
    set(include .)
  elseif(package STREQUAL "doctest")
    set(target doctest::doctest)
    set(repository https://github.com/doctest/doctest.git)
    set(tag v2.4.12)
    set(include .)
  elseif(package STREQUAL "CLI11")
    set(target CLI11::CLI11)
    set(repository https://github.com/CLIUtils/CLI11.git)
    set(tag v2.5.0)
    set(include include)
  elseif(package STREQUAL "nlohmann_json")
    set(target nlohmann_json::nlohmann_json)
    set(repository https://github.com/nlohmann/json.git)
    set(tag v3.12.0)
    set(include include)
  elseif(package STREQUAL "fmt")
    set(target fmt::fmt)
    set(repository https://github.com/fmtlib/fmt.git)
    set(tag 11.2.0)
    set(switches FMT_DOC FMT_TEST FMT_INSTALL)
  elseif(package STREQUAL "benchmark")
    set(target benchmark::benchmark)
    set(repository https://github.com/google/benchmark.git)
    set(tag v1.9.4)
    set(switches BENCHMARK_ENABLE_TESTING BENCHMARK_ENABLE_GTEST_TESTS BENCHMARK_ENABLE_INSTALL
                 BENCHMARK_INSTALL_DOCS BENCHMARK_ENABLE_WERROR)
  else()
    message(FATAL_ERROR "layerwise_dependency: ${package} is not in the list")
  endif()

  if(TARGET ${target})
    return()
  endif()

  find_package(${package} CONFIG QUIET)
  if(TARGET ${target})
    message(STATUS "layerwise: ${package} ${${package}_VERSION} in ${${package}_DIR}")
    if(package STREQUAL "Eigen3" AND Eigen3_VERSION VERSION_LESS 3.4)
      message(FATAL_ERROR "layerwise needs Eigen 3.4 or later, found ${Eigen3_VERSION} in ${Eigen3_DIR}. "
                          "-DEigen3_ROOT=<prefix> points to another one, "
                          "-DCMAKE_DISABLE_FIND_PACKAGE_Eigen3=ON fetches one.")
    endif()
    return()
  endif()

  message(STATUS "layerwise: ${package} is not installed, fetching ${tag} of ${repository}")
  if(DEFINED include)
    set(how SOURCE_SUBDIR no-build-files-wanted)
  else()
    set(how SYSTEM)  # of CMake 3.25, as all that is for development
  endif()
  FetchContent_Declare(${package} GIT_REPOSITORY ${repository} GIT_TAG ${tag} GIT_SHALLOW ON ${how})
  foreach(switch IN LISTS switches)
    set(${switch} OFF)
  endforeach()
  set(CMAKE_POLICY_DEFAULT_CMP0077 NEW)  # so that the lines above win over the option() calls in there
  FetchContent_MakeAvailable(${package})

  if(DEFINED include)
    FetchContent_GetProperties(${package} SOURCE_DIR source)
    # Imported: an exported target may then refer to it by name, as to an installed package.
    add_library(${target} INTERFACE IMPORTED)
    target_include_directories(${target} INTERFACE "${source}/${include}")
  endif()
endfunction()
