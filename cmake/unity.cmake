# cmake -D "SOURCES=<source>;..." -D OUTPUT=<source> -P unity.cmake
#
# Makes one source of many: all that they include first, then each in a namespace of its own, so that no two clash. What
# they all include is then compiled once. A source that has something to say in another's namespace, such as a
# specialization of its templates, comes first and as it is.

cmake_minimum_required(VERSION 3.25)

set(includes)
set(bodies "")
set(number 0)
foreach(source IN LISTS SOURCES)
  file(STRINGS "${source}" lines REGEX "^#include [<\"]")
  cmake_path(GET source PARENT_PATH folder)
  foreach(line IN LISTS lines)
    if(line MATCHES "\"(.+)\"")
      cmake_path(APPEND folder "${CMAKE_MATCH_1}" OUTPUT_VARIABLE beside)
      if(EXISTS "${beside}")
        set(line "#include \"${beside}\"")
      endif()
    endif()
    if(NOT line IN_LIST includes)
      list(APPEND includes "${line}")
    endif()
  endforeach()
  file(STRINGS "${source}" of_another_namespace REGEX "^(template <>|namespace layerwise)")
  if(of_another_namespace)
    string(PREPEND bodies "#include \"${source}\"\n")
  else()
    math(EXPR number "${number} + 1")
    string(APPEND bodies "namespace unit_${number} {\n#include \"${source}\"\n}\n")
  endif()
endforeach()

set(text "")
foreach(line IN LISTS includes)
  string(REGEX REPLACE "^#include " "" file "${line}")
  string(APPEND text "#if __has_include(${file})\n${line}\n#endif\n")  # <omp.h> is not everywhere
endforeach()
file(WRITE "${OUTPUT}" "${text}\n${bodies}")
