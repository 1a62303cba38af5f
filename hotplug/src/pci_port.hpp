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

/// Adds a PCI device, with these properties of `device_add` but for its place, to a free port of the VM whose id begins
/// with `prefix`; on a machine without PCI Express where QEMU puts it.
///
/// A port is free when QEMU shows nothing in it, and when QEMU then takes the device: a port whose device the guest has
/// not let go of yet is not. `timeout` is for QEMU's answer, which for a passed-through device takes the longer the
/// more memory the guest has.
///
/// Throws `qemuctl::Error`: `not_supported` when there is no such port, with what to start QEMU with; `command_failed`
/// with QEMU's words; otherwise as `Instance::execute`.
asio::awaitable<void> add_to_pci_port(qemuctl::Instance& vm, qemuctl::Json properties, std::string prefix,
                                      std::chrono::milliseconds timeout);

/// Whether the guest has noticed the PCI device with this id, as far as QEMU can tell: it has given it addresses, which
/// it does when it has a driver for it. Throws `qemuctl::Error` as `Instance::execute`.
asio::awaitable<bool> is_noticed(qemuctl::Instance& vm, std::string id);

/// The same in an answer to `query-pci`. Pure; whatever is wrong in the answer is as if it were not there.
bool is_noticed(const qemuctl::Json& buses, std::string_view id);

} // namespace hotplug::detail
