// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "runner.hpp"

#include "serial_port.hpp"

#include <qemuctl/command_line.hpp>
#include <qemuctl/error.hpp>
#include <qemuctl/launch_plan.hpp>
#include <qemuctl/qemu_info.hpp>
#include <qemuctl/vm_config_json.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/error.hpp>
#include <asio/redirect_error.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <fmt/core.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <utility>

namespace tool {

namespace {

using namespace std::chrono_literals;
using qemuctl::Instance;
using qemuctl::VmConfig;
using qemuctl::VmStatus;

/// A guest needs less than this to shut down; after it the user is told what else to do.
constexpr auto usual_shutdown_time = 30s;
/// From the end of a monitor to the end of its QEMU.
constexpr auto exit_time = 1s;
/// For what the guest has written before it ended, when stdout is slow.
constexpr auto console_drain_time = 5s;
constexpr auto output_flush_time = 2s;
/// A QEMU that ends may still have a card for half a minute, and its driver takes its time.
constexpr auto give_back_time = 60s;

/// Whether this program can be the client of the port. One that QEMU connects to has its peer already.
bool can_be_console(const qemuctl::SerialConfig& port) {
  return port.type == "socket" && port.server;
}

/// The serial port that becomes the console: the first that QEMU serves on a socket. Adds one when there is none.
std::size_t choose_console_port(VmConfig& config) {
  for (std::size_t i = 0; i < config.serials.size(); ++i)
    if (can_be_console(config.serials[i])) return i;
  config.serials.emplace_back();
  return config.serials.size() - 1;
}

/// Adds a signal unless it is ignored: who starts a program under `nohup`, or in the background of a script, wants it
/// to stay so.
void add_unless_ignored(asio::signal_set& signals, int signal) {
  struct sigaction action {};
  if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) return;
  signals.add(signal);
}

/// By this library or by Asio, whose code does not compare equal to the other one in 1.22.
bool is_canceled(const std::system_error& error) {
  return error.code() == std::errc::operation_canceled || error.code() == asio::error::operation_aborted;
}

} // namespace

Runner::Runner(RunOptions options)
    : options_(std::move(options)), stdout_(io_.get_executor(), STDOUT_FILENO),
      stderr_(io_.get_executor(), STDERR_FILENO), signals_(io_), patience_(io_),
      hotplug_(io_.get_executor(), hotplug_output()) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) add_unless_ignored(signals_, signal);
  signals_.add(SIGCONT);
}

RunHotplug::Output Runner::hotplug_output() {
  return {.news =
              [this](std::string_view text) {
                if (!options_.detach) print(text);
              },
          .warning = [this](std::string_view text) { say(text); }};
}

ExitStatus Runner::run() {
  asio::co_spawn(io_, watch_signals(), asio::detached);
  const auto on_end = [this](const std::exception_ptr& failure, ExitStatus status) {
    exit_status_ = failure ? report(failure) : status;
    finish();
  };
  asio::co_spawn(io_, do_what_was_asked(), asio::bind_cancellation_slot(cancel_.slot(), on_end));
  io_.run();

  stdout_.queue().flush(output_flush_time);
  if (const std::error_code error = stdout_.queue().error(); error && error != std::errc::broken_pipe) {
    say(fmt::format("cannot write to stdout: {}", error.message()));
    if (options_.dry_run) exit_status_ = ExitStatus::failed;
  }
  stderr_.queue().flush(output_flush_time);
  // The result stands: a Ctrl-C that comes now must not turn it into a death by a signal.
  sigset_t late;
  ::sigemptyset(&late);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaddset(&late, signal);
  ::sigprocmask(SIG_BLOCK, &late, nullptr);
  return exit_status_;
}

/// Ends everything that keeps the io_context busy.
void Runner::finish() {
  phase_ = Phase::ended;
  finished_ = true;
  hotplug_.stop();
  vm_.reset();
  if (console_) console_->close();
  patience_.cancel();
  signals_.cancel();
  stdout_.queue().stop_waiting();
  stderr_.queue().stop_waiting();
}

asio::awaitable<ExitStatus> Runner::do_what_was_asked() {
  return is_attached() ? attach() : launch();
}

