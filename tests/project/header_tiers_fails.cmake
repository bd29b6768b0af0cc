# cmake -D INCLUDE=<include folder> -D WORK=<folder> -P header_tiers_fails.cmake
#
# header_tiers.cmake says so of each kind of fault.

cmake_minimum_required(VERSION 3.25)

# fails(<message> <header> <line>...): with the lines added to the header, which may be a new one.
function(fails message header)
  file(REMOVE_RECURSE "${WORK}")
  file(COPY "${INCLUDE}/layerwise" DESTINATION "${WORK}")
  list(JOIN ARGN "\n" lines)
  file(APPEND "${WORK}/layerwise/${header}" "\n${lines}\n")
  execute_process(COMMAND ${CMAKE_COMMAND} -D "INCLUDE=${WORK}" -P "${CMAKE_CURRENT_LIST_DIR}/header_tiers.cmake"
                  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  string(FIND "${output}" "${message}" found)
  if(result EQUAL 0 OR found EQUAL -1)
    message(SEND_ERROR "Not found: ${message}\n${output}")
  endif()
endfunction()

fails("core/error.hpp: includes kernel/parallel.hpp, which is above core" core/error.hpp
      "#include <layerwise/kernel/parallel.hpp>")
fails("data/detail/row_reader.hpp: includes metrics.hpp, which is above data" data/detail/row_reader.hpp
      "#include <layerwise/metrics.hpp>")
fails("profile/layer_metrics.hpp: includes interop/dlpack.hpp, which is above profile" profile/layer_metrics.hpp
      "#include <layerwise/interop/dlpack.hpp>")
fails("core/types.hpp: includes layerwise.hpp, which is above core" core/types.hpp "#include <layerwise/layerwise.hpp>")
fails("core/types.hpp: includes core/none.hpp, which does not exist" core/types.hpp "#include <layerwise/core/none.hpp>")
fails("kernel/lanes.hpp: includes what the core may not: #include <cblas.h>" kernel/lanes.hpp "#include <cblas.h>")
fails("data/embedding.hpp: includes what the core may not: #include \"token_mask.hpp\"" data/embedding.hpp
      "#include \"token_mask.hpp\"")
fails("core/error.hpp: includes itself, by way of" core/types.hpp "#include <layerwise/core.hpp>")
fails("metrics.hpp: does not include metrics/new.hpp" metrics/new.hpp "#pragma once")
fails("metrics.hpp: includes metrics/detail/row_angle.hpp" metrics.hpp
      "#include <layerwise/metrics/detail/row_angle.hpp>")
fails("metrics.hpp: includes data/embedding.hpp" metrics.hpp "#include <layerwise/data/embedding.hpp>")
fails("metrics.hpp: has more than includes: int x" metrics.hpp "int x;")
fails("layerwise.hpp: includes interop/dlpack.hpp" layerwise.hpp "#include <layerwise/interop/dlpack.hpp>")
fails("statistical/new.hpp: is in no folder of header_tiers.cmake" statistical/new.hpp "#pragma once")
string(REPEAT "\n" 401 long)
fails(" lines, more than 400" metrics/jump_rate.hpp "${long}")
