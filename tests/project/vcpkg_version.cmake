# cmake -D PORT=<vcpkg.json> -D CONAN=<conanfile.py> -D VERSION=<version> -P vcpkg_version.cmake

cmake_minimum_required(VERSION 3.25)

file(READ "${PORT}" port)
string(JSON version GET "${port}" version)
if(NOT version STREQUAL VERSION)
  message(FATAL_ERROR "vcpkg.json says ${version}, version.hpp ${VERSION}")
endif()
file(READ "${CONAN}" recipe)
if(NOT recipe MATCHES [["include", "layerwise", "core", "version.hpp"]])
  message(FATAL_ERROR "conanfile.py reads the version elsewhere than in include/layerwise/core/version.hpp")
endif()
