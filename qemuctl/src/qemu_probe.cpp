// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "qemu_probe.hpp"

#include "text.hpp"
#include "unix_socket.hpp"
#include "wakeup.hpp"

#include <asio/this_coro.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <optional>
#include <system_error>
#include <utility>

namespace qemuctl::detail {

namespace {

using std::chrono::milliseconds;

/// How long a QEMU that has closed its monitor, or was killed, may take to be gone.
constexpr milliseconds exit_timeout{5'000};
/// For the reply to `quit`, which comes at once unless QEMU is stuck.
constexpr milliseconds quit_timeout{1'000};

/// A file in memory for what QEMU prints. It cannot grow: a program that is no QEMU may print without end.
FileDescriptor make_output() {
  constexpr off_t size = 65'536;
  FileDescriptor file(::memfd_create("qemu-output", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file || ::ftruncate(file.get(), size) != 0 || ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) != 0)
    throw std::system_error(errno, std::system_category(), "cannot make a file in memory");
  return file;
}

QmpClientOptions client_options(const std::filesystem::path& binary, milliseconds timeout) {
  QmpClientOptions options;
  options.greeting_timeout = timeout;
  options.command_timeout = timeout;
  options.subject = binary.native();
  return options;
}

Error launch_failed(const std::filesystem::path& binary, std::string detail, std::string printed) {
  Diagnostics diagnostics;
  diagnostics.operation = "start QEMU to see what it can do";
  diagnostics.subject = binary.native();
  diagnostics.detail = std::move(detail);
  diagnostics.server_text = std::move(printed);
  return {make_error_code(errc::launch_failed), std::move(diagnostics)};
}

} // namespace

QemuProbe::QemuProbe(const asio::any_io_executor& executor, std::filesystem::path binary, milliseconds timeout)
    : binary_(std::move(binary)), timeout_(timeout), deadline_(deadline_in(timeout)), output_(make_output()),
      qmp_(executor, client_options(binary_, timeout)) {}

QemuProbe::~QemuProbe() {
  if (process_) process_->send_signal(SIGKILL);
}

asio::awaitable<QemuProbe> QemuProbe::start(std::filesystem::path binary, std::vector<std::string> arguments,
                                            milliseconds timeout) {
  const auto executor = co_await asio::this_coro::executor;
  QemuProbe probe(executor, std::move(binary), timeout);
  auto [ours, its] = unix_socket_pair();
  std::vector<std::string> argv{probe.binary_.native()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  for (const char* argument : {"-S", "-nodefaults", "-no-user-config", "-display", "none", "-chardev"})
    argv.emplace_back(argument);
  argv.push_back(fmt::format("socket,id=control,fd={}", first_inherited_fd));
  for (const char* argument : {"-mon", "chardev=control,mode=control"}) argv.emplace_back(argument);
  probe.spawn(executor, std::move(argv), std::move(its));

  std::optional<Error> failure;
  try {
    co_await probe.qmp_.connect(std::move(ours));
  } catch (const Error& error) {
    failure = error;
  }
  if (failure) co_await probe.fail(*failure);
  co_return probe;
}

void QemuProbe::spawn(const asio::any_io_executor& executor, std::vector<std::string> argv, FileDescriptor monitor) {
  SpawnOptions options;
  options.argv = std::move(argv);
  options.inherited = {monitor.get()};
  options.output = output_.get();
  try {
    process_ = std::make_unique<Process>(Process::spawn(executor, options));
  } catch (const std::system_error& error) {
    throw launch_failed(binary_, "it cannot be executed: " + error.code().message(), {});
  }
  // That QEMU aborts may be the answer; it is no reason to leave a core file somewhere.
  const rlimit no_core{0, 0};
  ::prlimit(process_->pid(), RLIMIT_CORE, &no_core, nullptr);
}

ExecuteOptions QemuProbe::within_deadline() const {
  ExecuteOptions options;
  options.timeout = std::chrono::duration_cast<milliseconds>(deadline_ - std::chrono::steady_clock::now());
  return options;
}

asio::awaitable<Json> QemuProbe::execute(std::string command, Json arguments) {
  std::optional<Error> failure;
  try {
    ExecuteOptions options = within_deadline();
    Json reply = co_await qmp_.execute(std::move(command), std::move(arguments), std::move(options));
    co_return reply;
  } catch (const Error& error) {
    failure = error;
  }
  co_await fail(*failure);
  co_return Json{}; // not reached
}

asio::awaitable<std::string> QemuProbe::refusal(std::string command, Json arguments) {
  std::optional<Error> failure;
  try {
    ExecuteOptions options = within_deadline();
    co_await qmp_.execute(std::move(command), std::move(arguments), std::move(options));
    co_return std::string();
  } catch (const Error& error) {
    if (error.code() == errc::command_failed) co_return error.diagnostics().server_text;
    failure = error;
  }
  co_await fail(*failure);
  co_return std::string(); // not reached
}

asio::awaitable<void> QemuProbe::end() {
  // A script that runs QEMU as its child would be killed in its place, and QEMU stay for ever.
  try {
    ExecuteOptions briefly;
    briefly.timeout = quit_timeout;
    co_await qmp_.execute("quit", Json(), std::move(briefly));
  } catch (const Error&) { // it has ended, or does not answer
  }
  qmp_.close();
  process_->send_signal(SIGKILL);
  co_await process_->wait_until(deadline_in(exit_timeout));
}

/// Throws what became of QEMU after `cause`, for which the reason is mostly that it has ended.
asio::awaitable<void> QemuProbe::fail(Error cause) {
  std::string detail;
  if (cause.code() == errc::timed_out) {
    detail = fmt::format("QEMU has not answered within {} s", std::chrono::duration<double>(timeout_).count());
  } else if (cause.code() == errc::disconnected || cause.code() == errc::interrupted) {
    const auto how = co_await process_->wait_until(deadline_in(exit_timeout));
    if (!how)
      detail = "QEMU has closed its monitor";
    else if (how->signal)
      detail = "QEMU was " + how->describe();
    else
      detail = "QEMU ended with " + how->describe();
  } else {
    detail = cause.diagnostics().detail;
  }
  co_await end();
  std::string text = cause.diagnostics().server_text;
  if (text.empty()) text = printed();
  throw launch_failed(binary_, std::move(detail), std::move(text));
}

std::string QemuProbe::printed() const {
  // The position is QEMU's, too: all descriptors for one open file share it.
  const off_t size = ::lseek(output_.get(), 0, SEEK_CUR);
  std::string text(size > 0 ? static_cast<std::size_t>(size) : 0, '\0');
  const ssize_t count = ::pread(output_.get(), text.data(), text.size(), 0);
  text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return tail_of(text);
}

} // namespace qemuctl::detail
