// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "launch_resources.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <system_error>

namespace qemuctl::detail {

namespace {

/// Never swapped to a file system, gone with its last descriptor, and open to nobody but who has one of those.
FileDescriptor file_in_memory(std::string_view data) {
  FileDescriptor file(::memfd_create("secret", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) throw std::system_error(errno, std::system_category(), "make a file in memory");
  while (!data.empty()) {
    const ssize_t written = ::write(file.get(), data.data(), data.size());
    if (written < 0 && errno != EINTR) throw std::system_error(errno, std::system_category(), "write a secret");
    if (written > 0) data.remove_prefix(static_cast<std::size_t>(written));
  }
  ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
  return file;
}

} // namespace

void open_secrets(const VmConfig& config, LaunchResources& resources) {
  for (std::size_t i = 0; i < config.secrets.size(); ++i)
    if (const std::string& data = config.secrets[i].data; !data.empty())
      resources.inherit_for(fmt::format("secrets[{}]", i), file_in_memory(data));
  const DisplayConfig& display = config.display;
  if (display.vnc && !display.vnc->password.empty())
    resources.inherit_for("display.vnc.password", file_in_memory(display.vnc->password));
  if (display.spice && !display.spice->password.empty())
    resources.inherit_for("display.spice.password", file_in_memory(display.spice->password));
}

} // namespace qemuctl::detail
