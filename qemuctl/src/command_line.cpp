// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "config/check.hpp"
#include "config/command_line_parts.hpp"

#include <qemuctl/command_line.hpp>

namespace qemuctl {

namespace detail {

std::vector<std::string> build_command_line(const VmConfig& config, const QemuInfo& qemu,
                                            const CommandLineContext& context, Problems& invalid, Problems& missing) {
  CommandLineParts parts(config, qemu, context);
  add_general(parts);
  add_secrets(parts);
  add_machine(parts);
  add_disks(parts);
  add_shares(parts);
  add_networks(parts);
  add_characters(parts);
  add_usb(parts);
  add_host_devices(parts);
  add_display(parts);
  add_balloon(parts);
  add_monitors(parts);
  return parts.finish(invalid, missing);
}

} // namespace detail

std::vector<std::string> build_command_line(const VmConfig& config, const QemuInfo& qemu,
                                            const CommandLineContext& context) {
  constexpr const char* operation = "make the command line of QEMU";
  const std::string subject = config.name.empty() ? "" : "VM " + config.name;
  detail::Problems invalid, missing;
  detail::check_vm_config(config, invalid);
  invalid.throw_if_any(errc::invalid_argument, operation, subject);
  std::vector<std::string> argv = detail::build_command_line(config, qemu, context, invalid, missing);
  invalid.throw_if_any(errc::invalid_argument, operation, subject);
  missing.throw_if_any(errc::not_supported, operation, subject);
  return argv;
}

} // namespace qemuctl
