# SPDX-FileCopyrightText: The qemuctl authors
# SPDX-License-Identifier: Apache-2.0
#
# Finds standalone Asio, which ships neither a CMake package nor a pkg-config file. Defines the target asio::asio.
find_path(Asio_INCLUDE_DIR NAMES asio.hpp)
mark_as_advanced(Asio_INCLUDE_DIR)
if(Asio_INCLUDE_DIR AND EXISTS "${Asio_INCLUDE_DIR}/asio/version.hpp")
  file(STRINGS "${Asio_INCLUDE_DIR}/asio/version.hpp" _asio_version REGEX "^#define ASIO_VERSION [0-9]+")
  string(REGEX MATCH "[0-9]+" _asio_version "${_asio_version}")
  math(EXPR _asio_major "${_asio_version} / 100000")
  math(EXPR _asio_minor "${_asio_version} / 100 % 1000")
  math(EXPR _asio_patch "${_asio_version} % 100")
  set(Asio_VERSION "${_asio_major}.${_asio_minor}.${_asio_patch}")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(Asio REQUIRED_VARS Asio_INCLUDE_DIR VERSION_VAR Asio_VERSION)
if(Asio_FOUND AND NOT TARGET asio::asio)
  find_package(Threads REQUIRED)
  add_library(asio::asio INTERFACE IMPORTED)
  target_include_directories(asio::asio INTERFACE "${Asio_INCLUDE_DIR}")
  # Asio 1.22 does not recognise the coroutines of Clang 16 by itself.
  # And it takes std::aligned_alloc with std::free or operator new with operator delete depending on whether a standard
  # header was included before it: files of one program would free what they have not allocated.
  target_compile_definitions(asio::asio INTERFACE
    ASIO_STANDALONE ASIO_HAS_CO_AWAIT=1 ASIO_HAS_STD_ALIGNED_ALLOC=1 ASIO_NO_DEPRECATED)
  target_link_libraries(asio::asio INTERFACE Threads::Threads)
endif()
