# cmake -D WAY=<way to consume> -D SETTINGS=<settings.cmake> [-D CONSUMER_CMAKE=<another cmake>] -P consume.cmake
#
# Between them, the ways also cover C++20 and C++23, with and without OpenMP, with and without NDEBUG.

cmake_minimum_required(VERSION 3.25)
include("${SETTINGS}")

if(NOT CONSUMER_CMAKE)
  set(CONSUMER_CMAKE "${CMAKE_COMMAND}")
endif()
set(consumer "${CMAKE_CURRENT_LIST_DIR}/consumer")
set(folder "${work}/${WAY}")
set(prefix "${work}/moved prefix")  # layerwise, installed
file(REMOVE_RECURSE "${folder}")
file(MAKE_DIRECTORY "${folder}")

function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# The consumer project: configured with the given arguments, built and run.
function(consume)
  run(${CONSUMER_CMAKE} -S "${consumer}" -B "${folder}/build" ${arguments} ${ARGN})
  run(${CONSUMER_CMAKE} --build "${folder}/build" --config Debug)
  find_program(program consumer PATHS "${folder}/build" "${folder}/build/Debug" NO_DEFAULT_PATH NO_CACHE REQUIRED)
  run("${program}")
endfunction()

# Without CMake: a source, compiled with the given arguments and run.
function(compile_and_run source)
  separate_arguments(flags UNIX_COMMAND "${flags}")
  run("${compiler}" ${flags} -Wall -Wextra ${ARGN} "${source}" -o "${folder}/program")
  run("${folder}/program")
endfunction()

set(system_eigen)
foreach(directory IN LISTS eigen_include)
  list(APPEND system_eigen -isystem "${directory}")
endforeach()

# A repository of what consumers need, as it is now: this folder may have uncommitted changes, or no .git.
function(make_repository repository)
  file(COPY "${source}/CMakeLists.txt" "${source}/cmake" "${source}/include" DESTINATION "${repository}")
  run("${git}" -C "${repository}" init --quiet)
  run("${git}" -C "${repository}" add --all)
  run("${git}" -C "${repository}" -c user.name=layerwise -c user.email=layerwise -c commit.gpgsign=false
      commit --quiet --message snapshot)
  run("${git}" -C "${repository}" tag snapshot)
endfunction()

if(WAY STREQUAL "install")
  # Into a prefix with a space in its name, which is then moved.
  file(REMOVE_RECURSE "${prefix}")
  run(${CMAKE_COMMAND} --install "${build}" --prefix "${folder}/first prefix" --config Release)
  file(RENAME "${folder}/first prefix" "${prefix}")

elseif(WAY STREQUAL "find_package")
  consume(-DWAY=find_package -DREQUEST=0.2 "-DCMAKE_PREFIX_PATH=${prefix}" "-DOWN_EIGEN=${own_eigen}"
          -DWITH_OPENMP=${openmp})

