# SPDX-License-Identifier: MIT
# What `cmake --install` lays down, and the package that find_package(BitnetMetal) reads.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/BitnetMetal)

install(TARGETS bitnet EXPORT BitnetMetalTargets
        RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/bitnet DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT BitnetMetalTargets NAMESPACE BitnetMetal:: DESTINATION ${package_dir})

configure_package_config_file(cmake/BitnetMetalConfig.cmake.in BitnetMetalConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(BitnetMetalConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/BitnetMetalConfig.cmake
              ${PROJECT_BINARY_DIR}/BitnetMetalConfigVersion.cmake cmake/FindPCRE2.cmake
              cmake/FindBlocksRuntime.cmake
        DESTINATION ${package_dir})
install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
