# The installed package: find_package(layerwise) gives layerwise::layerwise, from wherever the prefix is moved to.

include(CMakePackageConfigHelpers)

# Nothing in it depends on the processor, so it lives in share/ and serves every architecture.
set(package_directory ${CMAKE_INSTALL_DATADIR}/cmake/layerwise)

install(TARGETS layerwise EXPORT layerwiseTargets FILE_SET HEADERS)
install(EXPORT layerwiseTargets NAMESPACE layerwise:: DESTINATION ${package_directory})

configure_package_config_file(
  cmake/layerwiseConfig.cmake.in ${PROJECT_BINARY_DIR}/layerwiseConfig.cmake
  INSTALL_DESTINATION ${package_directory})
write_basic_package_version_file(
  ${PROJECT_BINARY_DIR}/layerwiseConfigVersion.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/layerwiseConfig.cmake ${PROJECT_BINARY_DIR}/layerwiseConfigVersion.cmake
        DESTINATION ${package_directory})
