# cmake -D WAY=<way to consume> -D SETTINGS=<settings.cmake> -P consume.cmake

cmake_minimum_required(VERSION 3.25)
include("${SETTINGS}")

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
  run(${CMAKE_COMMAND} -S "${consumer}" -B "${folder}/build" ${arguments} ${ARGN})
  run(${CMAKE_COMMAND} --build "${folder}/build" --config Debug)
  find_program(program consumer PATHS "${folder}/build" "${folder}/build/Debug" NO_DEFAULT_PATH NO_CACHE REQUIRED)
  run("${program}")
endfunction()

if(WAY STREQUAL "install")
  # Into a prefix with a space in its name, which is then moved.
  file(REMOVE_RECURSE "${prefix}")
  run(${CMAKE_COMMAND} --install "${build}" --prefix "${folder}/first prefix" --config Release)
  file(RENAME "${folder}/first prefix" "${prefix}")

elseif(WAY STREQUAL "find_package")
  consume(-DWAY=find_package -DREQUEST=0.1 "-DCMAKE_PREFIX_PATH=${prefix}" "-DOWN_EIGEN=${own_eigen}")

elseif(WAY STREQUAL "version_refused")
  execute_process(
    COMMAND ${CMAKE_COMMAND} -S "${consumer}" -B "${folder}/build" ${arguments} -DWAY=find_package -DREQUEST=0.2
            "-DCMAKE_PREFIX_PATH=${prefix}" "-DOWN_EIGEN=${own_eigen}"
    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(result EQUAL 0)
    message(FATAL_ERROR "find_package(layerwise 0.2) was satisfied with 0.1:\n${output}")
  elseif(NOT output MATCHES "moved prefix/[^\n]*layerwiseConfig.cmake, version: 0\\.1\\.")
    message(FATAL_ERROR "find_package(layerwise 0.2) failed, but not for the version it found:\n${output}")
  endif()

elseif(WAY STREQUAL "add_subdirectory")
  consume(-DWAY=add_subdirectory "-DLAYERWISE=${source}" "-DOWN_EIGEN=${own_eigen}")

elseif(WAY STREQUAL "own_eigen_target")
  # No other Eigen can be found or fetched.
  consume(-DWAY=add_subdirectory "-DLAYERWISE=${source}" "-DOWN_EIGEN=${eigen_include}"
          -DCMAKE_DISABLE_FIND_PACKAGE_Eigen3=ON -DFETCHCONTENT_FULLY_DISCONNECTED=ON)

elseif(WAY STREQUAL "fetch_content")
  # A repository of what consumers need, as it is now: this folder may have uncommitted changes, or no .git.
  set(repository "${folder}/repository")
  file(COPY "${source}/CMakeLists.txt" "${source}/cmake" "${source}/include" DESTINATION "${repository}")
  run("${git}" -C "${repository}" init --quiet)
  run("${git}" -C "${repository}" add --all)
  run("${git}" -C "${repository}" -c user.name=layerwise -c user.email=layerwise -c commit.gpgsign=false
      commit --quiet --message snapshot)
  run("${git}" -C "${repository}" tag snapshot)
  consume(-DWAY=fetch_content "-DLAYERWISE=file://${repository}" -DTAG=snapshot "-DOWN_EIGEN=${own_eigen}")

elseif(WAY STREQUAL "copied_headers")
  file(COPY "${source}/include" DESTINATION "${folder}")
  separate_arguments(flags UNIX_COMMAND "${flags}")
  set(eigen)
  foreach(directory IN LISTS eigen_include)
    list(APPEND eigen -isystem "${directory}")
  endforeach()
  run("${compiler}" ${flags} -std=c++20 "-I${folder}/include" ${eigen} "${consumer}/main.cpp" -o "${folder}/consumer")
  run("${folder}/consumer")

else()
  message(FATAL_ERROR "No such way to consume: ${WAY}")
endif()
