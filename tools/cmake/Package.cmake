# SPDX-FileCopyrightText: The qemuctl authors
# SPDX-License-Identifier: Apache-2.0
#
# Installs the libraries with a CMake package and pkg-config files, all of which can be moved to another prefix.
include(CMakePackageConfigHelpers)

if(NOT DEFINED BUILD_SHARED_LIBS)
  set(BUILD_SHARED_LIBS OFF)
endif()
set(cmake_folder ${CMAKE_INSTALL_LIBDIR}/cmake/qemuctl)
set(pkgconfig_folder ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(TARGETS qemuctl EXPORT qemuctl-targets FILE_SET HEADERS)
install(EXPORT qemuctl-targets NAMESPACE qemuctl:: DESTINATION ${cmake_folder})
if(QEMUCTL_HOTPLUG)
  install(TARGETS hotplug EXPORT qemuctl-hotplug-targets FILE_SET HEADERS)
  install(EXPORT qemuctl-hotplug-targets NAMESPACE qemuctl:: DESTINATION ${cmake_folder})
  install(FILES ${PROJECT_SOURCE_DIR}/hotplug/config.schema.json DESTINATION ${CMAKE_INSTALL_DATADIR}/qemuctl)
endif()
set(QEMUCTL_REST_PACKAGES "")
if(QEMUCTL_REST)
  set(QEMUCTL_REST_PACKAGES pugixml)
endif()
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/qemuctl-config.cmake.in ${PROJECT_BINARY_DIR}/qemuctl-config.cmake
  INSTALL_DESTINATION ${cmake_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/qemuctl-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/qemuctl-config.cmake
  ${PROJECT_BINARY_DIR}/qemuctl-config-version.cmake
  ${CMAKE_CURRENT_LIST_DIR}/FindAsio.cmake
  DESTINATION ${cmake_folder})

# For editors and other programs that write vm.json.
install(FILES ${PROJECT_SOURCE_DIR}/qemuctl/vm.schema.json DESTINATION ${CMAKE_INSTALL_DATADIR}/qemuctl)

# What a static library uses has to be linked by everybody, with pkg-config --static or without.
set(PKGCONFIG_REQUIRES Requires)
if(BUILD_SHARED_LIBS)
  set(PKGCONFIG_REQUIRES Requires.private)
endif()
file(RELATIVE_PATH PREFIX_FROM_PKGCONFIG /${pkgconfig_folder} /)
string(REGEX REPLACE "/$" "" PREFIX_FROM_PKGCONFIG "${PREFIX_FROM_PKGCONFIG}")
get_target_property(asio_definitions asio::asio INTERFACE_COMPILE_DEFINITIONS)
list(TRANSFORM asio_definitions PREPEND -D)
list(JOIN asio_definitions " " ASIO_FLAGS)
set(packages qemuctl)
if(QEMUCTL_HOTPLUG)
  list(APPEND packages qemuctl-hotplug)
endif()
set(REST_LIBS "")
if(QEMUCTL_REST AND NOT BUILD_SHARED_LIBS)
  set(REST_LIBS " -lhttp_parser -lpugixml")
endif()
foreach(package IN LISTS packages)
  configure_file(${CMAKE_CURRENT_LIST_DIR}/${package}.pc.in ${PROJECT_BINARY_DIR}/${package}.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${package}.pc DESTINATION ${pkgconfig_folder})
endforeach()