asio::awaitable<ExitStatus> Runner::launch() {
  VmConfig config = qemuctl::load_vm_config(*options_.vm_file);
  if (!options_.name.empty()) config.name = options_.name;
  std::size_t console_port = 0;
  if (options_.console) {
    const std::size_t ports = config.serials.size();
    console_port = choose_console_port(config);
    if (config.serials.size() > ports) say_if_verbose("added a serial port for the console");
  }
  const auto ports = config.serials;
  if (options_.hotplug)
    hotplug_.read_rules(*options_.hotplug, config.name);
  else
    hotplug_.read_rules(config, *options_.vm_file);
  if (hotplug_.has_rules() && !config.hotplug) config.hotplug.emplace();

  phase_ = Phase::planning;
  const bool plan_only = options_.check || options_.dry_run;
  if (hotplug_.has_rules() && config.hotplug->at_start && !plan_only)
    config = co_await hotplug_.with_start_devices(std::move(config));
  qemuctl::LaunchPlan plan = co_await qemuctl::plan_launch(std::move(config));
  for (const std::string& warning : plan.warnings) say(fmt::format("warning: {}", warning));
  if (plan_only) co_return show_plan(plan);

  phase_ = Phase::starting;
  qemuctl::LaunchOptions launch_options;
  launch_options.connect_serials = options_.console;
  Instance vm = co_await Instance::launch(std::move(plan), std::move(launch_options));
  vm_ = std::make_shared<Instance>(std::move(vm));
  phase_ = Phase::following;

  if (options_.detach) {
    introduce();
    if (hotplug_.has_rules()) print(fmt::format("engine: {}", hotplug_.hand_over(*vm_)));
    co_return ExitStatus::good;
  }
  if (std::exchange(leaving_, false)) { // the VM had started when the launch was to be cancelled
    co_await asio::this_coro::reset_cancellation_state();
    on_signal(SIGTERM);
  }
  std::exception_ptr failure;
  try {
    std::optional<qemuctl::FileDescriptor> serial;
    if (options_.console) {
      // The others would be stuck as soon as their buffers are full, so they are disconnected.
      for (std::size_t i = 0; i < ports.size(); ++i) {
        if (!can_be_console(ports[i])) continue;
        qemuctl::FileDescriptor port = vm_->take_serial(i);
        if (i == console_port) serial = std::move(port);
      }
    }
    co_return co_await follow(std::move(serial));
  } catch (...) {
    failure = std::current_exception();
  }
  // It was to run in the foreground, and nothing keeps it there.
  if (vm_->status().process_alive && !leaving_) {
    say(fmt::format("{} cannot be followed, so it is ended", vm_->name()));
    co_await vm_->stop(0ms);
  }
  std::rethrow_exception(failure);
}

ExitStatus Runner::show_plan(const qemuctl::LaunchPlan& plan) {
  if (options_.check) {
    print(fmt::format("{}: VM {} can be launched with {} (version {}, {})", options_.vm_file->string(),
                      plan.config.name, plan.qemu.path.string(), qemuctl::to_string(plan.qemu.version), plan.accel));
    return ExitStatus::good;
  }
  print(qemuctl::quote_for_shell(plan.command_line));
  std::error_code unreadable;
  if (!std::filesystem::exists(plan.config.socket_dir, unreadable))
    say(fmt::format("warning: the folder {} does not exist yet; QEMU needs it", plan.config.socket_dir));
  return ExitStatus::good;
}

asio::awaitable<ExitStatus> Runner::attach() {
  qemuctl::AttachOptions attach_options;
  attach_options.on_warning = [this](std::string_view text) { say(fmt::format("warning: {}", text)); };
  if (options_.attach_pid) {
    phase_ = Phase::starting;
    Instance vm = co_await Instance::attach_by_pid(*options_.attach_pid, std::move(attach_options));
    vm_ = std::make_shared<Instance>(std::move(vm));
  } else {
    qemuctl::MonitorAddress address = qemuctl::parse_monitor_address(*options_.attach);
    phase_ = Phase::starting;
    Instance vm = co_await Instance::attach(std::move(address), std::move(attach_options));
    vm_ = std::make_shared<Instance>(std::move(vm));
  }
  if (options_.hotplug) hotplug_.read_rules(*options_.hotplug, vm_->name());
  std::optional<qemuctl::FileDescriptor> serial;
  if (options_.console) {
    const qemuctl::Json chardevs = co_await vm_->execute("query-chardev");
    serial = connect_serial_port(first_serial_port(chardevs));
  }
  co_return co_await follow(std::move(serial));
}

