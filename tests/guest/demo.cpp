// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "demo.hpp"

#include <asio/read_until.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <utility>

namespace test {

qemuctl::VmConfig demo_vm(const std::filesystem::path& qemu, const TempDir& dir, std::string name) {
  const DemoGuest guest = demo_guest();
  qemuctl::VmConfig config;
  config.name = std::move(name);
  config.qemu_path = qemu.string();
  config.socket_dir = dir.path().string();
  config.machine.accel = "tcg";
  config.memory.size_mib = 256;
  config.boot.kernel = guest.kernel.string();
  config.boot.initrd = guest.initrd.string();
  config.boot.append = "console=ttyS0 quiet panic=-1";
  config.serials.emplace_back();
  return config;
}

qemuctl::LaunchOptions with_console() {
  qemuctl::LaunchOptions options;
  options.kill_on_destruction = true;
  options.connect_serials = true;
  return options;
}

asio::awaitable<std::string> SerialConsole::until(std::string text) {
  const std::size_t size =
      co_await asio::async_read_until(port_, asio::dynamic_buffer(seen_), text, asio::use_awaitable);
  std::string before = seen_.substr(0, size - text.size());
  seen_.erase(0, size);
  co_return before;
}

asio::awaitable<void> SerialConsole::type(std::string text) {
  co_await asio::async_write(port_, asio::buffer(text), asio::use_awaitable);
}

asio::awaitable<void> SerialConsole::prompt() {
  co_await until("demo# ");
}

asio::awaitable<std::string> SerialConsole::run(std::string line) {
  // The terminal echoes the line, which must not contain these words.
  co_await type("echo BE''GIN; " + line + "; echo E''ND\n");
  co_await until("BEGIN\r\n");
  std::string output = co_await until("END\r\n");
  co_return output;
}

} // namespace test
