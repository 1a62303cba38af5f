// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <qemuctl/file_descriptor.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <type_traits>
#include <utility>

using namespace qemuctl;

namespace {

FileDescriptor open_null() {
  FileDescriptor fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  REQUIRE(fd);
  return fd;
}

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

} // namespace

static_assert(std::is_nothrow_move_constructible_v<FileDescriptor> && !std::is_copy_constructible_v<FileDescriptor>);

TEST_CASE("A file descriptor is closed once, by its owner") {
  int number = -1;
  {
    FileDescriptor first = open_null();
    number = first.get();
    FileDescriptor second = std::move(first);
    CHECK_FALSE(first);
    CHECK(second.get() == number);
    FileDescriptor third;
    third = std::move(second);
    CHECK(is_open(number));
  }
  CHECK_FALSE(is_open(number));
}

TEST_CASE("Assigning to a file descriptor closes the one it held, except on self-assignment") {
  FileDescriptor first = open_null();
  FileDescriptor second = open_null();
  const int old = first.get();
  const int kept = second.get();
  first = std::move(second);
  CHECK(first.get() == kept);
  CHECK_FALSE(is_open(old));
  FileDescriptor& alias = first;
  first = std::move(alias);
  CHECK(is_open(kept));
}

TEST_CASE("A released file descriptor stays open") {
  FileDescriptor fd = open_null();
  const int number = fd.release();
  CHECK_FALSE(fd);
  CHECK(is_open(number));
  fd.reset(number);
  fd.reset();
  CHECK_FALSE(is_open(number));
}

TEST_CASE("Closing preserves errno") {
  FileDescriptor fd(1'000'000); // not open, so close() fails
  errno = ENOENT;
  fd.reset();
  CHECK(errno == ENOENT);
}

TEST_CASE("A duplicate is another descriptor for the same file, closed on exec") {
  FileDescriptor fd = open_null();
  REQUIRE(::fcntl(fd.get(), F_SETFD, 0) == 0);
  const FileDescriptor copy = fd.duplicate();
  CHECK(copy.get() != fd.get());
  CHECK((::fcntl(copy.get(), F_GETFD) & FD_CLOEXEC) != 0);
  fd.reset();
  CHECK(is_open(copy.get()));
  CHECK_FALSE(FileDescriptor().duplicate());
}

TEST_CASE("A descriptor that cannot be duplicated is a system error") {
  const FileDescriptor fd(1'000'000); // not open
  try {
    (void)fd.duplicate();
    FAIL("duplicated");
  } catch (const std::system_error& error) {
    CHECK(error.code() == std::errc::bad_file_descriptor);
  }
}
