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

# An installed one may be of another time: its API has to have what is used.
if(LAYERWISE_HAS_LLAMA)
  get_target_property(layerwise_llama_is_installed llama IMPORTED)
endif()
if(LAYERWISE_HAS_LLAMA AND layerwise_llama_is_installed)
  include(CheckCXXSourceCompiles)
  include(CMakePushCheckState)
  cmake_push_check_state(RESET)
  set(CMAKE_REQUIRED_LIBRARIES llama)
  check_cxx_source_compiles(
    "#include <ggml-backend.h>
     #include <llama.h>
     int main() {
       auto model = llama_model_default_params();
       model.devices = nullptr;
       auto context = llama_context_default_params();
       context.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
       context.op_offload = context.offload_kqv = false;
       context.type_k = GGML_TYPE_F32;
       ggml_set_abort_callback([](const char*) {});
       llama_ftype_name(llama_model_ftype(llama_model_load_from_file(\"\", model)));
       llama_memory_clear(llama_get_memory(llama_init_from_model(nullptr, context)), false);
     }"
    LAYERWISE_LLAMA_HAS_API)
  cmake_pop_check_state()
  if(NOT LAYERWISE_LLAMA_HAS_API)
    message(STATUS "layerwise: the installed llama.cpp has another API than layerwise-llama was written for")
    set(LAYERWISE_HAS_LLAMA OFF)
  endif()
endif()
