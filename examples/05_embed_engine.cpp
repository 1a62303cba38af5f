// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// 05_embed_engine PID VENDOR: keeps the USB devices of a vendor ("046d") attached to a running QEMU, by rules written
// in C++, and prints what happens to them. Ends with that QEMU.
#include <hotplug/engine.hpp>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>

#include <cstdlib>
#include <exception>
#include <iostream>
#include <optional>

asio::awaitable<void> tell(hotplug::NotificationSubscription notifications) {
  while (const auto notification = co_await notifications.next()) {
    const std::optional<hotplug::UsbState> usb = as_usb(notification->device);
    if (!usb) continue; // the host has other devices, too
    std::cout << event_name(*notification) << ' ' << usb->device.port_path() << ' ' << usb->device.product_name << ' '
              << notification->vm << ' ' << notification->text << std::endl;
  }
}

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: 05_embed_engine PID VENDOR\n";
    return 2;
  }
  hotplug::VmEntry vm;
  vm.name = "vm";
  vm.pid = std::atoi(argv[1]);
  hotplug::UsbMatch of_vendor;
  of_vendor.vendor_id = static_cast<std::uint16_t>(std::strtoul(argv[2], nullptr, 16));
  hotplug::UsbRule rule;
  rule.vms = {vm.name};
  rule.allow = {of_vendor};

  hotplug::Config config;
  config.vms = {vm};
  config.usb_rules = {rule};
  config.general.persistency = false; // nothing is remembered
  hotplug::EngineOptions options;
  options.attach_connected = true;
  try {
    asio::io_context io(1);
    hotplug::Engine engine(io.get_executor(), config, options);
    asio::co_spawn(io, tell(engine.subscribe()), asio::detached);
    asio::co_spawn(io, engine.run(), [](const std::exception_ptr& failure) {
      if (failure) std::rethrow_exception(failure);
    });
    io.run();
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
