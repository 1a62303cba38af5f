// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "accelerator.hpp"
#include "instance_impl.hpp"

#include <qemuctl/qemu_info.hpp>

#include <asio/this_coro.hpp>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <random>
#include <system_error>

namespace qemuctl {
namespace {

/// How long QEMU may take to be gone after it has closed its control channel.
constexpr std::chrono::milliseconds exit_timeout{5'000};

std::string random_name() {
  return fmt::format("vm-{:08x}", std::random_device{}());
}

/// What QEMU inherits, in the order of its descriptor numbers.
struct Inherited {
  std::vector<FileDescriptor> ours; ///< closed here once QEMU has its copies
  std::vector<int> numbers;

  int add(FileDescriptor fd) {
    ours.push_back(std::move(fd));
    return add_borrowed(ours.back().get());
  }
  int add_borrowed(int fd) {
    numbers.push_back(fd);
    return detail::first_inherited_fd + static_cast<int>(numbers.size()) - 1;
  }
};

FileDescriptor connect_to(const std::filesystem::path& path) {
  FileDescriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  if (!fd || ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw std::system_error(errno, std::system_category(), "connect to " + path.string());
  return fd;
}

/// Undoes a launch that does not reach its end, whether by an error or because it was cancelled.
struct LaunchGuard {
  std::optional<detail::Process> process;
  std::optional<detail::VmFiles> files;
  ~LaunchGuard() {
    if (files) files->remove(); // while our QEMU lives the name is ours
    if (process) process->send_signal(SIGKILL);
  }
};

[[noreturn]] void fail_launch(const std::string& name, const std::filesystem::path& log, std::uint64_t log_offset,
                              std::string detail) {
  Diagnostics diagnostics;
  diagnostics.operation = "launch";
  diagnostics.subject = "VM " + name;
  diagnostics.detail = std::move(detail);
  diagnostics.server_text = detail::last_lines(log, log_offset);
  if (diagnostics.server_text.empty()) diagnostics.advice = "QEMU printed nothing; its log is " + log.string() + ".";
  throw Error(errc::launch_failed, std::move(diagnostics));
}

/// Waits until QEMU's main loop has answered.
asio::awaitable<void> await_started(QmpClient& qmp, FileDescriptor control, LaunchGuard& guard, std::string name,
                                    std::chrono::milliseconds timeout) {
  const detail::VmFiles& files = *guard.files;
  std::exception_ptr failure;
  bool silent = false;
  try {
    co_await qmp.connect(std::move(control));
    co_return;
  } catch (const Error& error) {
    silent = error.code() == errc::timed_out;
    failure = std::current_exception();
  }
  if (silent)
    fail_launch(name, files.log_path(), files.log_offset(),
                fmt::format("QEMU was not ready within {} ms and has been killed", timeout.count()));
  const auto exit = co_await guard.process->wait_until(detail::deadline_in(exit_timeout));
  if (!exit) std::rethrow_exception(failure);
  fail_launch(name, files.log_path(), files.log_offset(), "QEMU ended before it was ready (" + exit->describe() + ")");
}

} // namespace

asio::awaitable<Instance> Instance::launch(VmConfig config, LaunchOptions options) {
  const auto executor = co_await asio::this_coro::executor;
  if (config.name.empty()) config.name = random_name();
  // Absolute, so that the paths handed out stay right whatever becomes of the working directory.
  config.socket_dir =
      std::filesystem::absolute(config.socket_dir.empty() ? default_socket_dir() : config.socket_dir).string();

  // Everything that can be found wrong without a process, before there is one.
  const std::filesystem::path binary = find_qemu(config.arch, config.qemu_path);
  const QemuInfo qemu = co_await probe_qemu(binary);
  CommandLineContext context;
  context.accel = config.machine.accel;
  if (context.accel == "auto") context.accel = qemu.accelerators.empty() ? "tcg" : qemu.accelerators.front();
  build_command_line(config, qemu, context);
  check_files(config);
  const detail::AcceleratorChoice choice = co_await detail::choose_accelerator(config, qemu);
  if (!choice.warning.empty() && options.on_warning) options.on_warning(choice.warning);

  LaunchGuard guard;
  guard.files.emplace(config.socket_dir, config.name);
  detail::VmFiles& files = *guard.files;

  // Sockets are made here and inherited: QEMU is ready when it answers, so nothing waits for a file to appear.
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    throw std::system_error(errno, std::system_category(), "launch VM " + config.name);
  FileDescriptor control(pair[0]);
  Inherited inherited;
  context.accel = choice.accel;
  context.paused = options.paused;
  context.control_fd = inherited.add(FileDescriptor(pair[1]));
  context.monitor_fd = inherited.add(files.listen(files.monitor_path()));
  std::vector<FileDescriptor> serials;
  for (std::size_t i = 0; i < config.serials.size(); ++i) {
    context.serial_fds.push_back(-1);
    serials.emplace_back();
    if (config.serials[i].type != "socket") continue;
    const std::string path = serial_socket_path(config, i);
    context.serial_fds.back() = inherited.add(files.listen(path));
    if (options.connect_serials) serials.back() = connect_to(path);
  }
  std::vector<std::string> argv = build_command_line(config, qemu, context);

  FileDescriptor log = files.open_log();
  inherited.add_borrowed(files.lock_fd());
  QmpClientOptions qmp_options = options.qmp;
  qmp_options.greeting_timeout = options.start_timeout;
  if (qmp_options.subject.empty()) qmp_options.subject = "VM " + config.name;
  QmpClient qmp(executor, std::move(qmp_options));
  EventSubscription state_events = qmp.subscribe(changes_run_state);

  detail::SpawnOptions spawn;
  spawn.argv = argv;
  spawn.inherited = inherited.numbers;
  spawn.output = log.get();
  try {
    guard.process = detail::Process::spawn(executor, spawn);
  } catch (const std::system_error& error) {
    fail_launch(config.name, files.log_path(), files.log_offset(),
                fmt::format("{} can not be executed: {}", argv.front(), error.code().message()));
  }
  // With our copies closed, the death of QEMU ends every connection to it.
  inherited.ours.clear();
  co_await await_started(qmp, std::move(control), guard, config.name, options.start_timeout);

  auto impl = std::make_shared<Impl>(executor, std::move(qmp));
  files.hand_over();
  impl->process = std::move(guard.process);
  impl->files = std::move(guard.files);
  guard.process.reset();
  guard.files.reset();
  impl->name = config.name;
  impl->monitor = UnixPath{impl->files->monitor_path()};
  impl->log_file = impl->files->log_path();
  impl->accelerator = choice.accel;
  impl->argv = std::move(argv);
  impl->serials = std::move(serials);
  impl->kill_on_destruction = true; // a launch that is cancelled now must leave nothing behind either
  Instance instance(impl);
  co_await impl->start(std::move(state_events));
  impl->kill_on_destruction = options.kill_on_destruction;
  co_return instance;
}

} // namespace qemuctl
