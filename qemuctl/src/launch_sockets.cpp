// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "config/command_line_parts.hpp"
#include "launch_resources.hpp"
#include "unix_socket.hpp"

#include <fmt/format.h>

namespace qemuctl::detail {

std::vector<FileDescriptor> open_sockets(const VmConfig& config, LaunchResources& resources, bool connect) {
  VmFiles& files = resources.files();
  std::vector<FileDescriptor> serials(config.serials.size());
  for (std::size_t i = 0; i < config.serials.size(); ++i) {
    if (config.serials[i].type != "socket" || !config.serials[i].server) continue;
    const std::string path = serial_socket_path(config, i);
    resources.inherit_for(fmt::format("serials[{}]", i), files.listen(path));
    if (connect) serials[i] = connect_unix(path);
  }
  for (std::size_t i = 0; i < config.chardevs.size(); ++i) {
    const ChardevConfig& chardev = config.chardevs[i];
    if (chardev.backend == "socket" && chardev.server && !chardev.path.empty())
      resources.inherit_for(fmt::format("chardevs[{}]", i), files.listen(chardev.path));
  }
  if (!config.guest_agent.empty()) resources.inherit_for("guestAgent", files.listen(config.guest_agent));
  if (config.display.spice && config.display.spice->unix_socket) files.leave_to_qemu(spice_socket_path(config));
  return serials;
}

} // namespace qemuctl::detail
