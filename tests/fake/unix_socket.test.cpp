// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "unix_socket.hpp"

#include "catch.hpp"
#include "temp_dir.hpp"
#include "vm_files.hpp"

#include <qemuctl/error.hpp>

#include <sys/socket.h>

#include <filesystem>

using namespace qemuctl;

namespace {

FileDescriptor bound_socket(const std::filesystem::path& path, int type) {
  FileDescriptor socket(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  const sockaddr_un address = detail::unix_address_of(path);
  REQUIRE(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  return socket;
}

} // namespace

TEST_CASE("A socket that does not exist or was left behind has no listener") {
  const test::TempDir dir;
  CHECK(detail::listener_of(dir / "no.sock") == 0);
  bound_socket(dir / "left.sock", SOCK_STREAM);
  CHECK(detail::listener_of(dir / "left.sock") == 0);
}

TEST_CASE("A bound socket of another type is in use, and a launch leaves it alone") {
  const test::TempDir dir;
  const std::filesystem::path path = dir / "vm.sock";
  const int type = GENERATE(SOCK_DGRAM, SOCK_SEQPACKET);
  const FileDescriptor socket = bound_socket(path, type);
  if (type == SOCK_SEQPACKET) REQUIRE(::listen(socket.get(), 1) == 0);
  CHECK(detail::listener_of(path) == -1);
  detail::VmFiles files(dir.path(), "vm");
  try {
    const FileDescriptor listener = files.listen(path);
    FAIL("it took the path of a socket in use");
  } catch (const Error& error) {
    CHECK(error.code() == errc::already_running);
  }
  files.remove();
  CHECK(std::filesystem::is_socket(path));
}
