// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The console by itself, with a socket as serial port and pipes as stdin and stdout.
#include "catch.hpp"
#include "console.hpp"
#include "line_writer.hpp"
#include "run.hpp"

#include <qemuctl/file_descriptor.hpp>

#include <asio/io_context.hpp>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>
#include <string>
#include <string_view>

using qemuctl::FileDescriptor;
using tool::Console;
using tool::LineWriter;
using namespace std::chrono_literals;

namespace {

struct Pipe {
  Pipe() {
    int fds[2];
    REQUIRE(::pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
    read.reset(fds[0]);
    write.reset(fds[1]);
  }
  FileDescriptor read, write;
};

/// Makes a pipe stdin for a while.
class Stdin {
 public:
  Stdin() : saved_(FileDescriptor(::dup(STDIN_FILENO))) { REQUIRE(::dup2(pipe_.read.get(), STDIN_FILENO) == 0); }
  ~Stdin() { ::dup2(saved_.get(), STDIN_FILENO); }
  Stdin(const Stdin&) = delete;
  Stdin& operator=(const Stdin&) = delete;

  FileDescriptor& keyboard() { return pipe_.write; }

 private:
  Pipe pipe_;
  FileDescriptor saved_;
};

class Fixture {
 public:
  Fixture() : output(io.get_executor(), stdout_pipe.write.get()) {
    std::signal(SIGPIPE, SIG_IGN); // as in the program
    int fds[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0);
    guest.reset(fds[0]);
    Console::Handlers handlers;
    handlers.on_leave = [this] { left = true; };
    handlers.on_message = [](std::string_view) {};
    console.emplace(io.get_executor(), FileDescriptor(fds[1]), output.queue(), std::move(handlers));
    console->start();
  }
  ~Fixture() {
    console->close();
    output.queue().stop_waiting();
    io.restart();
    io.run();
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  /// Reads `size` bytes from `fd` while the console works.
  std::string read(const FileDescriptor& fd, std::size_t size) {
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    std::string text;
    while (text.size() < size) {
      if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("too little was copied: " + text);
      char buffer[4096];
      const auto n = ::read(fd.get(), buffer, std::min(sizeof buffer, size - text.size()));
      if (n > 0) text.append(buffer, static_cast<std::size_t>(n));
      io.restart();
      io.run_one_for(10ms);
    }
    return text;
  }

  bool drained(std::chrono::milliseconds timeout) {
    return test::run(io, [&] { return console->wait_until_drained(timeout); });
  }

  asio::io_context io{1};
  Stdin standard_input;
  Pipe stdout_pipe;
  LineWriter output;
  FileDescriptor guest; ///< the guest's end of the serial port
  std::optional<Console> console;
  bool left = false;
};

void write_all(const FileDescriptor& fd, std::string_view text) {
  REQUIRE(::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

} // namespace

TEST_CASE("the console copies both ways, and still from the guest after the end of stdin") {
  Fixture fixture;
  write_all(fixture.guest, "login: ");
  CHECK(fixture.read(fixture.stdout_pipe.read, 7) == "login: ");
  write_all(fixture.standard_input.keyboard(), "root\x1d\n"); // the leave key works on terminals only
  CHECK(fixture.read(fixture.guest, 6) == "root\x1d\n");
  fixture.standard_input.keyboard().reset();
  write_all(fixture.guest, "# ");
  CHECK(fixture.read(fixture.stdout_pipe.read, 2) == "# ");
  CHECK_FALSE(fixture.left);
}

TEST_CASE("the console reads input only as fast as the guest does, and loses nothing") {
  Fixture fixture;
  std::string sent;
  for (int i = 0; sent.size() < 4'000'000; ++i) sent += std::to_string(i) + '\n';
  std::string received;
  for (std::size_t written = 0; received.size() < sent.size();) {
    const auto n = ::write(fixture.standard_input.keyboard().get(), sent.data() + written, sent.size() - written);
    if (n > 0) written += static_cast<std::size_t>(n);
    received += fixture.read(fixture.guest, std::min<std::size_t>(1000, sent.size() - received.size()));
  }
  CHECK(received == sent);
}

TEST_CASE("the console is drained once the serial port is closed and everything is written") {
  Fixture fixture;
  CHECK_FALSE(fixture.drained(1ms));
  write_all(fixture.guest, "Power down\r\n");
  fixture.guest.reset();
  CHECK(fixture.drained(20s));
  CHECK(fixture.read(fixture.stdout_pipe.read, 12) == "Power down\r\n");
}

TEST_CASE("the console is not drained until stdout has taken the last output") {
  Fixture fixture;
  while (::write(fixture.stdout_pipe.write.get(), "x", 1) == 1) { // stdout is full
  }
  write_all(fixture.guest, "Power down\r\n");
  fixture.guest.reset();
  CHECK_FALSE(fixture.drained(50ms));
}
