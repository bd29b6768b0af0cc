# SHA512 is that of the release's archive, which does not exist yet when this is written: vcpkg prints it where it is 0.
vcpkg_from_github(
    OUT_SOURCE_PATH SOURCE_PATH
    REPO layerwise/layerwise
    REF "v${VERSION}"
    SHA512 0
    HEAD_REF main
)

set(VCPKG_BUILD_TYPE release)  # header-only port

vcpkg_cmake_configure(
    SOURCE_PATH "${SOURCE_PATH}"
    OPTIONS
        -DLAYERWISE_BUILD_TESTS=OFF
        -DLAYERWISE_BUILD_BENCHMARKS=OFF
        -DLAYERWISE_BUILD_EXAMPLES=OFF
)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH share/cmake/layerwise)
vcpkg_fixup_pkgconfig()

file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
