// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace qemuctl {

/// A serial port of the guest.
struct SerialConfig {
  /// The chardev: "socket", "file", "pty", "pipe", "null".
  std::string type = "socket";
  /// For "socket" (a server's is by default `<socketDir>/<name>.serialN`), "file" and "pipe" (PATH.in and PATH.out, or
  /// PATH for both).
  std::string path;
  bool server = true; ///< a "socket" listens; otherwise it connects, and `path` is needed
  bool wait = false;  ///< a server: the VM starts once a client has connected. Not for programs that wait for the start
  /// "isa-serial", "pci-serial", "usb-serial", "virtio-serial" (a virtconsole); empty: the machine's own.
  std::string device;
  bool operator==(const SerialConfig&) const = default;
};

/// A character device for others to use by its id: virtio-serial ports, usb-redir, extra arguments.
struct ChardevConfig {
  std::string id;
  std::string backend; ///< "socket", "file", "pty", "pipe", "null", "spicevmc", "spiceport", "ringbuf"
  std::string path;    ///< for "socket", "file", "pipe"
  std::string host;    ///< for "socket" over TCP
  int port = 0;        ///< 1 to 65535, for "socket" over TCP
  bool server = false; ///< a "socket" listens; otherwise it connects
  bool wait = false;   ///< a server: the VM starts once a client has connected
  int reconnect = 0;   ///< seconds, for a client; 0: never
  std::string name;    ///< the channel of "spicevmc" and "spiceport"
  bool operator==(const ChardevConfig&) const = default;
};

struct VirtioSerialPortConfig {
  std::string chardev;                 ///< its id
  std::string name;                    ///< by which the guest finds it: "org.qemu.guest_agent.0"
  std::string type = "virtserialport"; ///< or "virtconsole"
  bool operator==(const VirtioSerialPortConfig&) const = default;
};

struct VirtioSerialConfig {
  int max_ports = 0; ///< 1 to 31; 0: QEMU's default, 31. Port 0 is kept for a console
  std::vector<VirtioSerialPortConfig> ports;
  bool operator==(const VirtioSerialConfig&) const = default;
};

} // namespace qemuctl
