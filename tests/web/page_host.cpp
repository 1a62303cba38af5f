// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "page_host.hpp"

#include "catch.hpp"
#include "golden.hpp"
#include "process.hpp"
#include "skip.hpp"

#include <asio/local/connect_pair.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/read_until.hpp>
#include <asio/write.hpp>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <stdexcept>

namespace test {

namespace {

using asio::local::stream_protocol;
using qemuctl::detail::Process;
using qemuctl::detail::ProcessExit;

constexpr std::chrono::seconds patience{100}; // a browser takes its time on a busy machine
constexpr int no_browser = 77;

} // namespace

PageHost::PageHost() {
  rest.enable = true;
  rest.port = 0;
  commands["plug"] = [this](const std::string& argument) { return plug(argument); };
  commands["pull"] = [this](const std::string& port) {
    host.pull(plugged_.at(port));
    return "done";
  };
  commands["stop-service"] = [this](const std::string&) {
    stop_serving();
    server_.reset();
    return "done";
  };
  commands["start-service"] = [this](const std::string&) {
    start_service();
    return "done";
  };
}

void PageHost::start_page() {
  start_engine();
  start_service();
}

void PageHost::start_service() {
  server_.emplace(io.get_executor(), *engine, rest, rest_options);
  rest.port = server_->port(); // the page looks for it there when it is started again
  serve(server_->run());
}

std::string PageHost::plug(const std::string& argument) {
  const std::size_t space = argument.find(' ');
  const std::string port = argument.substr(0, space);
  const int number = std::stoi(port);
  plugged_[port] = host.plug(root, 3, number, number + 10, argument.substr(space + 1));
  return "done";
}

std::string PageHost::answer(const std::string& line) {
  const std::size_t space = line.find(' ');
  try {
    return commands.at(line.substr(0, space))(space == std::string::npos ? "" : line.substr(space + 1));
  } catch (const std::exception& error) {
    return fmt::format("failed: {}: {}", line, error.what());
  }
}

void PageHost::browse(const std::string& scenario) {
  stream_protocol::socket ours(io), its(io);
  asio::local::connect_pair(ours, its);
  qemuctl::detail::SpawnOptions how_to_start;
  how_to_start.argv = {"/usr/bin/python3",
                       (source_dir() / "tests/web/browser.py").string(),
                       scenario,
                       fmt::format("http://127.0.0.1:{}/", server_->port()),
                       dir.path().string(),
                       QEMUCTL_SCREENSHOTS};
  how_to_start.inherited = {its.native_handle()};
  how_to_start.output = STDERR_FILENO;
  std::optional<Process> browser;
  try {
    browser.emplace(Process::spawn(io.get_executor(), how_to_start));
  } catch (const std::system_error&) {
    skip("there is no python3: tools/setup installs it");
  }
  its.close();

  std::string received;
  std::optional<std::size_t> size;
  bool ended = false;
  const auto read = [&] {
    asio::async_read_until(ours, asio::dynamic_buffer(received), '\n', [&](std::error_code ec, std::size_t bytes) {
      if (ec)
        ended = true;
      else
        size = bytes;
    });
  };
  const auto deadline = std::chrono::steady_clock::now() + patience;
  read();
  while (!ended) {
    if (failure) std::rethrow_exception(failure);
    if (io.stopped()) io.restart();
    if (io.run_one_until(deadline) == 0) break;
    if (!size) continue;
    const std::string line = received.substr(0, *size - 1);
    received.erase(0, *size);
    size.reset();
    asio::write(ours, asio::buffer(answer(line) + "\n"));
    read();
  }
  if (!ended) browser->send_signal(SIGKILL);
  ours.close();
  const ProcessExit how = test::run(io, browser->wait());
  wait_until("the socket is closed", [&] { return ended; });
  if (how.exit_code == no_browser) skip("there is no Chromium that Selenium can drive: tools/setup installs both");
  INFO(scenario << ": " << how.describe());
  CHECK(how.exit_code == 0);
}

} // namespace test
