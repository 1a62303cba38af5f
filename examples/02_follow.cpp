// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// 02_follow vm.json: launches a VM, prints its states and events, and stops it when Ctrl-C is pressed. Everything
// happens on one thread.
#include <qemuctl/instance.hpp>
#include <qemuctl/vm_config_json.hpp>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/signal_set.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <csignal>
#include <exception>
#include <iostream>

using namespace std::chrono_literals;

asio::awaitable<void> print_states(qemuctl::StatusSubscription states) {
  while (const std::optional<qemuctl::VmStatus> status = co_await states.next())
    std::cout << "state: " << to_string(status->state) << ' ' << status->reason << std::endl;
}

asio::awaitable<void> print_events(qemuctl::EventSubscription events) {
  while (const std::optional<qemuctl::Event> event = co_await events.next())
    std::cout << "event: " << event->name << ' ' << (event->data.is_null() ? "" : event->data.dump()) << std::endl;
}

asio::awaitable<void> run(qemuctl::VmConfig config) {
  const auto executor = co_await asio::this_coro::executor;
  qemuctl::LaunchOptions options;
  options.on_warning = [](std::string_view text) { std::cerr << "warning: " << text << std::endl; };
  qemuctl::Instance vm = co_await qemuctl::Instance::launch(std::move(config), std::move(options));
  // Created before anything else is awaited, these miss nothing. They end with the VM.
  asio::co_spawn(executor, print_states(vm.subscribe_status()), asio::detached);
  asio::co_spawn(executor, print_events(vm.subscribe_events()), asio::detached);

  asio::signal_set ctrl_c(executor, SIGINT);
  ctrl_c.async_wait([&](const std::error_code& canceled, int) {
    if (canceled) return;
    // Presses the power button; a guest that takes longer is forced off.
    asio::co_spawn(executor, vm.stop(30s), [](std::exception_ptr failure, qemuctl::StopResult how) {
      if (!failure) std::cout << "stopped: " << to_string(how) << std::endl;
    });
  });

  const qemuctl::VmStatus end = co_await vm.wait();
  std::cout << "ended: " << to_string(end.state) << std::endl;
}

int main(int argc, char** argv) try {
  asio::io_context io;
  int result = 0;
  asio::co_spawn(io, run(qemuctl::load_vm_config(argc > 1 ? argv[1] : "vm.json")), [&](std::exception_ptr failure) {
    if (!failure) return;
    try {
      std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      std::cerr << error.what() << '\n';
    }
    result = 1;
  });
  io.run();
  return result;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
