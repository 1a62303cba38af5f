// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include <qemuctl/blocking.hpp>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>

#include <exception>
#include <future>
#include <thread>
#include <type_traits>
#include <utility>

namespace qemuctl::blocking {

/// One thread that runs one asynchronous Instance. Every call is a coroutine on that thread and a future here.
struct Instance::Impl {
  Impl() : thread_([this] { io_.run(); }) {}

  ~Impl() {
    io_.stop();
    thread_.join();
    // Nothing runs any more, so these may go from this thread.
    status_loop_.reset();
    event_loop_.reset();
    vm_.reset();
  }

  /// Runs the coroutine that `make` returns and waits for its result.
  template<class Make>
  auto run(Make make) {
    // Not asio::use_future, which completes on a further thread of Asio's own.
    using Result = typename std::invoke_result_t<Make>::value_type;
    std::promise<Result> promise;
    std::future<Result> future = promise.get_future();
    if constexpr (std::is_void_v<Result>) {
      asio::co_spawn(io_, std::move(make), [promise = std::move(promise)](std::exception_ptr failure) mutable {
        failure ? promise.set_exception(failure) : promise.set_value();
      });
    } else {
      asio::co_spawn(io_, std::move(make),
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
    return run([&function]() -> asio::awaitable<Result> { co_return function(); });
  }

  template<class Make>
  static std::unique_ptr<Impl> open(Make make) {
    auto impl = std::make_unique<Impl>();
    impl->run([&]() -> asio::awaitable<void> { impl->vm_.emplace(co_await make()); });
    return impl;
  }

  /// Feeds `callback` from `subscription` until the VM is over or another callback takes its place in `slot`.
  template<class Subscription, class Callback>
  void follow(std::shared_ptr<Subscription>& slot, Subscription subscription, Callback callback) {
    slot = std::make_shared<Subscription>(std::move(subscription));
    asio::co_spawn(
        io_,
        [&slot, mine = slot, callback = std::move(callback)]() -> asio::awaitable<void> {
          while (slot == mine) {
            auto item = co_await mine->next();
            if (!item || slot != mine) co_return;
            callback(*item);
          }
        },
        asio::detached);
  }

  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(io_);
  std::optional<qemuctl::Instance> vm_;
  std::shared_ptr<StatusSubscription> status_loop_;
  std::shared_ptr<EventSubscription> event_loop_;
  std::thread thread_;
};

Instance Instance::launch(VmConfig config, LaunchOptions options) {
  return Instance(Impl::open([&] { return qemuctl::Instance::launch(std::move(config), std::move(options)); }));
}

Instance Instance::attach(MonitorAddress address, AttachOptions options) {
  return Instance(Impl::open([&] { return qemuctl::Instance::attach(std::move(address), std::move(options)); }));
}

Instance Instance::attach_by_pid(int pid, AttachOptions options) {
  return Instance(Impl::open([&] { return qemuctl::Instance::attach_by_pid(pid, std::move(options)); }));
}

Instance::Instance(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Instance::Instance(Instance&&) noexcept = default;
Instance& Instance::operator=(Instance&&) noexcept = default;
Instance::~Instance() = default;

std::string Instance::name() const {
  return impl_->ask([this] { return impl_->vm_->name(); });
}
std::optional<int> Instance::pid() const {
  return impl_->ask([this] { return impl_->vm_->pid(); });
}
MonitorAddress Instance::monitor() const {
  return impl_->ask([this] { return impl_->vm_->monitor(); });
}
std::filesystem::path Instance::log_file() const {
  return impl_->ask([this] { return impl_->vm_->log_file(); });
}
std::string Instance::accelerator() const {
  return impl_->ask([this] { return impl_->vm_->accelerator(); });
}
std::vector<std::string> Instance::command_line() const {
  return impl_->ask([this] { return impl_->vm_->command_line(); });
}
QmpGreeting Instance::qemu() const {
  return impl_->ask([this] { return impl_->vm_->qemu(); });
}
VmStatus Instance::status() const {
  return impl_->ask([this] { return impl_->vm_->status(); });
}

VmStatus Instance::query_status() {
  return impl_->run([&] { return impl_->vm_->query_status(); });
}

void Instance::on_status_change(std::function<void(const VmStatus&)> callback) {
  impl_->run([&]() -> asio::awaitable<void> {
    impl_->follow(impl_->status_loop_, impl_->vm_->subscribe_status(), std::move(callback));
    co_return;
  });
}

void Instance::on_event(std::function<void(const Event&)> callback) {
  impl_->run([&]() -> asio::awaitable<void> {
    impl_->follow(impl_->event_loop_, impl_->vm_->subscribe_events(), std::move(callback));
    co_return;
  });
}

VmStatus Instance::wait() {
  return impl_->run([&] { return impl_->vm_->wait(); });
}
std::optional<VmStatus> Instance::wait_for(std::chrono::milliseconds timeout) {
  return impl_->run([&] { return impl_->vm_->wait_for(timeout); });
}

void Instance::pause() {
  impl_->run([&] { return impl_->vm_->pause(); });
}
void Instance::resume() {
  impl_->run([&] { return impl_->vm_->resume(); });
}
void Instance::wake_up() {
  impl_->run([&] { return impl_->vm_->wake_up(); });
}
void Instance::reset() {
  impl_->run([&] { return impl_->vm_->reset(); });
}
void Instance::shutdown() {
  impl_->run([&] { return impl_->vm_->shutdown(); });
}
StopResult Instance::stop(std::chrono::milliseconds timeout) {
  return impl_->run([&] { return impl_->vm_->stop(timeout); });
}
void Instance::force_stop() {
  impl_->run([&] { return impl_->vm_->force_stop(); });
}
void Instance::quit() {
  impl_->run([&] { return impl_->vm_->quit(); });
}

void Instance::add_vnc_client(FileDescriptor socket, bool skip_auth) {
  impl_->run([&] { return impl_->vm_->add_vnc_client(std::move(socket), skip_auth); });
}
void Instance::add_spice_client(FileDescriptor socket, bool skip_auth, bool tls) {
  impl_->run([&] { return impl_->vm_->add_spice_client(std::move(socket), skip_auth, tls); });
}
void Instance::set_vnc_password(std::string password, std::optional<PasswordExpiry> expiry) {
  impl_->run([&] { return impl_->vm_->set_vnc_password(std::move(password), std::move(expiry)); });
}
void Instance::set_spice_password(std::string password, std::optional<PasswordExpiry> expiry) {
  impl_->run([&] { return impl_->vm_->set_spice_password(std::move(password), std::move(expiry)); });
}
ScreenshotFormat Instance::screendump(std::filesystem::path file, ScreenshotFormat preferred) {
  return impl_->run([&] { return impl_->vm_->screendump(std::move(file), preferred); });
}
void Instance::send_key(std::vector<std::string> keys, std::optional<std::chrono::milliseconds> hold) {
  impl_->run([&] { return impl_->vm_->send_key(std::move(keys), hold); });
}

std::vector<BlockDevice> Instance::query_block() {
  return impl_->run([&] { return impl_->vm_->query_block(); });
}
void Instance::set_io_throttle(std::string id, IoThrottle limits) {
  impl_->run([&] { return impl_->vm_->set_io_throttle(std::move(id), limits); });
}

void Instance::change_medium(std::string id, std::filesystem::path path, bool force) {
  impl_->run([&] { return impl_->vm_->change_medium(std::move(id), std::move(path), force); });
}
void Instance::eject(std::string id, bool force) {
  impl_->run([&] { return impl_->vm_->eject(std::move(id), force); });
}

void Instance::device_add(Json properties) {
  impl_->run([&] { return impl_->vm_->device_add(std::move(properties)); });
}
UnplugResult Instance::device_del(std::string id, std::chrono::milliseconds timeout) {
  return impl_->run([&] { return impl_->vm_->device_del(std::move(id), timeout); });
}

Json Instance::execute(std::string command, Json arguments, ExecuteOptions options) {
  return impl_->run([&] { return impl_->vm_->execute(std::move(command), std::move(arguments), std::move(options)); });
}
std::string Instance::human_monitor_command(std::string command_line) {
  return impl_->run([&] { return impl_->vm_->human_monitor_command(std::move(command_line)); });
}
FileDescriptor Instance::take_serial(std::size_t index) {
  return impl_->ask([&] { return impl_->vm_->take_serial(index); });
}

} // namespace qemuctl::blocking
