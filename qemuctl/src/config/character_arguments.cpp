// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "command_line_parts.hpp"

#include <fmt/format.h>

#include <utility>

namespace qemuctl::detail {

namespace {

/// What tells how a chardev of type "socket" is reached.
struct SocketEnd {
  std::string address; ///< "path=P" or "host=H,port=N"; without effect when there is a descriptor
  bool server = true, wait = false;
  int reconnect = 0; ///< s
};

/// A chardev of type "socket", whose listening or connected socket may be inherited.
std::string socket_chardev(CommandLineParts& parts, const std::string& path, const std::string& id,
                           const SocketEnd& end) {
  const int fd = parts.descriptor(path);
  std::string options = fmt::format("socket,id={},{}", id, fd >= 0 ? fmt::format("fd={}", fd) : end.address);
  if (end.server) return options + ",server=on,wait=" + on_off(end.wait);
  if (end.reconnect == 0) return options;
  if (parts.qemu.has_feature("chardev/socket/reconnect-ms"))
    return options + fmt::format(",reconnect-ms={}", end.reconnect * 1000);
  return options + fmt::format(",reconnect={}", end.reconnect);
}

void add_serial_chardev(CommandLineParts& parts, std::size_t index) {
  const SerialConfig& serial = parts.config.serials[index];
  const std::string path = fmt::format("serials[{}]", index);
  const std::string id = serial_id(index);
  if (serial.type == "socket") {
    if (serial.path.empty() && parts.config.name.empty())
      parts.invalid(path + ".path", "is needed for a VM without a name");
    SocketEnd end;
    end.address = "path=" + escape_option(serial_socket_path(parts.config, index));
    end.server = serial.server;
    end.wait = serial.wait;
    parts.chardev(socket_chardev(parts, path, id, end));
  } else {
    const std::string file = serial.path.empty() ? "" : ",path=" + escape_option(serial.path);
    parts.chardev(fmt::format("{},id={}{}", serial.type, id, file));
  }
}

void add_serial_device(CommandLineParts& parts, std::size_t index, std::size_t& machine_ports) {
  const SerialConfig& serial = parts.config.serials[index];
  const std::string path = fmt::format("serials[{}]", index);
  const std::string id = serial_id(index);
  const std::string driver = serial.device.empty() ? parts.machine.serial_device() : serial.device;
  if (driver == "isa-serial" && parts.machine.arch != GuestArch::x86)
    parts.invalid(path + ".device", in_quotes(driver),
                  fmt::format("another, as the machine {} has no ISA bus; without device it is the machine's own port",
                              in_quotes(parts.machine.type)));
  const bool machines_own = serial.device.empty() || driver == "isa-serial";
  if (machines_own && ++machine_ports > static_cast<std::size_t>(parts.machine.max_serials())) {
    parts.invalid("serials", fmt::format("{} serial ports of the machine", machine_ports),
                  fmt::format("at most {}, as this machine has; the others can be of device \"virtio-serial\" or "
                              "\"usb-serial\"",
                              parts.machine.max_serials()));
    return;
  }
  if (driver.empty()) {
    parts.option("-serial", "chardev:" + id);
    return;
  }
  Json device = Json::object({{"driver", driver}, {"id", id}, {"chardev", id}});
  if (driver == "usb-serial") {
    parts.plug_into_usb(device);
  } else if (driver == "virtio-serial") {
    device.set("driver", "virtconsole");
    device.set("bus", parts.virtio_serial_bus());
  }
  parts.device(path + ".device", std::move(device));
}

void add_chardev(CommandLineParts& parts, std::size_t index) {
  const ChardevConfig& chardev = parts.config.chardevs[index];
  const std::string path = fmt::format("chardevs[{}]", index);
  if (!parts.qemu.chardevs.empty() && !parts.qemu.has_chardev(chardev.backend))
    parts.missing_in_qemu(path + ".backend", "character device " + in_quotes(chardev.backend));
  if (chardev.backend == "socket") {
    SocketEnd end;
    end.address = chardev.path.empty() ? fmt::format("host={},port={}", escape_option(chardev.host), chardev.port)
                                       : "path=" + escape_option(chardev.path);
    end.server = chardev.server;
    end.wait = chardev.wait;
    end.reconnect = chardev.reconnect;
    parts.chardev(socket_chardev(parts, path, chardev.id, end));
    return;
  }
  std::string options = fmt::format("{},id={}", chardev.backend, chardev.id);
  if (!chardev.path.empty()) options += ",path=" + escape_option(chardev.path);
  if (!chardev.name.empty()) options += ",name=" + escape_option(chardev.name);
  parts.chardev(options);
}

void add_virtio_serial_port(CommandLineParts& parts, const std::string& path, const std::string& id,
                            const VirtioSerialPortConfig& port) {
  Json device = Json::object({{"driver", port.type}, {"id", id}, {"bus", parts.virtio_serial_bus()}});
  device.set("chardev", port.chardev);
  if (!port.name.empty()) device.set("name", port.name);
  parts.device(path, std::move(device));
}

void add_agents(CommandLineParts& parts) {
  const VmConfig& config = parts.config;
  VirtioSerialPortConfig port;
  if (!config.guest_agent.empty()) {
    port.chardev = fmt::format("{}-chardev", guest_agent_id);
    port.name = guest_agent_port;
    SocketEnd end;
    end.address = "path=" + escape_option(config.guest_agent);
    parts.chardev(socket_chardev(parts, "guestAgent", port.chardev, end));
    add_virtio_serial_port(parts, "guestAgent", std::string(guest_agent_id), port);
  }
  if (config.spice_agent) {
    port.chardev = fmt::format("{}-chardev", spice_agent_id);
    port.name = spice_agent_port;
    parts.chardev(fmt::format("spicevmc,id={},name=vdagent", port.chardev));
    add_virtio_serial_port(parts, "spiceAgent", std::string(spice_agent_id), port);
  }
}

} // namespace

void add_characters(CommandLineParts& parts) {
  const VmConfig& config = parts.config;
  std::size_t machine_ports = 0;
  for (std::size_t i = 0; i < config.serials.size(); ++i) {
    add_serial_chardev(parts, i);
    add_serial_device(parts, i, machine_ports);
  }
  for (std::size_t i = 0; i < config.chardevs.size(); ++i) add_chardev(parts, i);
  if (config.virtio_serial) {
    parts.virtio_serial_bus();
    for (std::size_t i = 0; i < config.virtio_serial->ports.size(); ++i)
      add_virtio_serial_port(parts, fmt::format("virtioSerial.ports[{}].type", i), virtio_serial_port_id(i),
                             config.virtio_serial->ports[i]);
  }
  add_agents(parts);
}

} // namespace qemuctl::detail
