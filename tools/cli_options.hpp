// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/client.hpp>
#include <qemuctl/json.hpp>

#include <optional>
#include <string>
#include <vector>

namespace tool {

/// What the user of `qemuctl` typed.
struct CliOptions {
  /// @name Whom to ask
  /// @{
  std::optional<hotplug::ApiAddress> service; ///< unset: it is looked for
  std::string token_file;
  std::optional<int> pid; ///< a QEMU to be used without a service, by its PID
  std::string vm_socket;  ///< the same by its monitor
  /// @}

  enum class Command { list, attach, detach, move_all, vm_list, vm, listen, explain, other };
  Command command = Command::other;
  std::string kind;   ///< of `list`, `attach` and `detach`: "usb", "pci", "evdev"
  std::string device; ///< as a person names it
  std::string vm;     ///< may be empty
  std::string tag;    ///< of `list`, `attach`, `detach`: instead of a device
  std::string action; ///< of the API, for `move_all`, `vm` and `other`
  std::string file;   ///< of a screenshot; "-": stdout
  std::vector<std::string> keys;
  std::optional<int> timeout; ///< of "vm stop", in seconds
  std::string bus_prefix;     ///< of "vmm-args"
  std::optional<int> bus_start;
  bool disconnected = false; ///< of `list`
  bool names = false;        ///< of `list` and `vm_list`: only names, for completion
  bool json = false;

  bool without_service() const noexcept { return pid || !vm_socket.empty(); }
};

} // namespace tool
