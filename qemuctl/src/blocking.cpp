// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include <qemuctl/blocking.hpp>
#include <qemuctl/error.hpp>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>

#include <csignal>
#include <exception>
#include <future>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

namespace qemuctl::blocking {

namespace {

[[noreturn]] void fail_on_own_thread() {
  Diagnostics diagnostics;
  diagnostics.operation = "call a blocking Instance from its own thread";
  diagnostics.detail = "a callback runs there, and the call would wait for itself";
  diagnostics.advice = "Hand the work to another thread, or use qemuctl::Instance.";
  throw Error(errc::invalid_argument, std::move(diagnostics));
}

/// A thread that no signal is delivered to: the program's other threads decide what to do with those.
template<class Function>
std::thread thread_without_signals(Function function) {
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  std::exception_ptr failure;
  std::thread thread;
  try {
    thread = std::thread(std::move(function));
  } catch (...) {
    failure = std::current_exception();
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (failure) std::rethrow_exception(failure);
  return thread;
}

} // namespace

/// One thread that runs one asynchronous Instance. Every call is a coroutine on that thread and a future here.
struct Instance::Impl {
  /// What the thread uses; it outlives the object when a callback destroys that.
  struct Shared {
    asio::io_context io{1};
    asio::executor_work_guard<asio::io_context::executor_type> work = asio::make_work_guard(io);
    WarningHandler on_warning;
    std::shared_ptr<StatusSubscription> status_loop;
    std::shared_ptr<EventSubscription> event_loop;
    std::optional<qemuctl::Instance> vm;
  };

  explicit Impl(WarningHandler on_warning) {
    shared_->on_warning = std::move(on_warning);
    thread_ = thread_without_signals([shared = shared_] { shared->io.run(); });
  }

  ~Impl() {
    shared_->io.stop();
    // In a callback the rest goes with the thread, as soon as the callback has returned.
    if (on_own_thread())
      thread_.detach();
    else
      thread_.join();
  }

  bool on_own_thread() const { return std::this_thread::get_id() == thread_.get_id(); }
  qemuctl::Instance& vm() { return *shared_->vm; }

  /// Runs the coroutine that `make` returns and waits for its result.
  template<class Make>
  auto run(Make make) {
    if (on_own_thread()) fail_on_own_thread();
    // Not asio::use_future, which completes on a further thread of Asio's own.
    using Result = typename std::invoke_result_t<Make>::value_type;
    std::promise<Result> promise;
    std::future<Result> future = promise.get_future();
    if constexpr (std::is_void_v<Result>) {
      asio::co_spawn(shared_->io, std::move(make), [promise = std::move(promise)](std::exception_ptr failure) mutable {
        failure ? promise.set_exception(failure) : promise.set_value();
      });
    } else {
      asio::co_spawn(shared_->io, std::move(make),
                     [promise = std::move(promise)](std::exception_ptr failure, Result result) mutable {
                       failure ? promise.set_exception(failure) : promise.set_value(std::move(result));
                     });
    }
    return future.get();
  }

  /// The same for a call that makes no I/O.
  template<class Function>
  auto ask(Function function) {
    using Result = std::invoke_result_t<Function>;
    if (on_own_thread()) return function();
    return run([&function]() -> asio::awaitable<Result> { co_return function(); });
  }

  template<class Options, class Make>
  static std::unique_ptr<Impl> open(const Options& options, Make make) {
    auto impl = std::make_unique<Impl>(options.on_warning);
    impl->run([&]() -> asio::awaitable<void> { impl->shared_->vm.emplace(co_await make()); });
    return impl;
  }

