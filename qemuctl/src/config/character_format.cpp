// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "formats.hpp"

namespace qemuctl::detail {

Format<SerialConfig> serial_format() {
  using T = SerialConfig;
  return object<T>({
      key<T>("type", &T::type, word(serial_words()),
             "What it is connected to. Default: `socket`, a Unix socket that QEMU listens on"),
      key<T>("path", &T::path, file_path(),
             "The socket, file or pipe. Default for a socket: `<socketDir>/<name>.serial0`, `.serial1`, ..."),
      key<T>("server", &T::server, boolean(), "`false`: the socket connects to `path` instead. Default: true"),
      key<T>("wait", &T::wait, boolean(), "The VM starts when a client has come. Default: false"),
      key<T>("device", &T::device, word(serial_device_words()), "The port. Default: the machine's own"),
  });
}

Format<ChardevConfig> chardev_format() {
  using T = ChardevConfig;
  return object<T>({
      required(key<T>("id", &T::id, text(), "What others refer to it by")),
      required(key<T>("backend", &T::backend, word(chardev_words()), "What it is")),
      key<T>("path", &T::path, file_path(), "For `socket`, `file`, `pipe`"),
      key<T>("host", &T::host, text(), "For a `socket` over TCP"),
      key<T>("port", &T::port, whole_number(1, max_port), "For a `socket` over TCP"),
      key<T>("server", &T::server, boolean(), "A `socket` listens. Default: false, it connects"),
      key<T>("wait", &T::wait, boolean(), "The VM starts when a client has come. Default: false"),
      key<T>("reconnect", &T::reconnect, whole_number(1, 86'400),
             "Seconds after which a client tries again. Default: it does not"),
      key<T>("name", &T::name, text(), "The channel, for `spicevmc` and `spiceport`"),
  });
}

namespace {

Format<VirtioSerialPortConfig> port_format() {
  using T = VirtioSerialPortConfig;
  return object<T>({
      required(key<T>("chardev", &T::chardev, text(), "The id of its character device")),
      key<T>("name", &T::name, text(), "What the guest finds it by: `org.qemu.guest_agent.0`"),
      key<T>("type", &T::type, word(virtio_serial_port_words()), "Default: `virtserialport`"),
  });
}

} // namespace

Format<VirtioSerialConfig> virtio_serial_format() {
  using T = VirtioSerialConfig;
  return object<T>({
      key<T>("maxPorts", &T::max_ports, whole_number(1, max_virtio_serial_ports), "Default: QEMU's, 31"),
      key<T>("ports", &T::ports, list_of(port_format()), "Ports"),
  });
}

} // namespace qemuctl::detail
