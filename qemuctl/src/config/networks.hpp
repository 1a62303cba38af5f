// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What the check, the command line and the launch have to agree on.
#pragma once

#include <qemuctl/network_config.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace qemuctl::detail {

inline bool is_script(const std::string& script) {
  return !script.empty() && script != "no";
}

/// QEMU opens the interface itself, because it runs a program that sets it up.
inline bool qemu_opens(const TapNetBackend& tap) {
  return is_script(tap.script) || is_script(tap.down_script);
}

inline std::size_t queues_of(const TapNetBackend& tap) {
  return tap.fds.empty() ? static_cast<std::size_t>(tap.queues) : tap.fds.size();
}

/// "virtio" means the one of the machine's own bus.
inline bool is_virtio_net(std::string_view model) {
  return model == "virtio" || model.starts_with("virtio-net");
}

} // namespace qemuctl::detail
