// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "qdev.hpp"

#include <hotplug/input_device.hpp>
#include <qemuctl/instance.hpp>

#include <asio/awaitable.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hotplug::detail {

HostKey input_key(int input, int event);

/// "evdevhost-7-3-5f3a01c2", see `new_qdev_id`. The number of the node alone (3) may be another device's by now.
std::string make_input_qdev_id(int input, int event, std::uint32_t unique);

/// What is in such an id; nullopt: it is none.
std::optional<HostKey> input_key_in(std::string_view qdev_id);

/// What QEMU shows of the `virtio-input-host-pci` at `path`, which gets this id. Throws `qemuctl::Error`.
asio::awaitable<Qdev> look_at_input_device(qemuctl::Instance& vm, std::string path, std::string id);

/// See `attach_device`. A device that another process has for itself is `command_failed`, too, with those that have it
/// open.
asio::awaitable<void> attach_input(qemuctl::Instance& vm, InputDevice device, std::string id, std::string port_prefix,
                                   std::chrono::milliseconds timeout);

} // namespace hotplug::detail
