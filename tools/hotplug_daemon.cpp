// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "hotplug_daemon.hpp"

#include "daemon_report.hpp"
#include "discovery.hpp"
#include "file_watch.hpp"
#include "service_manager.hpp"
#include "sleep_watch.hpp"
#include "tasks.hpp"

#include <hotplug/api_server.hpp>
#include <hotplug/config.hpp>
#include <hotplug/engine.hpp>
#ifdef QEMUCTL_REST
  #include <hotplug/rest_server.hpp>
#endif
#include <qemuctl/error.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/io_context.hpp>
#include <asio/redirect_error.hpp>
#include <asio/signal_set.hpp>
#include <asio/use_awaitable.hpp>
#include <fmt/core.h>
#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <exception>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace tool {

namespace {

using hotplug::Config;
using hotplug::LogLevel;
using hotplug::ParsedConfig;

constexpr int good = 0, wrong_file = 2;
/// In the order in which they leave their VMs.
constexpr std::array every_kind{hotplug::DeviceKind::usb, hotplug::DeviceKind::input, hotplug::DeviceKind::pci};

ParsedConfig load(const DaemonOptions& options) {
  if (options.config) return hotplug::load_config(*options.config);
  hotplug::VmEntry vm;
  vm.name = qemuctl::detail::inspect_qemu_process(*options.pid).name;
  if (vm.name.empty()) vm.name = fmt::format("pid-{}", *options.pid);
  vm.pid = options.pid;
  ParsedConfig parsed = hotplug::load_rules(*options.rules, vm.name);
  parsed.config.vms.push_back(std::move(vm));
  return parsed;
}

/// The service: the engine, its API, and what the world tells it.
class Daemon {
 public:
  Daemon(DaemonOptions options, ParsedConfig parsed)
      : options_(std::move(options)), loaded_(std::move(parsed.config)), warnings_(std::move(parsed.warnings)),
        signals_(io_, SIGINT, SIGTERM, SIGHUP), engine_(io_.get_executor(), loaded_, engine_options()),
        sleep_(io_.get_executor(), sleep_handlers()), tasks_(io_.get_executor(), [this](std::exception_ptr error) {
          if (!failure_) failure_ = error;
          engine_.stop();
        }) {
#ifdef QEMUCTL_REST
    if (loaded_.general.rest.enable)
      rest_.emplace(io_.get_executor(), engine_, loaded_.general.rest, rest_options(loaded_.general.api));
#endif
    if (loaded_.general.api.enable) api_.emplace(io_.get_executor(), engine_, loaded_.general.api, api_options());
  }

  int run() {
    tasks_.start(watch_signals());
    tasks_.start(watch_files());
    tasks_.start(sleep_.run());
    if (api_) tasks_.start(api_->run());
#ifdef QEMUCTL_REST
    if (rest_) tasks_.start(rest_->run());
#endif
    manager_.start(io_.get_executor());
    asio::co_spawn(io_, serve(), [this](std::exception_ptr error) {
      if (error && !failure_) failure_ = error;
      signals_.cancel();
      tasks_.cancel();
      manager_.stop();
    });
    io_.run();
    if (failure_) std::rethrow_exception(failure_);
    return good;
  }

 private:
  asio::awaitable<void> serve() {
    const std::vector<hotplug::VmState> vms = engine_.vms();
    log(LogLevel::info, fmt::format("serving {}", summary(vms.size(), loaded_)));
    manager_.ready();
    co_await engine_.run();
  }

  asio::awaitable<void> watch_signals() {
    for (;;) {
      std::error_code ec;
      const int signal = co_await signals_.async_wait(asio::redirect_error(asio::use_awaitable, ec));
      if (ec) co_return;
      if (signal == SIGHUP) {
        reload_or_report();
        continue;
      }
      if (ending_) { // a second time: at once
        engine_.stop();
        co_return;
      }
      ending_ = true;
      manager_.stopping();
      tasks_.start(end());
    }
  }

  asio::awaitable<void> end() {
    std::string problem;
    try {
      if (options_.detach_on_exit) co_await engine_.detach_all();
    } catch (const qemuctl::Error& error) {
      problem = error.what();
    }
    if (!problem.empty()) log(LogLevel::error, problem);
    engine_.stop();
  }

  /// Controllers last, because devices are behind them.
  asio::awaitable<void> before_sleep() {
    log(LogLevel::info, "the host is about to sleep");
    for (const hotplug::DeviceKind kind : every_kind) {
      std::string problem;
      try {
        co_await engine_.suspend(kind);
      } catch (const qemuctl::Error& error) {
        problem = error.what();
      }
      if (!problem.empty()) log(LogLevel::error, problem);
    }
  }

  asio::awaitable<void> after_sleep() {
    log(LogLevel::info, "the host is awake");
    for (std::size_t i = every_kind.size(); i-- > 0;) {
      std::string problem;
      try {
        co_await engine_.resume(every_kind[i]);
      } catch (const qemuctl::Error& error) {
        problem = error.what();
      }
      if (!problem.empty()) log(LogLevel::error, problem);
    }
  }

  SleepWatch::Handlers sleep_handlers() {
    SleepWatch::Handlers handlers;
    handlers.before = [this] { return before_sleep(); };
    handlers.after = [this] { return after_sleep(); };
    handlers.log = [this](const std::string& text) { log(LogLevel::debug, text); };
    handlers.warn = [this](const std::string& text) { log(LogLevel::warning, text); };
    return handlers;
  }

