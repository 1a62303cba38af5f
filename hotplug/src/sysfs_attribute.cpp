// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "sysfs_attribute.hpp"

#include <qemuctl/file_descriptor.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <system_error>

namespace hotplug::detail {

std::string read_attribute(const std::string& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

std::string write_attribute(const std::string& file, const std::string& value) {
  const qemuctl::FileDescriptor fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
  const ssize_t written = fd ? ::write(fd.get(), value.data(), value.size()) : -1;
  if (written == static_cast<ssize_t>(value.size())) return {};
  return std::generic_category().message(written < 0 ? errno : EIO);
}

} // namespace hotplug::detail
