# cmake --build build --target docs: the reference of the public interface, in build/docs/html. Where Doxygen is not
# installed there is no such target.

find_package(Doxygen 1.9.1 QUIET COMPONENTS doxygen)
if(NOT DOXYGEN_FOUND)
  return()
endif()

configure_file(cmake/Doxyfile.in docs/Doxyfile @ONLY)
add_custom_target(
  docs
  COMMAND ${CMAKE_COMMAND} -E rm -rf "${PROJECT_BINARY_DIR}/docs/html"
  COMMAND Doxygen::doxygen "${PROJECT_BINARY_DIR}/docs/Doxyfile"
  WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
  COMMENT "Reference: ${PROJECT_BINARY_DIR}/docs/html/index.html"
  VERBATIM)