  asio::awaitable<void> watch_files() {
    using namespace asio::experimental::awaitable_operators;
    hotplug::detail::FileWatch file(io_.get_executor(), options_.file());
    std::optional<hotplug::detail::FileWatch> vms;
    for (std::string folder;;) {
      if (const std::string& now = loaded_.general.rest.vm_dir; now != folder) {
        folder = now;
        vms.reset();
        if (!folder.empty()) vms.emplace(io_.get_executor(), folder + "/");
      }
      if (vms)
        co_await (file.changed() || vms->changed());
      else
        co_await file.changed();
      reload_or_report();
    }
  }

  /// Also with the same configuration, because tokens are in files of their own.
  void reload() {
    ParsedConfig parsed = load(options_);
    for (const std::string& warning : parsed.warnings)
      if (std::ranges::find(warnings_, warning) == warnings_.end()) log(LogLevel::warning, warning);
    warnings_ = std::move(parsed.warnings);
    const hotplug::Rules would_be_refused(parsed.config); // before anything is changed
    const hotplug::GeneralConfig &old = loaded_.general, &fresh = parsed.config.general;
    reload_servers(old, fresh);
    if (parsed.config == loaded_) return;
    std::string later;
    const auto needs_restart = [&](const char* key, bool changed) {
      if (changed) later += fmt::format("{}{}", later.empty() ? "" : ", ", key);
    };
    needs_restart("general.api.enable", !api_ && fresh.api.enable);
    needs_restart("general.rest.enable", fresh.rest.enable != old.rest.enable);
    needs_restart("general.ovmfCode", fresh.ovmf_code != old.ovmf_code);
    needs_restart("general.ovmfVars", fresh.ovmf_vars != old.ovmf_vars);
    if (!later.empty()) log(LogLevel::warning, later + ": take effect when the service is started again");
    engine_.reload(parsed.config);
    loaded_ = std::move(parsed.config);
    log(LogLevel::info, "the configuration has been reloaded");
    if (api_) api_->announce_reload();
  }

  /// Both or none of them.
  void reload_servers([[maybe_unused]] const hotplug::GeneralConfig& old, const hotplug::GeneralConfig& fresh) {
    if (api_) api_->reload(fresh.api);
#ifdef QEMUCTL_REST
    try {
      if (rest_) rest_->reload(fresh.rest, fresh.api.permissions);
    } catch (const qemuctl::Error&) {
      if (api_) api_->reload(old.api);
      throw;
    }
#endif
  }

  void reload_or_report() {
    try {
      reload();
    } catch (const std::exception& error) {
      log(LogLevel::error, fmt::format("the old configuration stays: {}", error.what()));
    }
  }

  hotplug::EngineOptions engine_options() {
    hotplug::EngineOptions result;
    result.attach_connected = options_.attach_connected;
    result.log = log_handler();
    return result;
  }

  hotplug::ApiServerOptions api_options() {
    hotplug::ApiServerOptions result;
    result.log = log_handler();
    result.reload = [this] { reload(); };
    result.version = QEMUCTL_VERSION;
    result.ovmf_code = loaded_.general.ovmf_code;
    result.ovmf_vars = loaded_.general.ovmf_vars;
    return result;
  }

#ifdef QEMUCTL_REST
  hotplug::RestServerOptions rest_options(const hotplug::ApiConfig& api) {
    hotplug::RestServerOptions result;
    result.log = log_handler();
    result.version = QEMUCTL_VERSION;
    result.permissions = api.permissions;
    return result;
  }
#endif

  hotplug::LogHandler log_handler() {
    return [this](LogLevel level, std::string_view text) { log(level, text); };
  }

  void log(LogLevel level, std::string_view text) const {
    if (level != LogLevel::debug || options_.debug) manager_.log(level, text);
  }

  DaemonOptions options_;
  Config loaded_;
  std::vector<std::string> warnings_; ///< of that, which have been told
  ServiceManager manager_;
  asio::io_context io_{1};
  asio::signal_set signals_;
  hotplug::Engine engine_;
  SleepWatch sleep_;
  std::optional<hotplug::ApiServer> api_;
#ifdef QEMUCTL_REST
  std::optional<hotplug::RestServer> rest_;
#endif
  hotplug::detail::Tasks tasks_;
  bool ending_ = false;
  std::exception_ptr failure_;
};

/// Each client of the API is a descriptor.
void allow_many_descriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = std::max(limit.rlim_cur, std::min<rlim_t>(limit.rlim_max, 16'384));
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

} // namespace

int run_daemon(DaemonOptions options) {
  ParsedConfig parsed;
  try {
    parsed = load(options);
  } catch (const qemuctl::Error& error) {
    fmt::print(stderr, "qemuctl-hotplugd: {}\n", error.what());
    return wrong_file;
  }
#ifndef QEMUCTL_REST
  if (parsed.config.general.rest.enable)
    parsed.warnings.emplace_back("general.rest: has no effect: this program was built without QEMUCTL_REST");
#endif
  for (const std::string& warning : parsed.warnings) fmt::print(stderr, "qemuctl-hotplugd: warning: {}\n", warning);
  if (options.check) return check(options.file(), parsed.config);
  if (!options.explain.empty()) return explain(options.explain, parsed.config);
  allow_many_descriptors();
  ::malloc_trim(0); // reading the configuration took more than it left
  return Daemon(std::move(options), std::move(parsed)).run();
}

} // namespace tool
