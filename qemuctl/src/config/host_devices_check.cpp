// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "files_check.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>

namespace qemuctl::detail {

namespace {

namespace fs = std::filesystem;

/// The last part of what a link leads to; empty when there is no link.
std::string target_of(const fs::path& link) {
  std::error_code ec;
  return fs::read_symlink(link, ec).filename().string();
}

void check_access(const std::string& path, const std::string& device, Problems& problems) {
  if (::access(device.c_str(), R_OK | W_OK) != 0)
    problems.add(path, fmt::format("{}: {}; QEMU opens it, as the user that starts it", device,
                                   std::generic_category().message(errno)));
}

void check(const std::string& path, const UsbHostDevice& usb, Problems& problems) {
  if (usb.address == 0) return; // it may come later
  const std::string device = fmt::format("/dev/bus/usb/{:03}/{:03}", usb.bus, usb.address);
  if (::access(device.c_str(), F_OK) != 0)
    problems.add(path + ".address", fmt::format("there is no USB device {} on bus {}", usb.address, usb.bus));
  else
    check_access(path + ".address", device, problems);
}

void check(const std::string& path, const PciHostDevice& pci, Problems& problems) {
  const bool has_domain = pci.address.size() > 7;
  const std::string address = has_domain ? pci.address : "0000:" + pci.address;
  const fs::path device = fs::path("/sys/bus/pci/devices") / address;
  std::error_code ec;
  if (!fs::exists(device, ec)) {
    problems.add(path + ".address", "there is no PCI device " + address);
    return;
  }
  const std::string driver = target_of(device / "driver"), group = target_of(device / "iommu_group");
  // Vendors have drivers of their own that do the same ("mlx5_vfio_pci").
  if (driver.find("vfio") == std::string::npos)
    problems.add(path + ".address", fmt::format("{} is bound to {}, not to vfio-pci", address,
                                                driver.empty() ? "no driver" : "the driver " + driver));
  if (group.empty())
    problems.add(path + ".address", fmt::format("{} is in no IOMMU group: this host has no IOMMU, or it is off "
                                                "(in the firmware, or by the kernel's intel_iommu=, amd_iommu=)",
                                                address));
  else if (driver.find("vfio") != std::string::npos)
    check_access(path + ".address", "/dev/vfio/" + group, problems);
}

} // namespace

void find_missing_host_devices(const VmConfig& config, Problems& problems) {
  for (std::size_t i = 0; i < config.host_devices.size(); ++i)
    std::visit([&](const auto& device) { check(fmt::format("hostDevices[{}]", i), device, problems); },
               config.host_devices[i]);
}

} // namespace qemuctl::detail
