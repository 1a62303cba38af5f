// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "vm_pci.hpp"

#include "pci_port.hpp"
#include "qom.hpp"

#include <hotplug/pci_device.hpp>
#include <qemuctl/error.hpp>
#include <qemuctl/file_descriptor.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

namespace hotplug::detail {

using qemuctl::Diagnostics;
using qemuctl::Error;
using qemuctl::Instance;
using qemuctl::Json;

namespace {

constexpr std::string_view prefix = "pcihost-";
/// QEMU maps all memory of the guest for the device before it answers.
constexpr std::chrono::minutes mapping{2};

} // namespace

HostKey pci_key(std::string address) {
  return {DeviceKind::pci, std::move(address)};
}

std::string make_pci_qdev_id(const std::string& address, std::uint32_t unique) {
  std::string dotted = address;
  std::ranges::replace(dotted, ':', '.');
  return fmt::format("{}{}-{:08x}", prefix, dotted, unique);
}

std::optional<HostKey> pci_key_in(std::string_view qdev_id) {
  if (!qdev_id.starts_with(prefix)) return std::nullopt;
  qdev_id.remove_prefix(prefix.size());
  const std::size_t dash = qdev_id.find('-');
  if (dash == std::string_view::npos || !is_unique_end(qdev_id.substr(dash + 1))) return std::nullopt;
  std::string address(qdev_id.substr(0, dash));
  // The last dot is the address's own.
  for (std::size_t at = address.find('.'); at != std::string::npos && at != address.rfind('.');
       at = address.find('.', at + 1))
    address[at] = ':';
  if (!is_pci_address(address)) return std::nullopt;
  return pci_key(std::move(address));
}

asio::awaitable<Qdev> look_at_pci_device(Instance& vm, std::string path, std::string id) {
  Qdev device;
  device.kind = DeviceKind::pci;
  device.id = std::move(id);
  device.host = pci_key_in(device.id);
  device.ours = device.host.has_value();
  device.attached = true; // QEMU has it open before the command succeeds
  if (!device.ours) {
    std::string address = co_await qom_text(vm, path, "host");
    if (!is_pci_address(address)) {
      const std::string folder = co_await qom_text(vm, std::move(path), "sysfsdev");
      address = folder.substr(folder.rfind('/') + 1);
    }
    if (is_pci_address(address)) device.host = pci_key(std::move(address));
  }
  co_return device;
}

std::string rom_file_problem(const std::string& path) {
  if (path.empty()) return {};
  const auto wrong = [&](std::string_view why) { return fmt::format("the ROM file {}: {}", path, why); };
  // QEMU looks for relative paths in its firmware folders.
  if (!path.starts_with('/')) return wrong("it has to be an absolute path");
  const qemuctl::FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) return wrong(std::generic_category().message(errno));
  if (!S_ISREG(status.st_mode)) return wrong("it is no regular file");
  if (status.st_size == 0) return wrong("it is empty");
  return {};
}

asio::awaitable<void> attach_pci(Instance& vm, std::string address, std::string id, std::string rom_file) {
  Json properties;
  properties.set("driver", "vfio-pci");
  properties.set("id", std::move(id));
  properties.set("host", std::move(address));
  if (!rom_file.empty()) properties.set("romfile", std::move(rom_file));
  try {
    co_await add_to_pci_port(vm, std::move(properties), {}, mapping);
  } catch (const Error& error) {
    Diagnostics diagnostics = error.diagnostics();
    const auto says = [&](const char* text) { return diagnostics.server_text.find(text) != std::string::npos; };
    if (says("Permission denied"))
      diagnostics.advice = "QEMU opens the nodes in /dev/vfio itself: its user needs to read and write them.";
    else if (says("Cannot allocate memory"))
      diagnostics.advice =
          "QEMU's user may lock too little memory (ulimit -l): all of the guest's has to stay in place.";
    throw Error(error.code(), std::move(diagnostics));
  }
}

} // namespace hotplug::detail