asio::awaitable<ExitStatus> Runner::follow(std::optional<qemuctl::FileDescriptor> serial) {
  phase_ = Phase::following;
  qemuctl::StatusSubscription statuses = vm_->subscribe_status();
  if (options_.verbose) asio::co_spawn(io_, print_events(vm_->subscribe_events()), asio::detached);
  introduce();
  if (hotplug_.has_rules()) hotplug_.follow(vm_);
  if (serial) connect_console(std::move(*serial));

  for (;;) {
    const std::optional<VmStatus> status = co_await statuses.next();
    if (!status) break;
    last_status_ = *status;
    if (!status->process_alive) break;
    print_status(*status);
  }
  phase_ = Phase::ended;
  patience_.cancel();
  if (console_) {
    const bool complete = co_await console_->wait_until_drained(console_drain_time);
    if (!complete) say("the end of the guest's output is missing: stdout does not take it");
    console_->close();
  }
  print_status(last_status_);
  if (!last_status_.process_alive && !leaving_ && !co_await hotplug_.wait_until_given_back(give_back_time))
    say("some devices are not back with the host yet; an engine that runs later gives them back");
  co_return conclude(last_status_);
}

ExitStatus Runner::conclude(const VmStatus& status) {
  // A guest may still have done it when it was about to be forced.
  if (requests_ > 1 && status.reason != "guest-shutdown") return ExitStatus::forced;
  if (status.state == qemuctl::State::shutdown) return ExitStatus::good;
  std::string text = status.state == qemuctl::State::crashed
                         ? fmt::format("{} has crashed or was killed", vm_->name())
                         : fmt::format("the connection to {} is lost; whether it runs is not known", vm_->name());
  if (!status.reason.empty()) text += fmt::format(": {}", status.reason);
  std::error_code ec;
  if (std::filesystem::exists(vm_->log_file(), ec))
    text += fmt::format("; what QEMU said is in {}", vm_->log_file().string());
  say(text);
  return ExitStatus::failed;
}

asio::awaitable<void> Runner::print_events(qemuctl::EventSubscription events) {
  for (;;) {
    const std::optional<qemuctl::Event> event = co_await events.next();
    if (!event) co_return;
    if (event->lost > 0) say(fmt::format("{} events are missing here: there were too many", event->lost));
    const std::string data = event->data.is_null() ? "{}" : event->data.dump();
    print(fmt::format("event: {} {}", event->name, data));
  }
}

asio::awaitable<void> Runner::watch_signals() {
  while (!finished_) { // which cannot cancel a wait that a signal has just ended
    std::error_code ec;
    const int signal = co_await signals_.async_wait(asio::redirect_error(asio::use_awaitable, ec));
    if (ec) co_return;
    on_signal(signal);
  }
}

void Runner::on_signal(int signal) {
  if (signal == SIGCONT) {
    if (console_) console_->restore_raw_mode();
    return;
  }
  if (is_attached() || phase_ != Phase::following) return leave();
  // A terminal that goes away tells it twice: itself, and by its shell. That is nobody's wish to force anything.
  if (signal == SIGHUP && requests_ > 0) return;
  ++requests_;
  spawn_request(requests_ == 1 ? ask_to_shut_down() : force());
}

void Runner::leave() {
  leaving_ = true;
  cancel_.emit(asio::cancellation_type::terminal);
}

/// Apart from the coroutine that follows the VM: a request to a QEMU that does not answer must not keep the next one,
/// or the VM's end, from being noticed.
void Runner::spawn_request(asio::awaitable<void> request) {
  asio::co_spawn(io_, std::move(request), [this](const std::exception_ptr& failure) {
    // A VM that has ended meanwhile has done what was wanted.
    if (failure && vm_ && vm_->status().process_alive) report(failure);
  });
}

asio::awaitable<void> Runner::ask_to_shut_down() {
  if (phase_ != Phase::following) co_return;
  const qemuctl::State state = vm_->state();
  if (state == qemuctl::State::shutdown) { // by an option of QEMU's that keeps it
    say(fmt::format("the guest of {} has ended; ending QEMU", vm_->name()));
    co_await vm_->stop(0ms);
    co_return;
  }
  if (state == qemuctl::State::running) {
    say(fmt::format("asking {} to shut down; press Ctrl-C again to force it", vm_->name()));
  } else {
    say(fmt::format("asking {} to shut down; it is {}, so it may not react: press Ctrl-C again to force it",
                    vm_->name(), qemuctl::to_string(state)));
  }
  std::exception_ptr failure;
  try {
    co_await vm_->shutdown();
  } catch (...) {
    failure = std::current_exception();
  }
  if (phase_ != Phase::following) co_return;
  // A QEMU that ends closes its monitor a moment before it is gone, and then there is nothing to report.
  patience_.expires_after(failure ? exit_time : usual_shutdown_time);
  std::error_code ec;
  co_await patience_.async_wait(asio::redirect_error(asio::use_awaitable, ec));
  if (ec || phase_ != Phase::following) co_return;
  if (failure) std::rethrow_exception(failure);
  if (requests_ == 1) say(fmt::format("{} has not shut down yet; press Ctrl-C again to force it", vm_->name()));
}

