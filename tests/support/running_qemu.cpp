// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "running_qemu.hpp"

#include "run.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>
#include <utility>

namespace test {

using qemuctl::FileDescriptor;

RunningQemu::RunningQemu(asio::io_context& context, const std::filesystem::path& binary,
                         const std::vector<std::string>& arguments)
    : context_(context), qmp_(context.get_executor()) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
    throw std::system_error(errno, std::generic_category(), "socketpair");
  FileDescriptor ours(ends[0]);
  FileDescriptor its(ends[1]);
  qemuctl::detail::SpawnOptions options;
  options.argv = {binary.native(), "-machine", "none", "-nodefaults", "-display", "none", "-S"};
  options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
  for (const char* argument : {"-chardev", "socket,id=private,fd=3", "-mon", "private,mode=control"})
    options.argv.emplace_back(argument);
  options.inherited = {its.get()};
  options.output = STDERR_FILENO;
  process_.emplace(qemuctl::detail::Process::spawn(context_.get_executor(), options));
  its.reset();
  // Its main loop responds once everything on the command line exists.
  run(context_, qmp_.connect(std::move(ours)));
}

RunningQemu::~RunningQemu() {
  process_->send_signal(SIGKILL);
  run(context_, process_->wait());
}

} // namespace test
