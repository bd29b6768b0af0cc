# The installed package: find_package(layerwise) gives layerwise::layerwise, pkg-config the compiler's flags, both from
# wherever the prefix is moved to.

include(CMakePackageConfigHelpers)

# Nothing in it depends on the processor, so it lives in share/ and serves every architecture.
set(package_directory ${CMAKE_INSTALL_DATADIR}/cmake/layerwise)

install(DIRECTORY include/layerwise DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.hpp")
install(TARGETS layerwise EXPORT layerwiseTargets)
install(EXPORT layerwiseTargets NAMESPACE layerwise:: DESTINATION ${package_directory})

configure_package_config_file(
  cmake/layerwiseConfig.cmake.in ${PROJECT_BINARY_DIR}/layerwiseConfig.cmake
  INSTALL_DESTINATION ${package_directory})
write_basic_package_version_file(
  ${PROJECT_BINARY_DIR}/layerwiseConfigVersion.cmake COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/layerwiseConfig.cmake ${PROJECT_BINARY_DIR}/layerwiseConfigVersion.cmake
        DESTINATION ${package_directory})

# In layerwise.pc paths are relative to where it lies. An absolute folder, which some distributions ask for, stays.
file(RELATIVE_PATH prefix_from_pc "${CMAKE_INSTALL_FULL_DATADIR}/pkgconfig" "${CMAKE_INSTALL_PREFIX}")
if(IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(includedir "${CMAKE_INSTALL_INCLUDEDIR}")
else()
  set(includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
configure_file(cmake/layerwise.pc.in ${PROJECT_BINARY_DIR}/layerwise.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/layerwise.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig)
