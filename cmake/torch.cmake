# layerwise_torch, and LAYERWISE_HAS_TORCH: the libtorch that is installed, for tests and examples. Debian's has no CMake
# package.

find_path(TORCH_INCLUDE torch/torch.h PATH_SUFFIXES torch/csrc/api/include)
find_path(ATEN_INCLUDE ATen/ATen.h)
find_library(TORCH_LIBRARY torch)
find_library(TORCH_CPU_LIBRARY torch_cpu)
find_library(C10_LIBRARY c10)
set(LAYERWISE_HAS_TORCH OFF)
if(TORCH_INCLUDE AND ATEN_INCLUDE AND TORCH_LIBRARY AND TORCH_CPU_LIBRARY AND C10_LIBRARY)
  set(LAYERWISE_HAS_TORCH ON)
  find_package(Threads REQUIRED)
  add_library(layerwise_torch INTERFACE)
  target_include_directories(layerwise_torch SYSTEM INTERFACE ${ATEN_INCLUDE} ${TORCH_INCLUDE})
  # Before anything else: clang does not compile libtorch 1.13 as C++20 without it.
  target_compile_options(layerwise_torch INTERFACE "$<$<CXX_COMPILER_ID:Clang>:SHELL:-include ATen/core/ivalue.h>")
  target_link_libraries(layerwise_torch INTERFACE ${TORCH_LIBRARY} ${TORCH_CPU_LIBRARY} ${C10_LIBRARY})
endif()
