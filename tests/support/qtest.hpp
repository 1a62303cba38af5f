// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/file_descriptor.hpp>

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace test {

/// QEMU's protocol for testing devices (docs/devel/qtest.rst): accesses the I/O ports of a machine without a guest.
class Qtest {
 public:
  /// A socket at `path`, to which a QEMU with `arguments()` connects.
  explicit Qtest(std::filesystem::path path);

  std::vector<std::string> arguments() const;
  void accept(); ///< once QEMU runs

  /// Sends a SCSI command to the first drive on the first IDE channel of an i440fx machine (ATA8-ACS, PACKET).
  void atapi_packet(const std::array<std::uint8_t, 12>& packet);

 private:
  void command(const std::string& line);

  std::filesystem::path path_;
  qemuctl::FileDescriptor listener_, connection_;
};

} // namespace test
