// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Taking PCI devices from their drivers for a VM, and giving them back.
#pragma once

#include "loans.hpp"
#include "sysfs_writer.hpp"

#include <hotplug/pci_device.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace hotplug::detail {

constexpr const char* vfio_driver = "vfio-pci";

/// Whether a VM can have a device that this driver has: `vfio-pci`, or a variant of it for some kind of devices.
bool is_for_vms(const std::string& driver);

/// @name Sysfs
/// @{
/// The driver of a device; empty: none.
std::string driver_of(const std::string& address);
/// What a device has as its `driver_override`; empty: nothing.
std::string driver_override_of(const std::string& address);
/// Those of an IOMMU group that are no devices for VMs: bridges. Address, ids, class and driver.
std::vector<PciDevice> bridges_of_group(int group, const std::filesystem::path& root = "/");
/// The addresses of the virtual functions (SR-IOV) that are gone when the device at this path loses its driver.
std::vector<std::string> virtual_functions_of(const std::string& sys_path, const std::filesystem::path& root = "/");
/// @}

/// What has to be written to give a device to `vfio-pci`, which no other device is given to by that. Pure.
std::vector<SysfsWrite> writes_to_take(const std::string& address, const std::string& driver_now);
/// What has to be written to give it back. Pure.
std::vector<SysfsWrite> writes_to_give_back(const Loan& loan, const std::string& driver_now);

/// Has `vfio-pci` take a device. Returns when it has, and when udev is through with the node of its group. Throws only
/// `std::system_error` when no process can be started.
asio::awaitable<SysfsOutcome> take_for_vfio(asio::any_io_executor executor, std::string address, int group,
                                            std::string modprobe, std::chrono::milliseconds timeout);

/// Gives a device back to the driver it had.
asio::awaitable<SysfsOutcome> give_back(asio::any_io_executor executor, Loan loan, std::chrono::milliseconds timeout);

/// "/dev/vfio/7"
std::string group_node(int group);

} // namespace hotplug::detail
