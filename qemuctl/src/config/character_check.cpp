// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "check.hpp"

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
  if (spice) check.needed(path + ".name", chardev.name, "a channel, such as \"vdagent\" or \"usbredir\"");
  check.no_effect(path + ".name", !chardev.name.empty() && !spice, of_this);
}

void check_virtio_serial(Check& check) {
  if (!check.config.virtio_serial) return;
  const VirtioSerialConfig& serial = *check.config.virtio_serial;
  check.range("virtioSerial.maxPorts", serial.max_ports, 0, 31);
  for (std::size_t i = 0; i < serial.ports.size(); ++i) {
    const std::string path = fmt::format("virtioSerial.ports[{}]", i);
    const VirtioSerialPortConfig& port = serial.ports[i];
    if (check.needed(path + ".chardev", port.chardev, "the id of a character device"))
      check.known_id(path + ".chardev", port.chardev, "character device", chardev_ids(check.config));
    check.text(path + ".name", port.name);
    check.word(path + ".type", port.type, virtio_serial_port_words());
  }
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
  check.text("guestAgent", config.guest_agent);
  check.own_path("guestAgent", config.guest_agent);
  if (config.spice_agent && !config.display.spice && config.display.type != "spice")
    check.problems.add("spiceAgent", "true", "a SPICE display for it, \"display\": \"spice\"");
}

} // namespace qemuctl::detail
