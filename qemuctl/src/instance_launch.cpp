// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "instance_impl.hpp"
#include "launch_resources.hpp"
#include "unix_socket.hpp"

#include <qemuctl/command_line.hpp>
#include <qemuctl/launch_plan.hpp>

#include <asio/this_coro.hpp>
#include <fmt/format.h>

#include <csignal>
#include <exception>
#include <system_error>

namespace qemuctl {
namespace {

/// How long QEMU may take to be gone after it has closed its control channel.
constexpr std::chrono::milliseconds exit_timeout{5'000};

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
  if (diagnostics.server_text.empty()) diagnostics.advice = "QEMU printed nothing.";
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
  // Everything that can be found wrong without a process, before there is one.
  LaunchPlan plan = co_await plan_launch(std::move(config));
  if (options.on_warning)
    for (const std::string& warning : plan.warnings) options.on_warning(warning);
  co_return co_await launch(std::move(plan), std::move(options));
}

asio::awaitable<Instance> Instance::launch(LaunchPlan plan, LaunchOptions options) {
  const auto executor = co_await asio::this_coro::executor;
  const VmConfig& vm = plan.config;

  LaunchGuard guard;
  guard.files.emplace(vm.socket_dir, vm.name);
  detail::VmFiles& files = *guard.files;
  FileDescriptor log = files.open_log();

  // Sockets are made here and inherited: QEMU is ready when it answers, so nothing waits for a file to appear.
  auto [control, its_control] = detail::unix_socket_pair();
  detail::LaunchResources resources(executor, files);
  CommandLineContext context;
  context.accel = plan.accel;
  context.paused = options.paused;
  context.control_fd = resources.inherit(std::move(its_control));
  context.monitor_fd = resources.inherit(files.listen(files.monitor_path()));
  std::vector<FileDescriptor> serials = detail::open_sockets(vm, resources, options.connect_serials);
  co_await detail::open_network_sockets(vm, resources);
  detail::open_taps(vm, resources);
  detail::open_secrets(vm, resources);
  detail::make_efi_vars(vm);
  detail::start_tpm(vm, resources, log.get());
  detail::start_shares(vm, resources, log.get());
  context.descriptors = resources.descriptors();
  std::vector<std::string> argv = build_command_line(vm, plan.qemu, context);
  resources.inherit_borrowed(files.lock_fd());

  QmpClientOptions qmp_options = options.qmp;
  qmp_options.greeting_timeout = options.start_timeout;
  if (qmp_options.subject.empty()) qmp_options.subject = "VM " + vm.name;
  QmpClient qmp(executor, std::move(qmp_options));
  EventSubscription state_events = qmp.subscribe(changes_run_state);

  detail::SpawnOptions spawn;
  spawn.argv = argv;
  spawn.inherited = resources.inherited();
  spawn.output = log.get();
  try {
    guard.process = detail::Process::spawn(executor, spawn);
  } catch (const std::system_error& error) {
    fail_launch(vm.name, files.log_path(), files.log_offset(),
                fmt::format("{} cannot be executed: {}", argv.front(), error.code().message()));
  }
  // With our copies closed, the death of QEMU ends every connection to it.
  resources.close_ours();
  co_await await_started(qmp, std::move(control), guard, vm.name, options.start_timeout);

  auto impl = std::make_shared<Impl>(executor, std::move(qmp));
  files.hand_over();
  impl->process = std::move(guard.process);
  impl->files = std::move(guard.files);
  guard.process.reset();
  guard.files.reset();
  impl->name = vm.name;
  impl->monitor = UnixPath{impl->files->monitor_path()};
  impl->log_file = impl->files->log_path();
  impl->accelerator = plan.accel;
  impl->argv = std::move(argv);
  impl->serials = std::move(serials);
  impl->helpers = resources.take_helpers();
  impl->kill_on_destruction = true; // a launch that is cancelled now must leave nothing behind either
  Instance instance(impl);
  co_await impl->start(std::move(state_events));
  impl->kill_on_destruction = options.kill_on_destruction;
  co_return instance;
}

} // namespace qemuctl
