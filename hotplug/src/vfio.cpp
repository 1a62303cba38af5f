// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "vfio.hpp"

#include "duration_text.hpp"
#include "file_watch.hpp"
#include "sysfs_attribute.hpp"

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

namespace hotplug::detail {

namespace fs = std::filesystem;
using namespace asio::experimental::awaitable_operators;

namespace {

constexpr const char* drivers = "/sys/bus/pci/drivers";

std::string folder_of(const std::string& address) {
  return "/sys/bus/pci/devices/" + address;
}

/// Makes the kernel load the driver; returns the problem if it is still missing then.
asio::awaitable<std::string> load_driver(asio::any_io_executor executor, std::string modprobe,
                                         std::chrono::milliseconds timeout) {
  const fs::path there = fs::path(drivers) / vfio_driver;
  std::error_code ec;
  if (fs::exists(there, ec)) co_return std::string();
  qemuctl::detail::SpawnOptions options;
  options.argv.push_back(std::move(modprobe));
  options.argv.push_back("-a");
  options.argv.push_back(vfio_driver);
  options.argv.push_back("vfio_iommu_type1"); // of which the kernel knows only when QEMU asks for it
  std::string why = "it did not end in time";
  try {
    qemuctl::detail::Process process = qemuctl::detail::Process::spawn(executor, options);
    const auto end = co_await process.wait_until(std::chrono::steady_clock::now() + timeout);
    if (end)
      why = end->describe();
    else
      process.send_signal(SIGKILL);
  } catch (const std::system_error& error) {
    why = error.what();
  }
  if (fs::exists(there, ec)) co_return std::string();
  co_return fmt::format("the kernel has no driver {}, and {} does not load it ({})", vfio_driver, options.argv[0], why);
}

/// Waits until the file exists.
asio::awaitable<void> wait_for_file(asio::any_io_executor executor, std::string path) {
  FileWatch watch(executor, path);
  std::error_code ec;
  while (!fs::exists(path, ec)) co_await watch.changed();
}

asio::awaitable<bool> file_comes(asio::any_io_executor executor, std::string path, std::chrono::milliseconds timeout) {
  asio::steady_timer timer(executor, timeout);
  co_await (wait_for_file(executor, path) || timer.async_wait(asio::use_awaitable));
  std::error_code ec;
  co_return fs::exists(path, ec);
}

/// Waits until udev has processed a node: the kernel creates it for root, and udev sets its permissions a moment later
/// and records that in its database. False: it takes too long.
asio::awaitable<bool> udev_sets_up(asio::any_io_executor executor, std::string node,
                                   std::chrono::milliseconds timeout) {
  struct stat status {};
  std::error_code ec;
  if (!fs::exists("/run/udev/control", ec) || ::stat(node.c_str(), &status) != 0) co_return true;
  std::string entry = fmt::format("/run/udev/data/c{}:{}", major(status.st_rdev), minor(status.st_rdev));
  co_return co_await file_comes(std::move(executor), std::move(entry), timeout);
}

} // namespace

bool is_for_vms(const std::string& driver) {
  return driver.find("vfio-pci") != std::string::npos || driver.find("vfio_pci") != std::string::npos;
}

std::string driver_of(const std::string& address) {
  std::error_code ec;
  const fs::path driver = fs::read_symlink(folder_of(address) + "/driver", ec);
  return ec ? std::string() : driver.filename().string();
}

std::string driver_override_of(const std::string& address) {
  std::string driver = read_attribute(folder_of(address) + "/driver_override");
  return driver == "(null)" ? std::string() : driver;
}

std::vector<PciDevice> bridges_of_group(int group, const fs::path& root) {
  std::vector<PciDevice> bridges;
  std::error_code ec;
  const fs::path folder = root / fmt::format("sys/kernel/iommu_groups/{}/devices", group);
  for (fs::directory_iterator link(folder, ec), end; !ec && link != end; link.increment(ec)) {
    const auto number = [&](const char* attribute) {
      return std::strtoul(read_attribute(link->path() / attribute).c_str(), nullptr, 16);
    };
    PciDevice device;
    device.device_class.code = static_cast<std::uint8_t>(number("class") >> 16);
    if (device.device_class.code != pci_bridge_class) continue;
    device.sys_name = link->path().filename().string();
    device.vendor_id = static_cast<std::uint16_t>(number("vendor"));
    device.device_id = static_cast<std::uint16_t>(number("device"));
    std::error_code none;
    device.driver = fs::read_symlink(link->path() / "driver", none).filename().string();
    device.iommu_group = group;
    bridges.push_back(std::move(device));
  }
  return bridges;
}

std::vector<std::string> virtual_functions_of(const std::string& sys_path, const fs::path& root) {
  std::vector<std::string> addresses;
  std::error_code ec;
  for (fs::directory_iterator entry(root / sys_path.substr(1), ec), end; !ec && entry != end; entry.increment(ec)) {
    std::error_code no_link;
    const fs::path target = fs::read_symlink(entry->path(), no_link);
    if (!no_link && entry->path().filename().string().starts_with("virtfn"))
      addresses.push_back(target.filename().string());
  }
  std::ranges::sort(addresses);
  return addresses;
}

std::string group_node(int group) {
  return fmt::format("/dev/vfio/{}", group);
}

std::vector<SysfsWrite> writes_to_take(const std::string& address, const std::string& driver_now) {
  std::vector<SysfsWrite> writes;
  writes.push_back({folder_of(address) + "/driver_override", std::string(vfio_driver) + "\n"});
  if (!driver_now.empty()) writes.push_back({fmt::format("{}/{}/unbind", drivers, driver_now), address});
  writes.push_back({"/sys/bus/pci/drivers_probe", address});
  return writes;
}

std::vector<SysfsWrite> writes_to_give_back(const Loan& loan, const std::string& driver_now) {
  std::vector<SysfsWrite> writes;
  writes.push_back({folder_of(loan.address) + "/driver_override", loan.override_before + "\n"});
  if (driver_now == vfio_driver) writes.push_back({fmt::format("{}/{}/unbind", drivers, driver_now), loan.address});
  if (loan.driver.empty() || (driver_now != vfio_driver && !driver_now.empty())) return writes;
  // The driver it had, because several may match. If that one is gone, the kernel looks for another.
  writes.push_back({fmt::format("{}/{}/bind", drivers, loan.driver), loan.address, true});
  writes.push_back({"/sys/bus/pci/drivers_probe", loan.address, true});
  return writes;
}

asio::awaitable<SysfsOutcome> take_for_vfio(asio::any_io_executor executor, std::string address, int group,
                                            std::string modprobe, std::chrono::milliseconds timeout) {
  SysfsOutcome outcome;
  outcome.problem = co_await load_driver(executor, std::move(modprobe), timeout);
  if (!outcome.problem.empty()) co_return outcome;
  if (const std::string driver = driver_of(address); driver != vfio_driver) {
    std::vector<SysfsWrite> writes = writes_to_take(address, driver);
    outcome = co_await write_sysfs(executor, std::move(writes), timeout);
    if (!outcome.problem.empty()) co_return outcome;
  }
  if (driver_of(address) != vfio_driver) {
    outcome.problem = fmt::format("{} does not take it; the kernel's log says why", vfio_driver);
    co_return outcome;
  }
  const std::string node = group_node(group);
  const bool there = co_await file_comes(executor, node, timeout);
  if (!there) {
    outcome.problem = fmt::format("there is no {} although {} has it", node, vfio_driver);
    co_return outcome;
  }
  const bool through = co_await udev_sets_up(executor, node, timeout);
  if (!through)
    outcome.problem = fmt::format("udev has not set up {} within {}; \"udevadm settle\" says whether it works", node,
                                  qemuctl::detail::duration_text(timeout));
  co_return outcome;
}

asio::awaitable<SysfsOutcome> give_back(asio::any_io_executor executor, Loan loan, std::chrono::milliseconds timeout) {
  std::vector<SysfsWrite> writes = writes_to_give_back(loan, driver_of(loan.address));
  SysfsOutcome outcome = co_await write_sysfs(executor, std::move(writes), timeout);
  if (!outcome.problem.empty() || loan.driver.empty()) co_return outcome;
  if (driver_of(loan.address).empty())
    outcome.problem = fmt::format("its driver {} does not take it back; the kernel's log says why", loan.driver);
  co_return outcome;
}

} // namespace hotplug::detail
