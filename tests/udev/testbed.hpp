// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

namespace test {

/// A udev and a sysfs with nothing in them but what a test puts there, empty at the beginning and the end.
///
/// All of them are one that is there before the first case: umockdev keeps threads and descriptors of its own, which
/// are no leak of ours.
class Testbed {
 public:
  Testbed();
  ~Testbed();
  Testbed(const Testbed&) = delete;
  Testbed& operator=(const Testbed&) = delete;

  /// What was recorded as tests/data/udev/NAME.umockdev; without events.
  void load(const std::string& name);
  /// A root hub `usbBUS` of a PCI controller. Its sysfs path.
  std::string add_root_hub(int bus);
  /// A device in that port of the hub at `parent`, a USB path such as the one this returns, with an event. The product
  /// id is in the descriptors, too.
  std::string plug(const std::string& parent, int bus, int port, int address, const std::string& product = "Stick",
                   const std::string& device_class = "00", const std::string& product_id = "c52b");
  /// A PCI device with that address and the ids 8086:10d3, without an event. `group`: it is in that IOMMU group, and
  /// has that driver. `more`: further lines, as umockdev has them.
  void add_pci(const std::string& address, const std::string& product, std::optional<int> group = std::nullopt,
               const std::string& driver = "vfio-pci", const std::string& more = {});
  /// An input device that is not behind USB, without an event.
  void add_input(int input, int event, const std::string& name, const std::string& path_tag);
  /// A disk of the device at `parent`, without an event. `number`: "8:17", as in mountinfo.
  void add_disk(const std::string& parent, const std::string& name, const std::string& number);
  /// Removes it, with an event.
  void pull(const std::string& sys_path);
  /// An attribute of a device.
  void set(const std::string& sys_path, const std::string& attribute, const std::string& value);
  std::string get(const std::string& sys_path, const std::string& attribute) const;
  /// An event without a change.
  void event(const std::string& sys_path, const std::string& action);
};

} // namespace test