asio::awaitable<void> Runner::force() {
  if (phase_ != Phase::following) co_return;
  patience_.cancel();
  if (requests_ > 2) {
    say(fmt::format("killing {}", vm_->name()));
    co_await vm_->force_stop();
    co_return;
  }
  // Not killed at once: a QEMU that quits writes what it holds of its disk images.
  say(fmt::format("forcing {} to end; press Ctrl-C again to kill it at once", vm_->name()));
  co_await vm_->stop(0ms);
}

void Runner::connect_console(qemuctl::FileDescriptor serial) {
  Console::Handlers handlers;
  handlers.on_leave = [this] { on_console_left(); };
  handlers.on_message = [this](std::string_view text) { say(text); };
  console_.emplace(io_.get_executor(), std::move(serial), stdout_.queue(), std::move(handlers));
  if (console_->is_interactive())
    say(fmt::format("connected to the serial port of {}; leave with Ctrl-]", vm_->name()));
  else
    say_if_verbose(fmt::format("connected to the serial port of {}", vm_->name()));
  console_->start();
}

void Runner::on_console_left() {
  if (is_attached()) return leave();
  say(fmt::format("left the console; {} goes on, Ctrl-C shuts it down", vm_->name()));
}

void Runner::introduce() {
  print(fmt::format("name: {}", vm_->name()));
  if (vm_->pid()) print(fmt::format("pid: {}", *vm_->pid()));
  print(fmt::format("socket: {}", qemuctl::to_string(vm_->monitor())));
  const qemuctl::QmpGreeting& qemu = vm_->qemu();
  say_if_verbose(fmt::format("QEMU {}.{}.{} {}", qemu.major, qemu.minor, qemu.micro, qemu.package));
  if (!vm_->accelerator().empty()) say_if_verbose(fmt::format("accelerator: {}", vm_->accelerator()));
  if (!vm_->log_file().empty()) say_if_verbose(fmt::format("log: {}", vm_->log_file().string()));
  if (!vm_->command_line().empty())
    say_if_verbose(fmt::format("command line: {}", qemuctl::quote_for_shell(vm_->command_line())));
}

void Runner::print_status(const VmStatus& status) {
  const std::string_view state = qemuctl::to_string(status.state);
  const std::string& why = status.reason.empty() && status.run_state != state ? status.run_state : status.reason;
  std::string line = fmt::format("state: {}", state);
  if (!why.empty()) line += fmt::format(" ({})", why);
  if (status.lost > 0) say(fmt::format("{} changes of state are missing here: there were too many", status.lost));
  if (line == last_status_line_) return;
  last_status_line_ = line;
  print(line);
}

/// That the command line or the file is wrong, and not the machine.
bool Runner::is_wrong_input(const std::error_code& code) const {
  using qemuctl::errc;
  if (phase_ == Phase::planning)
    return code == errc::invalid_argument || code == errc::not_supported || code == errc::not_found;
  return phase_ == Phase::reading || (phase_ == Phase::starting && code == errc::invalid_argument);
}

ExitStatus Runner::report(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::system_error& error) {
    if (leaving_ && is_canceled(error)) {
      if (phase_ == Phase::ended) { // the end of the guest's output was waited for
        print_status(last_status_);
        return conclude(last_status_);
      }
      if (!is_attached()) {
        say("interrupted before the VM had started; nothing was left running");
        return ExitStatus::failed;
      }
      say(vm_ ? fmt::format("left {} alone", vm_->name()) : "interrupted");
      return ExitStatus::good;
    }
    say(error.what());
    return is_wrong_input(error.code()) ? ExitStatus::usage : ExitStatus::failed;
  } catch (const std::exception& error) {
    say(error.what());
  } catch (...) {
    say("cannot go on: an unknown error");
  }
  return ExitStatus::failed;
}

void Runner::print(std::string_view text) {
  // With --console stdout belongs to the guest.
  if (options_.console && !options_.dry_run)
    write_to_stderr(text);
  else
    stdout_.write_lines(text);
}

void Runner::say(std::string_view text) {
  write_to_stderr(fmt::format("qemuctl-run: {}", text));
}

void Runner::say_if_verbose(std::string_view text) {
  if (options_.verbose) say(text);
}

void Runner::write_to_stderr(std::string_view text) {
  const bool raw = console_ && console_->is_raw() && stderr_.is_terminal();
  stderr_.write_lines(text, raw ? console_->begin_line() : "", raw);
}

} // namespace tool