elseif(WAY STREQUAL "version_refused")
  execute_process(
    COMMAND ${CONSUMER_CMAKE} -S "${consumer}" -B "${folder}/build" ${arguments} -DWAY=find_package -DREQUEST=0.3
            "-DCMAKE_PREFIX_PATH=${prefix}" "-DOWN_EIGEN=${own_eigen}"
    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(result EQUAL 0)
    message(FATAL_ERROR "find_package(layerwise 0.3) was satisfied with 0.2:\n${output}")
  elseif(NOT output MATCHES "moved prefix/[^\n]*layerwiseConfig.cmake, version: 0\\.2\\.")
    message(FATAL_ERROR "find_package(layerwise 0.3) failed, but not for the version it found:\n${output}")
  endif()

elseif(WAY STREQUAL "pkg_config")
  file(GLOB_RECURSE pc "${prefix}/layerwise.pc")
  cmake_path(GET pc PARENT_PATH directory)
  set(ENV{PKG_CONFIG_PATH} "${directory}:${eigen_pc_directory}")
  execute_process(COMMAND "${pkg_config}" --cflags "layerwise >= 0.2" OUTPUT_VARIABLE cflags
                  COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(cflags UNIX_COMMAND "${cflags}")
  # Without -Werror: to pkg-config Eigen is no system folder.
  compile_and_run("${consumer}/main.cpp" -std=c++2b -DNDEBUG ${cflags})

  execute_process(COMMAND "${pkg_config}" --exists "layerwise >= 0.3" RESULT_VARIABLE result)
  if(result EQUAL 0)
    message(FATAL_ERROR "pkg-config \"layerwise >= 0.3\" was satisfied with 0.2")
  endif()

elseif(WAY STREQUAL "add_subdirectory")
  set(way -DWAY=add_subdirectory "-DLAYERWISE=${source}" "-DOWN_EIGEN=${own_eigen}" -DOWN_TESTS=ON)
  consume(${way})
  if(NOT CONSUMER_CMAKE STREQUAL CMAKE_COMMAND)
    return()
  endif()
  # Configured only: layerwise's own tests are asked for, and there is no doctest and benchmark but the consumer's.
  run(${CMAKE_COMMAND} -S "${consumer}" -B "${folder}/build with tests" ${arguments} ${way}
      -DLAYERWISE_BUILD_TESTS=ON -DLAYERWISE_BUILD_BENCHMARKS=ON -DCMAKE_DISABLE_FIND_PACKAGE_doctest=ON
      -DCMAKE_DISABLE_FIND_PACKAGE_benchmark=ON -DFETCHCONTENT_FULLY_DISCONNECTED=ON)
  if(EXISTS "${folder}/build with tests/_deps")
    message(FATAL_ERROR "layerwise fetches what its consumer has")
  endif()

elseif(WAY STREQUAL "fetch_content")
  # No Eigen is there. A folder stands in for the repository that it is fetched from.
  make_repository("${folder}/repository")
  list(GET eigen_include 0 eigen)
  if(CONSUMER_CMAKE STREQUAL CMAKE_COMMAND)
    set(newest_standard -DCMAKE_CXX_STANDARD=23)
  endif()
  consume(-DWAY=fetch_content "-DLAYERWISE=file://${folder}/repository" -DTAG=snapshot
          -DCMAKE_DISABLE_FIND_PACKAGE_Eigen3=ON "-DFETCHCONTENT_SOURCE_DIR_EIGEN3=${eigen}"
          ${newest_standard})

elseif(WAY STREQUAL "fetch_content_own_eigen")
  # No other Eigen can be found or fetched.
  make_repository("${folder}/repository")
  consume(-DWAY=fetch_content "-DLAYERWISE=file://${folder}/repository" -DTAG=snapshot
          "-DOWN_EIGEN=${eigen_include}" -DCMAKE_DISABLE_FIND_PACKAGE_Eigen3=ON
          "-DFETCHCONTENT_SOURCE_DIR_EIGEN3=${folder}/none" -DWITH_OPENMP=${openmp} -DWITH_NDEBUG=ON)

elseif(WAY STREQUAL "copied")
  # The headers, or the single header made of them: what the quickstart prints must not depend on it.
  file(COPY "${source}/include/layerwise" DESTINATION "${folder}/headers")
  run(${CMAKE_COMMAND} -D "SOURCE=${source}" -D "OUTPUT=${folder}/single header/layerwise/layerwise.hpp"
      -P "${source}/cmake/single_header.cmake")
  foreach(include IN ITEMS "headers" "single header")
    compile_and_run("${source}/examples/quickstart.cpp" -std=c++20 -Wconversion -Werror "-I${folder}/${include}"
                    ${system_eigen})
    execute_process(COMMAND "${folder}/program" OUTPUT_VARIABLE output)
    list(APPEND outputs "${output}")
  endforeach()
  list(REMOVE_DUPLICATES outputs)
  if(NOT outputs MATCHES "^linearity [^;]+$")
    message(FATAL_ERROR "The quickstart does not print the same with headers and with the single header:\n${outputs}")
  endif()

else()
  message(FATAL_ERROR "No such way to consume: ${WAY}")
endif()
