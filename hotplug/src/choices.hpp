// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/device.hpp>
#include <qemuctl/json.hpp>

#include <optional>
#include <string>
#include <vector>

namespace hotplug::detail {

/// What is remembered about a device, whether it is present or not.
struct Choice {
  std::string id;                      ///< vhotplug's: "usb-046d:c52b:SERIAL"
  std::optional<Identity> identity;    ///< ours; unset: the file is vhotplug's, or older
  std::optional<std::string> selected; ///< the VM that the user chose
  std::string rom_file;                ///< option ROM for a card; empty: its own
  bool detached = false;               ///< detached by the user
  std::optional<std::string> attached; ///< the VM it was attached to when the engine last saw it
  bool operator==(const Choice&) const = default;
};

/// "usb-VID:PID:SERIAL" and "pci-ADDRESS", the ids in vhotplug's state file, and "evdev-PATHTAG:NAME", which is ours.
std::string state_id(const Device& device);

/// The remembered choices of users, as a value; `StateFile` stores them.
class Choices {
 public:
  /// The choice for this device: for exactly this one, else for one with the same serial number in another port, else
  /// vhotplug's for all devices with these ids. nullptr: none.
  const Choice* find(const Device& device) const;

  /// The entry of exactly this device, created from the result of `find` if needed. `moved`: that result is this device
  /// in another port, so its entry is dropped.
  Choice& entry(const Device& device, bool moved);

  /// vhotplug's two keys, and ours under "qemuctl".
  qemuctl::Json to_json() const;
  /// Throws `qemuctl::Error` (`errc::invalid_argument`) if it is not such a file. Unknown keys are dropped.
  static Choices from_json(const qemuctl::Json& json);

  bool operator==(const Choices&) const = default;

 private:
  /// The most recently used devices are remembered.
  static constexpr std::size_t most_entries = 4096;
  std::vector<Choice> entries_;
};

} // namespace hotplug::detail
