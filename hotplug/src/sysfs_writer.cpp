// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "sysfs_writer.hpp"

#include "duration_text.hpp"

#include <qemuctl/file_descriptor.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

namespace hotplug::detail {

using qemuctl::FileDescriptor;
using qemuctl::detail::Process;

namespace {

/// A killed process ends within this time, unless it hangs in the kernel.
constexpr std::chrono::milliseconds death{200};

/// The child's report of a failed write, including those that may fail.
struct Failure {
  std::int32_t index = 0, error = 0;
};

/// What the child does with each of them; returns 0 or the error. Leaves no file open.
using Step = int (*)(const SysfsWrite&);

int write_to(const SysfsWrite& write) {
  const int fd = ::open(write.file.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  const ssize_t size = ::write(fd, write.text.data(), write.text.size());
  const int error = size < 0 ? errno : 0;
  ::close(fd);
  if (error == 0 && static_cast<std::size_t>(size) < write.text.size()) return EIO;
  return error;
}

int probe(const SysfsWrite& node) {
  // The kernel opens what it uses exclusively. Other errors of the device do not matter here.
  const int fd = ::open(node.file.c_str(), O_RDONLY | O_EXCL | O_NONBLOCK | O_CLOEXEC);
  const int error = fd < 0 && errno == EBUSY ? EBUSY : 0;
  if (fd >= 0) ::close(fd);
  return error;
}

/// Only what may be called between fork and exec in a program with threads.
[[noreturn]] void child(const std::vector<SysfsWrite>& writes, Step step, int report, int parent) {
  // A successor of this program must not find somebody still writing.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(2);
  // Locks and sockets of this program must not live on in a process that may never end.
  constexpr int report_fd = 3;
  if (report != report_fd) ::dup2(report, report_fd);
  ::syscall(SYS_close_range, report_fd + 1, ~0U, 0);
  for (std::size_t i = 0; i < writes.size(); ++i) {
    const int error = step(writes[i]);
    if (error == 0 || writes[i].may_fail) continue;
    const Failure failure{static_cast<std::int32_t>(i), error};
    if (::write(report_fd, &failure, sizeof failure) < 0) ::_exit(2);
    ::_exit(1);
  }
  ::_exit(0);
}

/// The writes, one of which is the one that takes so long.
std::string files_of(const std::vector<SysfsWrite>& writes) {
  std::string files;
  for (const SysfsWrite& write : writes) files += (files.empty() ? "" : ", ") + write.file;
  return files;
}

/// The child's report; nullopt: none.
std::optional<Failure> read_failure(int report, std::size_t writes) {
  Failure failure;
  if (::read(report, &failure, sizeof failure) != static_cast<ssize_t>(sizeof failure)) return std::nullopt;
  if (failure.index < 0 || static_cast<std::size_t>(failure.index) >= writes) return std::nullopt;
  return failure;
}

/// With all signals blocked, so that no handler of this program runs in the child.
int fork_child(const std::vector<SysfsWrite>& writes, Step step, int report) {
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const int self = ::getpid();
  const int pid = ::fork();
  const int error = errno;
  if (pid == 0) child(writes, step, report, self);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) throw std::system_error(error, std::system_category(), "start a helper process");
  return pid;
}

/// How the child ended, and which write failed.
struct ChildOutcome {
  SysfsOutcome outcome; ///< with a problem, unless all is done or a step failed
  std::optional<Failure> failure;
};

asio::awaitable<ChildOutcome> run_child(asio::any_io_executor executor, std::vector<SysfsWrite> writes, Step step,
                                        std::chrono::milliseconds timeout) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0)
    throw std::system_error(errno, std::system_category(), "start a helper process");
  const FileDescriptor read_end(ends[0]);
  FileDescriptor write_end(ends[1]);
  Process process = Process::adopt(executor, fork_child(writes, step, write_end.get()));
  write_end.reset();

  ChildOutcome result;
  std::string& problem = result.outcome.problem;
  std::optional<qemuctl::detail::ProcessExit> end =
      co_await process.wait_until(std::chrono::steady_clock::now() + timeout);
  if (!end) {
    process.send_signal(SIGKILL);
    end = co_await process.wait_until(std::chrono::steady_clock::now() + death);
    problem = fmt::format("the kernel did not do it within {} ({})", qemuctl::detail::duration_text(timeout),
                          files_of(writes));
    if (!end) {
      problem += fmt::format(", and keeps process {}, which asked for it", process.pid());
      result.outcome.stuck = std::move(process);
    }
  } else if (end->exit_code != 0) {
    result.failure = read_failure(read_end.get(), writes.size());
    if (!result.failure) problem = fmt::format("the helper process ended: {}", end->describe());
  }
  co_return result;
}

} // namespace

asio::awaitable<SysfsOutcome> write_sysfs(asio::any_io_executor executor, std::vector<SysfsWrite> writes,
                                          std::chrono::milliseconds timeout) {
  auto [outcome, failure] = co_await run_child(std::move(executor), writes, write_to, timeout);
  if (failure) {
    const SysfsWrite& write = writes[static_cast<std::size_t>(failure->index)];
    outcome.problem = fmt::format("writing \"{}\" to {}: {}", write.text, write.file,
                                  std::generic_category().message(failure->error));
  }
  co_return std::move(outcome);
}

asio::awaitable<SysfsOutcome> probe_block_devices(asio::any_io_executor executor, std::vector<std::string> nodes,
                                                  std::chrono::milliseconds timeout) {
  std::vector<SysfsWrite> probes;
  for (const std::string& node : nodes) probes.push_back({node, {}});
  auto [outcome, failure] = co_await run_child(std::move(executor), std::move(probes), probe, timeout);
  if (failure) {
    outcome.in_use = true;
    outcome.problem = fmt::format("the kernel has {} in use", nodes[static_cast<std::size_t>(failure->index)]);
  }
  co_return std::move(outcome);
}

} // namespace hotplug::detail
