# LAYERWISE_HAS_LLAMA, and the target llama: llama.cpp, for examples and tests. A target that is there already, the
# source in -DLAYERWISE_LLAMA_SOURCE=<folder> (cmake/get_llama.sh gets one), or an installed package.
#
# Included before anything is set for all targets: it is built with its own flags, warnings and optimization.

set(LAYERWISE_LLAMA_SOURCE "" CACHE PATH "A folder of llama.cpp's source, to be built for layerwise-llama")

# A function, so that what is set for llama.cpp is for it alone.
function(layerwise_add_llama)
  set(BUILD_SHARED_LIBS OFF)
  foreach(part IN ITEMS COMMON TESTS TOOLS EXAMPLES SERVER APP UI)
    set(LLAMA_BUILD_${part} OFF)
  endforeach()
  foreach(switch IN ITEMS LLAMA_OPENSSL LLAMA_ALL_WARNINGS GGML_CCACHE)
    set(${switch} OFF)
  endforeach()
  set(GGML_NATIVE ${LAYERWISE_NATIVE})
  set(CMAKE_POLICY_DEFAULT_CMP0077 NEW)  # so that the lines above win over the option() calls in there
  add_subdirectory("${LAYERWISE_LLAMA_SOURCE}" "${PROJECT_BINARY_DIR}/llama.cpp-build" EXCLUDE_FROM_ALL SYSTEM)
endfunction()

if(NOT TARGET llama)
  if(LAYERWISE_LLAMA_SOURCE)
    layerwise_add_llama()
  else()
    find_package(llama CONFIG QUIET)
  endif()
endif()
set(LAYERWISE_HAS_LLAMA OFF)
if(TARGET llama)
  set(LAYERWISE_HAS_LLAMA ON)
endif()
