// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// How qemuctl-run writes: standard streams and the queue before them.
#include "catch.hpp"
#include "line_writer.hpp"
#include "output_queue.hpp"
#include "standard_stream.hpp"

#include <qemuctl/file_descriptor.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <exception>
#include <string>
#include <utility>

using qemuctl::FileDescriptor;
using tool::LineWriter;
using tool::OutputQueue;
using tool::StandardStream;

namespace {

constexpr std::size_t limit = 1024 * 1024;

std::pair<FileDescriptor, FileDescriptor> make_pipe() {
  int fds[2];
  REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
  REQUIRE(::fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0);
  return {FileDescriptor(fds[0]), FileDescriptor(fds[1])};
}

bool is_non_blocking(int fd) {
  return (::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

/// Reads what is there now.
std::string read_some(int fd) {
  std::string text(limit, '\0');
  const auto n = ::read(fd, text.data(), text.size());
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return text;
}

} // namespace

TEST_CASE("a pipe used as a standard stream stays blocking for others that share it") {
  asio::io_context io(1);
  auto [reader, writer] = make_pipe();
  const StandardStream stream(io.get_executor(), writer.get());
  CHECK_FALSE(is_non_blocking(writer.get()));
  CHECK_FALSE(stream.is_terminal());
}

TEST_CASE("a socket used as a standard stream is blocking again afterwards") {
  asio::io_context io(1);
  int fds[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
  const FileDescriptor ours(fds[0]), theirs(fds[1]);
  {
    const StandardStream stream(io.get_executor(), ours.get());
    CHECK(is_non_blocking(ours.get()));
  }
  CHECK_FALSE(is_non_blocking(ours.get()));
}

TEST_CASE("output that the reader does not take is buffered up to the limit and arrives in order") {
  asio::io_context io(1);
  auto [reader, writer] = make_pipe();
  StandardStream stream(io.get_executor(), writer.get());
  OutputQueue queue(stream.descriptor(), limit);
  std::string all;
  for (int i = 0; queue.offer(std::to_string(i) + '\n'); ++i) all += std::to_string(i) + '\n';
  CHECK(all.size() > limit); // the pipe has taken some
  CHECK_FALSE(queue.empty());

  std::string seen;
  while (seen.size() < all.size()) {
    seen += read_some(reader.get());
    io.restart();
    io.poll();
  }
  CHECK(seen == all);
  CHECK(queue.empty());
  CHECK(queue.offer("more"));
}

TEST_CASE("a write returns only when everything is written") {
  asio::io_context io(1);
  auto [reader, writer] = make_pipe();
  StandardStream stream(io.get_executor(), writer.get());
  OutputQueue queue(stream.descriptor(), limit);
  const std::string data(3 * limit, 'x'); // the limit applies only without waiting
  bool written = false;
  asio::co_spawn(io, queue.write(data), [&](const std::exception_ptr&) { written = true; });
  io.poll();
  CHECK_FALSE(written);
  for (std::size_t seen = 0; seen < data.size();) {
    seen += read_some(reader.get()).size();
    io.restart();
    io.poll();
  }
  io.restart();
  io.poll();
  CHECK(written);
}

TEST_CASE("once the reader is gone, everything is accepted and dropped, and the reason is kept") {
  std::signal(SIGPIPE, SIG_IGN); // as in the program
  asio::io_context io(1);
  auto [reader, writer] = make_pipe();
  StandardStream stream(io.get_executor(), writer.get());
  OutputQueue queue(stream.descriptor(), limit);
  const std::string data(limit, 'x');
  bool written = false;
  asio::co_spawn(io, queue.write(data), [&](const std::exception_ptr&) { written = true; });
  io.poll();
  reader.reset();
  io.restart();
  io.run();
  CHECK(written);
  CHECK(queue.error() == std::errc::broken_pipe);
  CHECK(queue.offer(std::string(2 * limit, 'x')));
}

TEST_CASE("a flush gives up at its deadline, and writing resumes where it was") {
  asio::io_context io(1);
  auto [reader, writer] = make_pipe();
  StandardStream stream(io.get_executor(), writer.get());
  OutputQueue queue(stream.descriptor(), limit);
  REQUIRE(queue.offer(std::string(limit, 'x')));
  queue.stop_waiting();
  queue.flush(std::chrono::milliseconds(1));
  CHECK_FALSE(queue.empty());
  std::size_t seen = 0;
  while (!queue.empty()) {
    seen += read_some(reader.get()).size();
    queue.flush(std::chrono::milliseconds(1));
  }
  seen += read_some(reader.get()).size();
  CHECK(seen == limit);
}

TEST_CASE("lines end with a carriage return on a terminal in raw mode") {
  asio::io_context io(1);
  auto [reader, writer] = make_pipe();
  LineWriter lines(io.get_executor(), writer.get());
  lines.write_lines("one\ntwo");
  CHECK(read_some(reader.get()) == "one\ntwo\n");
  lines.write_lines("one\ntwo", "\r\n", true);
  CHECK(read_some(reader.get()) == "\r\none\r\ntwo\r\n");
  lines.write_lines("");
  CHECK(read_some(reader.get()) == "\n");
}

TEST_CASE("lines that nobody reads are eventually dropped, and counted") {
  asio::io_context io(1);
  auto [reader, writer] = make_pipe();
  LineWriter lines(io.get_executor(), writer.get());
  const std::string line(1000, 'x');
  for (int i = 0; i < 2000; ++i) lines.write_lines(line);
  std::string seen;
  while (!lines.queue().empty()) {
    seen += read_some(reader.get());
    io.restart();
    io.poll();
  }
  seen += read_some(reader.get());
  const auto kept = static_cast<std::size_t>(std::count(seen.begin(), seen.end(), '\n'));
  CHECK(kept < 2000);
  lines.write_lines("the next one");
  CHECK(read_some(reader.get()) ==
        "qemuctl-run: " + std::to_string(2000 - kept) + " messages are missing here: nobody read them\nthe next one\n");
}
