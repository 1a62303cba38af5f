// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/instance.hpp>
#include <qemuctl/json.hpp>

#include <asio/awaitable.hpp>

#include <chrono>
#include <string>
#include <string_view>

namespace hotplug::detail {

/// Adds a PCI device, given by its `device_add` properties without the bus, to a free port of the VM whose id begins
/// with `prefix`; on a machine without PCI Express, wherever QEMU puts it.
///
/// A port is free when QEMU reports nothing in it and then accepts the device: one whose device the guest has not
/// released yet does not. `timeout` is for QEMU's answer, which for a passed-through device takes longer the more
/// memory the guest has.
///
/// Throws `qemuctl::Error`: `not_supported` when there is no free port, with the arguments to start QEMU with;
/// `command_failed` with QEMU's message; otherwise as `Instance::execute` does.
asio::awaitable<void> add_to_pci_port(qemuctl::Instance& vm, qemuctl::Json properties, std::string prefix,
                                      std::chrono::milliseconds timeout);

/// Whether the guest has noticed the PCI device with this id, as far as QEMU can tell: it has assigned addresses, which
/// it does when it has a driver for it. Throws `qemuctl::Error` as `Instance::execute` does.
asio::awaitable<bool> is_noticed(qemuctl::Instance& vm, std::string id);

/// The same, from the answer to `query-pci`. Pure; ignores anything malformed.
bool is_noticed(const qemuctl::Json& buses, std::string_view id);

} // namespace hotplug::detail
