// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "check.hpp"
#include "ids.hpp"

#include <algorithm>
#include <map>

namespace qemuctl::detail {

namespace {

void check_serial(Check& check, const std::string& path, const SerialConfig& serial) {
  check.word(path + ".type", serial.type, serial_words());
  check.text(path + ".path", serial.path);
  check.word(path + ".device", serial.device, serial_device_words(), true);
  const bool socket = serial.type == "socket";
  const bool has_path = socket || serial.type == "file" || serial.type == "pipe";
  check.no_effect(path + ".path", !has_path && !serial.path.empty(),
                  fmt::format("for type {}", in_quotes(serial.type)));
  if (has_path && serial.path.empty() && (!socket || !serial.server))
    check.problems.add(path + ".path", "nothing",
                       socket ? "the socket that it connects to" : fmt::format("the path of a {}", serial.type));
  check.no_effect(path + ".server", !socket && !serial.server, fmt::format("for type {}", in_quotes(serial.type)));
  check.no_effect(path + ".wait", serial.wait && (!socket || !serial.server), "but for a socket that listens");
  if (has_path && (!socket || serial.server)) check.own_path(path + ".path", serial.path);
}

/// What goes through a SPICE server needs one.
void check_spice(Check& check, const std::string& path, const std::string& what) {
  if (!check.config.display.spice && check.config.display.type != "spice")
    check.problems.add(path, what, "a SPICE display for it, \"display\": \"spice\"");
}

void check_chardev(Check& check, const std::string& path, const ChardevConfig& chardev) {
  if (check.needed(path + ".id", chardev.id, "what others refer to it by")) check.id(path + ".id", chardev.id);
  check.word(path + ".backend", chardev.backend, chardev_words());
  for (const std::string* text : {&chardev.path, &chardev.host, &chardev.name}) check.text(path, *text);
  const std::string& backend = chardev.backend;
  const std::string of_this = fmt::format("for a {}", backend);
  const bool socket = backend == "socket";
  if (socket) {
    if (chardev.path.empty() == chardev.host.empty())
      check.problems.add(path, chardev.path.empty() ? "neither path nor host" : "path and host", "one of the two");
    if (!chardev.host.empty()) check.range(path + ".port", chardev.port, 1, max_port);
    if (chardev.server) check.own_path(path + ".path", chardev.path);
  } else {
    check.no_effect(path + ".host", !chardev.host.empty(), of_this);
    check.no_effect(path + ".server", chardev.server, of_this);
  }
  check.no_effect(path + ".port", chardev.port != 0 && chardev.host.empty(), "without host");
  check.no_effect(path + ".wait", chardev.wait && (!socket || !chardev.server), "but for a socket that listens");
  check.range(path + ".reconnect", chardev.reconnect, 0, 86'400);
  check.no_effect(path + ".reconnect", chardev.reconnect > 0 && (!socket || chardev.server),
                  "but for a socket that connects");
  const bool file = backend == "file" || backend == "pipe";
  if (file) check.needed(path + ".path", chardev.path, "a path");
  check.no_effect(path + ".path", !chardev.path.empty() && !socket && !file, of_this);
  const bool spice = backend == "spicevmc" || backend == "spiceport";
  if (spice) check_spice(check, path + ".backend", in_quotes(backend));
  if (spice) check.needed(path + ".name", chardev.name, "a channel, such as \"vdagent\" or \"usbredir\"");
  check.no_effect(path + ".name", !chardev.name.empty() && !spice, of_this);
}

/// The ports of the virtio-serial controller, wherever they are described.
void check_virtio_serial_ports(Check& check, const VirtioSerialConfig& serial) {
  const VmConfig& config = check.config;
  std::map<std::string, std::string> names;
  std::size_t consoles = 0, ports = 0;
  const auto add = [&](const std::string& path, const std::string& name) {
    const auto [first, inserted] = names.emplace(name, path);
    if (!name.empty() && !inserted)
      check.problems.add(path, fmt::format("{}, the name of {}", in_quotes(name), first->second),
                         "a different one for each");
  };
  for (const SerialConfig& port : config.serials) consoles += port.device == "virtio-serial";
  if (!config.guest_agent.empty()) add("guestAgent", std::string(guest_agent_port)), ++ports;
  if (config.spice_agent) add("spiceAgent", std::string(spice_agent_port)), ++ports;
  for (std::size_t i = 0; i < serial.ports.size(); ++i) {
    const bool console = serial.ports[i].type == "virtconsole";
    (console ? consoles : ports) += 1;
    add(fmt::format("virtioSerial.ports[{}].name", i), serial.ports[i].name);
  }
  const auto max = static_cast<std::size_t>(serial.max_ports > 0 ? serial.max_ports : max_virtio_serial_ports);
  // Port 0 can be a console only.
  if (ports + std::max<std::size_t>(consoles, 1) > max)
    check.problems.add(
        "virtioSerial.maxPorts",
        fmt::format("{}, and {} ports and {} consoles (agents and serial ports among them)", max, ports, consoles),
        ports + std::max<std::size_t>(consoles, 1) > max_virtio_serial_ports
            ? fmt::format("at most {} in all, one of them a console", max_virtio_serial_ports)
            : "a port for each, and one for a console in any case");
}

void check_virtio_serial(Check& check) {
  const VirtioSerialConfig serial = check.config.virtio_serial.value_or(VirtioSerialConfig());
  check.range("virtioSerial.maxPorts", serial.max_ports, 0, max_virtio_serial_ports);
  for (std::size_t i = 0; i < serial.ports.size(); ++i) {
    const std::string path = fmt::format("virtioSerial.ports[{}]", i);
    const VirtioSerialPortConfig& port = serial.ports[i];
    if (check.needed(path + ".chardev", port.chardev, "the id of a character device"))
      check.known_id(path + ".chardev", port.chardev, "character device", chardev_ids(check.config));
    check.text(path + ".name", port.name);
    check.word(path + ".type", port.type, virtio_serial_port_words());
  }
  check_virtio_serial_ports(check, serial);
}

/// A character device has one user.
void check_users(Check& check) {
  const VmConfig& config = check.config;
  std::map<std::string, std::string> users;
  const auto use = [&](const std::string& path, const std::string& chardev) {
    if (chardev.empty()) return;
    const auto [first, inserted] = users.emplace(chardev, path);
    if (!inserted)
      check.problems.add(path, fmt::format("{}, which {} has, too", in_quotes(chardev), first->second),
                         "a character device of its own");
  };
  if (config.virtio_serial)
    for (std::size_t i = 0; i < config.virtio_serial->ports.size(); ++i)
      use(fmt::format("virtioSerial.ports[{}].chardev", i), config.virtio_serial->ports[i].chardev);
  for (std::size_t i = 0; i < config.usb_devices.size(); ++i)
    use(fmt::format("usbDevices[{}].chardev", i), config.usb_devices[i].chardev);
}

} // namespace

void check_characters(Check& check) {
  const VmConfig& config = check.config;
  for (std::size_t i = 0; i < config.serials.size(); ++i)
    check_serial(check, fmt::format("serials[{}]", i), config.serials[i]);
  std::map<std::string, std::string> ids;
  for (std::size_t i = 0; i < config.serials.size(); ++i)
    ids.emplace(fmt::format("serial{}", i), fmt::format("serials[{}]", i));
  for (const char* used : {"qmp", "qemuctl-control", "tpm-chardev", "guest-agent-chardev", "spice-agent-chardev"})
    ids.emplace(used, "a character device of the VM's own");
  for (std::size_t i = 0; i < config.chardevs.size(); ++i) {
    const std::string path = fmt::format("chardevs[{}]", i);
    check_chardev(check, path, config.chardevs[i]);
    check.own_id(ids, path, config.chardevs[i].id);
  }
  check_virtio_serial(check);
  check_users(check);
  check.text("guestAgent", config.guest_agent);
  check.own_path("guestAgent", config.guest_agent);
  if (config.spice_agent) check_spice(check, "spiceAgent", "true");
}

} // namespace qemuctl::detail
