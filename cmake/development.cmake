# What tests, benchmarks and examples are built with; none of it is exported or reaches a consumer. Beside the targets
# there are `native`, the options of the third whether or not they are on, and layerwise_unity().
#
#   layerwise_warnings   the warnings, as errors with LAYERWISE_WERROR
#   layerwise_openmp     OpenMP, where LAYERWISE_OPENMP is on and the compiler has it; else nothing
#   layerwise_native     -march=native, where LAYERWISE_NATIVE is on and the compiler has it; else nothing. Eigen's
#                        alignment, and so its ABI, follows the processor: link it into all of a program or none of it.
#                        With LAYERWISE_QUICK nothing, too: a fifth less to compile

include(CheckCXXCompilerFlag)

set(CMAKE_CXX_EXTENSIONS OFF)

if(LAYERWISE_QUICK)
  string(REGEX REPLACE "-O[23]" "-O1" CMAKE_CXX_FLAGS_RELEASE "${CMAKE_CXX_FLAGS_RELEASE}")
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # A tenth of its time is garbage collection.
    add_compile_options("SHELL:--param ggc-min-heapsize=1048576 --param ggc-min-expand=200")
  endif()
endif()

# layerwise_unity(<variable> <name> <source>...): makes one source of many, see unity.cmake.
function(layerwise_unity variable name)
  set(sources ${ARGN})
  list(TRANSFORM sources PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/")
  set(unity "${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp")
  set(script "${PROJECT_SOURCE_DIR}/cmake/unity.cmake")
  add_custom_command(
    OUTPUT "${unity}"
    COMMAND ${CMAKE_COMMAND} -D "SOURCES=${sources}" -D "OUTPUT=${unity}" -P "${script}"
    DEPENDS ${sources} "${script}"
    VERBATIM)
  set(${variable} "${unity}" PARENT_SCOPE)
endfunction()

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
    set(native -march=native)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      # GCC's AVX-512 intrinsics start from a register left undefined on purpose, and GCC warns of it (bug 105593).
      list(APPEND native -Wno-uninitialized -Wno-maybe-uninitialized)
    endif()
    if(NOT LAYERWISE_QUICK)
      target_compile_options(layerwise_native INTERFACE ${native})
    endif()
  endif()
endif()

if(LAYERWISE_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer -g)
  add_link_options(-fsanitize=address,undefined)
endif()
