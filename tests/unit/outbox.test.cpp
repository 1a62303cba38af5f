// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "outbox.hpp"

#include "catch.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

using qemuctl::FileDescriptor;
using qemuctl::detail::Outbox;

namespace {

struct Pair {
  Pair() {
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    here.reset(ends[0]);
    there.reset(ends[1]);
  }

  /// All that has been written so far.
  std::string read_all() const {
    std::string text;
    std::vector<char> buffer(std::size_t{1} << 20);
    for (;;) {
      const auto got = recv(there.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got <= 0) return text;
      text.append(buffer.data(), static_cast<std::size_t>(got));
    }
  }

  FileDescriptor here, there;
};

std::vector<FileDescriptor> some_files(int count) {
  std::vector<FileDescriptor> files;
  for (int i = 0; i < count; ++i) files.emplace_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
  return files;
}

} // namespace

TEST_CASE("messages are written at once and in order") {
  const Pair pair;
  Outbox outbox;
  outbox.push(1, "one ");
  outbox.push(2, "two ");
  const auto flushed = outbox.flush(pair.here.get());
  CHECK_FALSE(flushed.broken);
  CHECK(flushed.refused.empty());
  CHECK(outbox.empty());
  CHECK(pair.read_all() == "one two ");
  CHECK_FALSE(outbox.take_back(1));
}

TEST_CASE("a message that was begun is completed, one that was not can be withdrawn") {
  const Pair pair;
  Outbox outbox;
  const std::string large(std::size_t{2} << 20, 'x');
  outbox.push(1, large);
  auto files = some_files(1);
  const int number = files[0].get();
  outbox.push(2, "two", std::move(files));
  outbox.push(3, "three");
  CHECK_FALSE(outbox.flush(pair.here.get()).broken);
  CHECK_FALSE(outbox.empty());
  CHECK_FALSE(outbox.take_back(1)); // a part is out
  CHECK(outbox.take_back(2));
  CHECK(fcntl(number, F_GETFD) == -1);
  CHECK_FALSE(outbox.take_back(2));

  std::string received;
  for (int turn = 0; turn < 1'000 && !outbox.empty(); ++turn) {
    received += pair.read_all();
    CHECK_FALSE(outbox.flush(pair.here.get()).broken);
  }
  received += pair.read_all();
  CHECK(received == large + "three");
}

TEST_CASE("a peer that has gone breaks the outbox, and the messages are unsent") {
  Pair pair;
  Outbox outbox;
  outbox.push(1, "one", some_files(1));
  pair.there.reset();
  CHECK(outbox.flush(pair.here.get()).broken == std::errc::broken_pipe);
  CHECK(outbox.take_back(1));
  CHECK(outbox.empty());
}

TEST_CASE("descriptors that cannot be passed on fail their own message only") {
  const Pair pair;
  Outbox outbox;
  auto files = some_files(1);
  const int number = files[0].get();
  outbox.push(1, "one");
  outbox.push(2, "two", std::move(files));
  outbox.push(3, "three");
  close(number); // behind its owner's back
  const auto flushed = outbox.flush(pair.here.get());
  CHECK_FALSE(flushed.broken);
  REQUIRE(flushed.refused.size() == 1);
  CHECK(flushed.refused[0].first == 2);
  CHECK(flushed.refused[0].second == std::errc::bad_file_descriptor);
  CHECK(outbox.empty());
  CHECK(pair.read_all() == "onethree");
}
