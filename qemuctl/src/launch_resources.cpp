// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "launch_resources.hpp"

#include <qemuctl/error.hpp>

#include <fmt/format.h>

#include <csignal>
#include <system_error>
#include <utility>

namespace qemuctl::detail {

LaunchResources::~LaunchResources() {
  for (Process& helper : helpers_) helper.send_signal(SIGTERM);
}

int LaunchResources::inherit(FileDescriptor fd) {
  ours_.push_back(std::move(fd));
  return inherit_borrowed(ours_.back().get());
}

int LaunchResources::inherit_borrowed(int fd) {
  inherited_.push_back(fd);
  return first_inherited_fd + static_cast<int>(inherited_.size()) - 1;
}

void LaunchResources::inherit_for(const std::string& path, FileDescriptor fd) {
  descriptors_[path].push_back(inherit(std::move(fd)));
}

void LaunchResources::inherit_borrowed_for(const std::string& path, int fd) {
  descriptors_[path].push_back(inherit_borrowed(fd));
}

void LaunchResources::start_helper(const std::string& path, std::vector<std::string> argv, const std::vector<int>& fds,
                                   int log) {
  SpawnOptions spawn;
  spawn.argv = std::move(argv);
  spawn.inherited = fds;
  spawn.output = log;
  try {
    helpers_.push_back(Process::spawn(executor_, spawn));
  } catch (const std::system_error& error) {
    Diagnostics diagnostics;
    diagnostics.operation = "launch";
    diagnostics.subject = "VM " + files_.name();
    diagnostics.detail = fmt::format("{}: {} cannot be executed: {}", path, spawn.argv.front(), error.code().message());
    throw Error(errc::launch_failed, std::move(diagnostics));
  }
}

} // namespace qemuctl::detail