  /// Feeds `callback` from `subscription` until the VM is over or another callback takes its place in `slot`.
  template<class Subscription, class Callback>
  static void follow(Shared& shared, std::shared_ptr<Subscription>& slot, Subscription subscription,
                     Callback callback) {
    slot = std::make_shared<Subscription>(std::move(subscription));
    asio::co_spawn(
        shared.io,
        [&shared, &slot, mine = slot, callback = std::move(callback)]() -> asio::awaitable<void> {
          while (slot == mine && !shared.io.stopped()) {
            auto item = co_await mine->next();
            if (!item || slot != mine) co_return;
            std::string failure;
            try {
              callback(*item);
              continue;
            } catch (const std::exception& error) {
              failure = error.what();
            } catch (...) {
              failure = "it was no std::exception";
            }
            if (shared.on_warning) shared.on_warning("a callback of a blocking Instance threw: " + failure);
          }
        },
        asio::detached);
  }

  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  std::thread thread_;
};

Instance Instance::launch(VmConfig config, LaunchOptions options) {
  return Instance(
      Impl::open(options, [&] { return qemuctl::Instance::launch(std::move(config), std::move(options)); }));
}

Instance Instance::attach(MonitorAddress address, AttachOptions options) {
  return Instance(
      Impl::open(options, [&] { return qemuctl::Instance::attach(std::move(address), std::move(options)); }));
}

Instance Instance::attach_by_pid(int pid, AttachOptions options) {
  return Instance(Impl::open(options, [&] { return qemuctl::Instance::attach_by_pid(pid, std::move(options)); }));
}

Instance::Instance(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Instance::Instance(Instance&&) noexcept = default;
Instance& Instance::operator=(Instance&&) noexcept = default;
Instance::~Instance() = default;

std::string Instance::name() const {
  return impl_->ask([this] { return impl_->vm().name(); });
}
std::optional<int> Instance::pid() const {
  return impl_->ask([this] { return impl_->vm().pid(); });
}
MonitorAddress Instance::monitor() const {
  return impl_->ask([this] { return impl_->vm().monitor(); });
}
std::filesystem::path Instance::log_file() const {
  return impl_->ask([this] { return impl_->vm().log_file(); });
}
std::string Instance::accelerator() const {
  return impl_->ask([this] { return impl_->vm().accelerator(); });
}
std::vector<std::string> Instance::command_line() const {
  return impl_->ask([this] { return impl_->vm().command_line(); });
}
QmpGreeting Instance::qemu() const {
  return impl_->ask([this] { return impl_->vm().qemu(); });
}
VmStatus Instance::status() const {
  return impl_->ask([this] { return impl_->vm().status(); });
}

VmStatus Instance::query_status() {
  return impl_->run([&] { return impl_->vm().query_status(); });
}

void Instance::on_status_change(std::function<void(const VmStatus&)> callback) {
  impl_->run([&]() -> asio::awaitable<void> {
    Impl::follow(*impl_->shared_, impl_->shared_->status_loop, impl_->vm().subscribe_status(), std::move(callback));
    co_return;
  });
}

void Instance::on_event(std::function<void(const Event&)> callback) {
  impl_->run([&]() -> asio::awaitable<void> {
    Impl::follow(*impl_->shared_, impl_->shared_->event_loop, impl_->vm().subscribe_events(), std::move(callback));
    co_return;
  });
}

VmStatus Instance::wait() {
  return impl_->run([&] { return impl_->vm().wait(); });
}
std::optional<VmStatus> Instance::wait_for(std::chrono::milliseconds timeout) {
  return impl_->run([&] { return impl_->vm().wait_for(timeout); });
}

void Instance::pause() {
  impl_->run([&] { return impl_->vm().pause(); });
}
void Instance::resume() {
  impl_->run([&] { return impl_->vm().resume(); });
}
void Instance::wake_up() {
  impl_->run([&] { return impl_->vm().wake_up(); });
}
void Instance::reset() {
  impl_->run([&] { return impl_->vm().reset(); });
}
void Instance::shutdown() {
  impl_->run([&] { return impl_->vm().shutdown(); });
}
StopResult Instance::stop(std::chrono::milliseconds timeout) {
  return impl_->run([&] { return impl_->vm().stop(timeout); });
}
void Instance::force_stop() {
  impl_->run([&] { return impl_->vm().force_stop(); });
}
void Instance::quit() {
  impl_->run([&] { return impl_->vm().quit(); });
}

void Instance::add_vnc_client(FileDescriptor socket, bool skip_auth) {
  impl_->run([&] { return impl_->vm().add_vnc_client(std::move(socket), skip_auth); });
}
void Instance::add_spice_client(FileDescriptor socket, bool skip_auth, bool tls) {
  impl_->run([&] { return impl_->vm().add_spice_client(std::move(socket), skip_auth, tls); });
}
void Instance::set_vnc_password(std::string password, std::optional<PasswordExpiry> expiry) {
  impl_->run([&] { return impl_->vm().set_vnc_password(std::move(password), std::move(expiry)); });
}
void Instance::set_spice_password(std::string password, std::optional<PasswordExpiry> expiry) {
  impl_->run([&] { return impl_->vm().set_spice_password(std::move(password), std::move(expiry)); });
}
ScreenshotFormat Instance::screendump(std::filesystem::path file, ScreenshotFormat preferred) {
  return impl_->run([&] { return impl_->vm().screendump(std::move(file), preferred); });
}
void Instance::send_key(std::vector<std::string> keys, std::optional<std::chrono::milliseconds> hold) {
  impl_->run([&] { return impl_->vm().send_key(std::move(keys), hold); });
}

std::vector<BlockDevice> Instance::query_block() {
  return impl_->run([&] { return impl_->vm().query_block(); });
}
void Instance::set_io_throttle(std::string id, IoThrottle limits) {
  impl_->run([&] { return impl_->vm().set_io_throttle(std::move(id), limits); });
}

void Instance::change_medium(std::string id, std::filesystem::path path, bool force) {
  impl_->run([&] { return impl_->vm().change_medium(std::move(id), std::move(path), force); });
}
void Instance::eject(std::string id, bool force) {
  impl_->run([&] { return impl_->vm().eject(std::move(id), force); });
}

void Instance::device_add(Json properties) {
  impl_->run([&] { return impl_->vm().device_add(std::move(properties)); });
}
UnplugResult Instance::device_del(std::string id, std::chrono::milliseconds timeout) {
  return impl_->run([&] { return impl_->vm().device_del(std::move(id), timeout); });
}

Json Instance::execute(std::string command, Json arguments, ExecuteOptions options) {
  return impl_->run([&] { return impl_->vm().execute(std::move(command), std::move(arguments), std::move(options)); });
}
std::string Instance::human_monitor_command(std::string command_line) {
  return impl_->run([&] { return impl_->vm().human_monitor_command(std::move(command_line)); });
}
FileDescriptor Instance::take_serial(std::size_t index) {
  return impl_->ask([&] { return impl_->vm().take_serial(index); });
}

} // namespace qemuctl::blocking
