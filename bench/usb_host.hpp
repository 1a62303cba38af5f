// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace bench {

/// A host with one USB controller, made by umockdev: for this program and those it starts. The program has to run under
/// umockdev-wrapper.
class UsbHost {
 public:
  UsbHost();
  ~UsbHost();
  UsbHost(const UsbHost&) = delete;
  UsbHost& operator=(const UsbHost&) = delete;

  /// A device whose product id is `number`, 1 to 999, in a port and with an address of its own. Nobody is told.
  std::string add(int number);
  /// Tells everybody, and returns when they can read it.
  void tell(const std::string& path, const char* action);
  void remove(const std::string& path);

 private:
  void* testbed_;
};

/// The address of the device with that number: bus and device.
int bus_of(int number);
int address_of(int number);

} // namespace bench
