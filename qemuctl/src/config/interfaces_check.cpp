// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "../host_interfaces.hpp"
#include "files_check.hpp"
#include "networks.hpp"

#include <fmt/format.h>

#include <optional>
#include <string>
#include <system_error>

namespace qemuctl::detail {

namespace {

void find_bridge(const std::string& path, const std::string& name, Problems& problems) {
  const std::optional<HostInterface> bridge = find_interface(name);
  if (!bridge)
    problems.add(path,
                 fmt::format("there is no interface {0}; \"ip link add {0} type bridge\" makes that bridge", name));
  else if (bridge->kind != "bridge")
    problems.add(path, fmt::format("{} is no bridge of Linux{}; a backend of type \"tap\" with a script can add its "
                                   "interface to something else",
                                   name, bridge->kind.empty() ? "" : fmt::format(" (it is a {})", bridge->kind)));
}

void check_existing(const std::string& path, const TapNetBackend& tap, Problems& problems) {
  const std::optional<HostInterface> interface = find_interface(tap.ifname);
  if (!interface) return; // it will be made
  if (interface->kind != "tun" || !interface->tap)
    problems.add(path + ".ifname", fmt::format("{} exists and is no TAP interface; choose another name", tap.ifname));
  else if (interface->carrier)
    problems.add(path + ".ifname", fmt::format("{} is in use by another program", tap.ifname));
  else if (tap.queues > 1 && !interface->multi_queue)
    problems.add(path + ".queues", fmt::format("{0} exists and has one queue only; \"ip tuntap add {0} mode tap "
                                               "multi_queue\" makes one that can have several",
                                               tap.ifname));
}

void check_descriptors(const std::string& path, const TapNetBackend& tap, Problems& problems) {
  for (std::size_t i = 0; i < tap.fds.size(); ++i) {
    const std::optional<OpenTap> open = tap_of(tap.fds[i]);
    if (!open)
      problems.add(fmt::format("{}.fds[{}]", path, i),
                   fmt::format("descriptor {} is not open, or not one of a TAP interface", tap.fds[i]));
    else if (!open->tap)
      problems.add(
          fmt::format("{}.fds[{}]", path, i),
          fmt::format("descriptor {} is of {}, a TUN interface, which has no Ethernet", tap.fds[i], open->name));
  }
}

void check_backend(const std::string& path, const TapNetBackend& tap, Problems& problems) {
  check_descriptors(path, tap, problems);
  if (!tap.bridge.empty()) find_bridge(path + ".bridge", tap.bridge, problems);
  if (!tap.ifname.empty()) check_existing(path, tap, problems);
}

void check_backend(const std::string& path, const BridgeNetBackend& backend, Problems& problems) {
  find_bridge(path + ".bridge", backend.bridge.empty() ? "br0" : backend.bridge, problems);
}

template<typename Other>
void check_backend(const std::string&, const Other&, Problems&) {}

} // namespace

void find_missing_interfaces(const VmConfig& config, Problems& problems) {
  for (std::size_t i = 0; i < config.networks.size(); ++i) {
    const std::string path = fmt::format("networks[{}].backend", i);
    try {
      std::visit([&](const auto& backend) { check_backend(path, backend, problems); }, config.networks[i].backend);
    } catch (const std::system_error& error) {
      problems.add(path, error.what());
    }
  }
}

} // namespace qemuctl::detail
