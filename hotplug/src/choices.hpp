// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/device.hpp>
#include <qemuctl/json.hpp>

#include <optional>
#include <string>
#include <vector>

namespace hotplug::detail {

/// What is remembered of a device, whether it is there or not.
struct Choice {
  std::string id;                      ///< vhotplug's: "usb-046d:c52b:SERIAL"
  std::optional<Identity> identity;    ///< ours; unset: the file is vhotplug's, or older
  std::optional<std::string> selected; ///< the VM that a person chose
  std::string rom_file;                ///< that a card is to have there; empty: its own ROM
  bool detached = false;               ///< a person took it out for good
  std::optional<std::string> attached; ///< the VM it was attached to when the engine last saw it
  bool operator==(const Choice&) const = default;
};

/// "usb-VID:PID:SERIAL" and "pci-ADDRESS", the ids of vhotplug's state file; and "evdev-PATHTAG:NAME", which it has
/// not.
std::string state_id(const Device& device);

/// The memory of people's choices. A value; the file is `StateFile`'s.
class Choices {
 public:
  /// What is remembered of this device: what was said of this very one; else of one with the same serial number in
  /// another port; else what vhotplug's file says of all with these ids. nullptr: nothing.
  const Choice* find(const Device& device) const;

  /// The entry of this very device, made from what `find` knows when there is none. `moved`: the device that `find`
  /// knows is this one, in another port, so that its entry is not kept.
  Choice& entry(const Device& device, bool moved);

  /// vhotplug's two keys, and ours under "qemuctl".
  qemuctl::Json to_json() const;
  /// Throws `qemuctl::Error` (`errc::invalid_argument`) when it is no such file. Keys it does not know are left out.
  static Choices from_json(const qemuctl::Json& json);

  bool operator==(const Choices&) const = default;

 private:
  /// As many devices are remembered, the most recently used ones.
  static constexpr std::size_t most_entries = 4096;
  std::vector<Choice> entries_;
};

} // namespace hotplug::detail
