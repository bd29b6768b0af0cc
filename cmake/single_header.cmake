# cmake -D SOURCE=<repository> -D OUTPUT=<file> -P single_header.cmake
#
# Writes all of the core into one header: layerwise.hpp and what it includes of layerwise, each header once and after
# those that it includes. Other includes stay where they are, since some stand under an #if. layerwise/interop is no
# part of it.

cmake_minimum_required(VERSION 3.18)

set(include "${SOURCE}/include")

file(READ "${include}/layerwise/core/version.hpp" version_header)
foreach(part MAJOR MINOR PATCH)
  string(REGEX MATCH "LAYERWISE_VERSION_${part} ([0-9]+)" _ "${version_header}")
  list(APPEND version ${CMAKE_MATCH_1})
endforeach()
list(JOIN version "." version)

# The license asks to be in every copy.
file(READ "${SOURCE}/LICENSE" license)
string(STRIP "${license}" license)
string(REPLACE "\n" "\n// " license "${license}")
string(REPLACE "// \n" "//\n" license "${license}")

file(WRITE "${OUTPUT}"
     "// layerwise ${version}: metrics and regularizers for the hidden states of transformers\n"
     "// All of include/layerwise but its interop, in one header: made by cmake/single_header.cmake, not to be edited.\n"
     "// SPDX-License-Identifier: MIT\n//\n// ${license}\n#pragma once\n")

function(append_header header)
  get_property(done GLOBAL PROPERTY done)
  if(header IN_LIST done)
    return()
  elseif(header MATCHES "^layerwise/interop/")
    message(FATAL_ERROR "The core includes ${header}")
  endif()
  set_property(GLOBAL APPEND PROPERTY done ${header})

  file(STRINGS "${include}/${header}" lines REGEX "^#include <layerwise/")
  foreach(line IN LISTS lines)
    string(REGEX MATCH "layerwise/[^>]+" included "${line}")
    append_header(${included})
  endforeach()

  file(READ "${include}/${header}" text)
  string(REGEX REPLACE "(// [^\n]*\n)*#pragma once\n" "" text "${text}")
  string(REGEX REPLACE "#include <layerwise/[^\n]*\n" "" text "${text}")
  string(STRIP "${text}" text)
  file(APPEND "${OUTPUT}" "\n// ---- ${header}\n\n${text}\n")
endfunction()

append_header(layerwise/layerwise.hpp)
message("${OUTPUT}")
