// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/instance.hpp>
#include <qemuctl/json.hpp>

#include <asio/awaitable.hpp>

#include <chrono>
#include <string>
#include <vector>

namespace hotplug::detail {

/// An object below another one in QEMU's object tree.
struct QomChild {
  std::string name, type; ///< "usb-host", not "child<usb-host>"
};

/// The children of an object; none when there is no such object. Throws `qemuctl::Error` as `Instance::execute`, but
/// for what QEMU refuses.
asio::awaitable<std::vector<QomChild>> qom_children(qemuctl::Instance& vm, std::string path);

/// A property; null when there is no such object or property. Throws likewise.
asio::awaitable<qemuctl::Json> qom_property(qemuctl::Instance& vm, std::string path, std::string name);

/// The same for a number; 0 when there is none.
asio::awaitable<int> qom_number(qemuctl::Instance& vm, std::string path, std::string name);

/// The same for a text; empty when there is none.
asio::awaitable<std::string> qom_text(qemuctl::Instance& vm, std::string path, std::string name);

/// Deletes a device, which may be gone already; false: not within `timeout`. Throws `qemuctl::Error`.
asio::awaitable<bool> delete_qdev(qemuctl::Instance& vm, std::string id, std::chrono::milliseconds timeout);

/// Asks for a device to be deleted when its guest lets go of it; false: it is gone already. Throws `qemuctl::Error`.
asio::awaitable<bool> ask_to_delete_qdev(qemuctl::Instance& vm, std::string id);

} // namespace hotplug::detail
