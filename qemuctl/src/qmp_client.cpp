// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "duration_text.hpp"
#include "event_queue.hpp"
#include "monitor_silence.hpp"
#include "monitor_socket.hpp"
#include "outbox.hpp"
#include "qmp_session.hpp"
#include "text.hpp"
#include "wakeup.hpp"

#include <qemuctl/qmp_client.hpp>

#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/use_awaitable.hpp>
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <exception>
#include <random>
#include <unordered_map>
#include <utility>

namespace qemuctl {

using detail::ConnectAttempt;
using detail::QmpSession;
using detail::Wakeup;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

/// Differs from the prefixes of the monitor's earlier clients. Short, because QEMU reads commands byte by byte, each
/// with a system call.
std::string random_id_prefix() {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  std::random_device random;
  std::uniform_int_distribution<std::size_t> pick(0, letters.size() - 1);
  std::string prefix(4, '\0');
  std::generate(prefix.begin(), prefix.end(), [&] { return letters[pick(random)]; });
  return prefix;
}

} // namespace

/// The connection. Operations under way own it, so it outlives the client they were started from until they have ended.
struct QmpClient::Impl : std::enable_shared_from_this<QmpClient::Impl> {
  Impl(asio::any_io_executor on, QmpClientOptions chosen)
      : executor(on), options(std::move(chosen)),
        session({options.max_message_bytes, QmpSession::Limits{}.max_depth}, random_id_prefix()), socket(on),
        changed(on) {}

  static asio::awaitable<void> connect(std::shared_ptr<Impl> self, MonitorAddress address);
  static asio::awaitable<void> adopt(std::shared_ptr<Impl> self, FileDescriptor descriptor);
  static asio::awaitable<void> negotiate(std::shared_ptr<Impl> self, std::optional<MonitorAddress> address);
  static asio::awaitable<Json> execute(std::shared_ptr<Impl> self, std::string command, Json arguments,
                                       ExecuteOptions command_options);
  static asio::awaitable<ConnectionEnd> wait_closed(std::shared_ptr<Impl> self);

  /// A command from its first byte until its caller has taken the answer or given up.
  struct Call {
    Call(Impl& client, QmpSession::CommandId number) : impl(client), id(number), changed(client.executor) {}
    ~Call();
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

    void send(std::string bytes, std::vector<FileDescriptor> descriptors);

    Impl& impl;
    const QmpSession::CommandId id;
    Wakeup changed;
    std::optional<std::variant<QmpSession::Reply, QmpSession::Refusal>> answer;
    std::error_code refused; ///< the kernel would not pass the descriptors on
  };

  /// Ends the connection unless connecting came to its end.
  struct Abandon {
    explicit Abandon(Impl& client) : impl(&client) {}
    ~Abandon() {
      if (impl) impl->finish({ConnectionEnd::Kind::closed_here, "connecting failed"});
    }
    Abandon(const Abandon&) = delete;
    Abandon& operator=(const Abandon&) = delete;
    void dismiss() noexcept { impl = nullptr; }
    Impl* impl;
  };

  void begin_connecting(const std::string& name);
  void read();
  void on_read(const std::error_code& error, std::size_t size);
  void perform(QmpSession::Send& send);
  void perform(QmpSession::Ready& negotiated);
  void perform(QmpSession::Reply& reply) { answer(reply.id, std::move(reply)); }
  void perform(QmpSession::Refusal& refusal) { answer(refusal.id, std::move(refusal)); }
  void perform(QmpSession::EventReceived& received);
  void perform(QmpSession::Failure& failure) { finish({ConnectionEnd::Kind::garbage, std::move(failure.reason)}); }
  template<typename Answer>
  void answer(QmpSession::CommandId id, Answer&& value);
  void flush();
  void finish(ConnectionEnd how) noexcept;

  Error error(std::error_code code, std::string operation, std::string detail, std::string advice = {}) const;
  Error connect_ended_error() const;
  Error command_error(std::error_code code, const std::string& command, std::string detail,
                      std::string advice = {}) const;
  void check_command(const std::string& command, const Json& arguments, const ExecuteOptions& command_options,
                     milliseconds timeout) const;

  asio::any_io_executor executor;
  QmpClientOptions options;
  QmpSession session;
  detail::StreamSocket socket;
  Wakeup changed; ///< negotiation is over, or the connection is
  std::shared_ptr<ConnectAttempt> attempt;
  std::string subject;
  std::optional<int> peer;
  bool passes_descriptors = false;
  QmpGreeting greeting;
  bool ready = false;
  std::optional<ConnectionEnd> end;

  detail::Outbox outbox;
  bool waiting_to_write = false;
  std::error_code broken; ///< nothing can be written any more, though what the peer wrote may still come
  std::unordered_map<QmpSession::CommandId, Call*> calls;
  std::vector<std::weak_ptr<EventSubscription::Queue>> subscriptions;
  bool dispatching = false; ///< an event is being offered to them: none may be moved
  std::array<char, std::size_t{64} << 10> buffer;
};

Error QmpClient::Impl::error(std::error_code code, std::string operation, std::string detail,
                             std::string advice) const {
  Diagnostics diagnostics;
  diagnostics.operation = std::move(operation);
  diagnostics.subject = subject.empty() ? options.subject : subject;
  diagnostics.detail = std::move(detail);
  diagnostics.advice = std::move(advice);
  return {code, std::move(diagnostics)};
}

Error QmpClient::Impl::connect_ended_error() const {
  const auto code = end->kind == ConnectionEnd::Kind::garbage ? errc::protocol_error : errc::disconnected;
  return error(code, "connect to the monitor",
               code == errc::protocol_error ? end->reason
                                            : fmt::format("the connection ended before it was ready: {}", end->reason));
}

Error QmpClient::Impl::command_error(std::error_code code, const std::string& command, std::string detail,
                                     std::string advice) const {
  Diagnostics diagnostics =
      error(code, fmt::format("run {}", command), std::move(detail), std::move(advice)).diagnostics();
  diagnostics.command = command;
  return {code, std::move(diagnostics)};
}

void QmpClient::Impl::check_command(const std::string& command, const Json& arguments,
                                    const ExecuteOptions& command_options, milliseconds timeout) const {
  const auto& descriptors = command_options.file_descriptors;
  if (!arguments.is_object() && !arguments.is_null())
    throw command_error(errc::invalid_argument, command, "the arguments of a command are an object");
  if (descriptors.size() > detail::Outbox::max_descriptors)
    throw command_error(errc::invalid_argument, command,
                        fmt::format("{} file descriptors were given, and {} can be sent at once", descriptors.size(),
                                    detail::Outbox::max_descriptors));
  if (std::any_of(descriptors.begin(), descriptors.end(),
                  [](const FileDescriptor& fd) { return fcntl(fd.get(), F_GETFD) < 0; }))
    throw command_error(errc::invalid_argument, command, "a file descriptor to be sent is not open");
  if (end) throw command_error(errc::disconnected, command, fmt::format("the connection has ended: {}", end->reason));
  if (!ready) throw command_error(errc::disconnected, command, "the client is not connected");
  if (broken)
    throw command_error(errc::disconnected, command, fmt::format("the connection is ending: {}", broken.message()));
  if (!descriptors.empty() && !passes_descriptors)
    throw command_error(errc::invalid_argument, command, "file descriptors can only be sent through a Unix socket");
  if (timeout <= milliseconds::zero()) throw command_error(errc::timed_out, command, "there was no time to send it");
  if (calls.size() >= options.max_commands_in_flight)
    throw command_error(errc::overloaded, command,
                        fmt::format("{} commands are waiting for their replies already", calls.size()));
}

void QmpClient::Impl::begin_connecting(const std::string& name) {
  if (attempt) throw error(errc::invalid_argument, "connect to the monitor", "a client connects only once");
  subject = options.subject.empty() ? detail::printable(name) : options.subject;
  if (end) throw connect_ended_error();
  attempt = std::make_shared<ConnectAttempt>(executor, subject, options.connect_timeout);
}

asio::awaitable<void> QmpClient::Impl::connect(std::shared_ptr<Impl> self, MonitorAddress address) {
  self->begin_connecting(to_string(address));
  Abandon unless_connected{*self};
  self->socket = co_await detail::connect_to_monitor(self->attempt, address);
  co_await negotiate(self, std::move(address));
  unless_connected.dismiss();
}

asio::awaitable<void> QmpClient::Impl::adopt(std::shared_ptr<Impl> self, FileDescriptor descriptor) {
  self->begin_connecting("inherited socket");
  Abandon unless_connected{*self};
  self->socket = detail::adopt_socket(*self->attempt, std::move(descriptor));
  auto address = detail::remote_address(self->socket.native_handle());
  co_await negotiate(self, std::move(address));
  unless_connected.dismiss();
}

asio::awaitable<void> QmpClient::Impl::negotiate(std::shared_ptr<Impl> self, std::optional<MonitorAddress> address) {
  const int native = self->socket.native_handle();
  self->peer = detail::read_peer_pid(native);
  self->passes_descriptors = detail::is_unix_socket(native);
  const auto start = steady_clock::now();
  const auto deadline = detail::deadline_in(self->options.greeting_timeout);
  self->read();
  while (!self->ready) {
    if (self->end) throw self->connect_ended_error();
    if (steady_clock::now() >= deadline)
      throw detail::explain_silence(
          {self->subject, std::move(address), native, self->peer, self->session.greeted(), false, start});
    co_await self->changed.wait_until(deadline);
  }
}

void QmpClient::Impl::read() {
  socket.async_receive(
      asio::buffer(buffer),
      [self = shared_from_this()](const std::error_code& error, std::size_t size) { self->on_read(error, size); });
}

void QmpClient::Impl::on_read(const std::error_code& error, std::size_t size) {
  if (end) return;
  try {
    if (error) {
      finish(session.peer_closed(error == asio::error::eof ? std::string() : error.message()));
      return;
    }
    session.receive({buffer.data(), size});
    while (!end) {
      auto action = session.next_action();
      if (!action) break;
      std::visit([this](auto& which) { perform(which); }, *action);
    }
    if (!end) read();
  } catch (const std::exception& failure) { // out of memory
    finish({ConnectionEnd::Kind::cut, failure.what()});
  }
}

void QmpClient::Impl::perform(QmpSession::Send& send) {
  outbox.push(0, std::move(send.bytes));
  flush();
}

void QmpClient::Impl::perform(QmpSession::Ready& negotiated) {
  greeting = std::move(negotiated.greeting);
  ready = true;
  changed.notify();
}

void QmpClient::Impl::perform(QmpSession::EventReceived& received) {
  // By index and with an owner of its own: a filter may unsubscribe, or subscribe, which adds to the end.
  dispatching = true;
  const std::size_t count = subscriptions.size();
  for (std::size_t i = 0; i < count; ++i)
    if (const auto queue = subscriptions[i].lock()) queue->offer(received.event);
  dispatching = false;
}

template<typename Answer>
void QmpClient::Impl::answer(QmpSession::CommandId id, Answer&& value) {
  const auto call = calls.find(id);
  if (call == calls.end()) return;
  call->second->answer.emplace(std::forward<Answer>(value));
  call->second->changed.notify();
}

void QmpClient::Impl::flush() {
  if (waiting_to_write || broken || end) return;
  auto flushed = outbox.flush(socket.native_handle());
  for (const auto& [id, error] : flushed.refused) {
    if (const auto call = calls.find(id); call != calls.end()) {
      call->second->refused = error;
      call->second->changed.notify();
    }
  }
  // What the peer wrote before it left is still to be read, and then the end of the stream; that ends the connection.
  broken = flushed.broken;
  if (broken || outbox.empty()) return;
  waiting_to_write = true;
  socket.async_wait(detail::StreamSocket::wait_write, [self = shared_from_this()](const std::error_code&) {
    self->waiting_to_write = false;
    self->flush();
  });
}

void QmpClient::Impl::finish(ConnectionEnd how) noexcept {
  if (end) return;
  end = std::move(how);
  if (attempt) attempt->abandon();
  std::error_code ignored;
  socket.close(ignored);
  for (const auto& [id, call] : calls) call->changed.notify();
  for (const auto& subscription : subscriptions)
    if (const auto queue = subscription.lock()) queue->close();
  changed.notify();
}

void QmpClient::Impl::Call::send(std::string bytes, std::vector<FileDescriptor> descriptors) {
  impl.calls.emplace(id, this);
  impl.outbox.push(id, std::move(bytes), std::move(descriptors));
  impl.flush();
}

QmpClient::Impl::Call::~Call() {
  impl.calls.erase(id);
  if (answer) return;
  impl.outbox.take_back(id);
  impl.session.forget(id);
}

asio::awaitable<Json> QmpClient::Impl::execute(std::shared_ptr<Impl> self, std::string command, Json arguments,
                                               ExecuteOptions command_options) {
  const auto timeout = command_options.timeout.value_or(self->options.command_timeout);
  const auto start = steady_clock::now();
  const auto deadline = detail::deadline_in(timeout);
  self->check_command(command, arguments, command_options, timeout);

  auto encoded = self->session.encode(command, arguments);
  Call call(*self, encoded.id);
  call.send(std::move(encoded.bytes), std::move(command_options.file_descriptors));
  while (!call.answer) {
    if (call.refused)
      throw self->command_error(call.refused, command,
                                fmt::format("its file descriptors could not be sent: {}", call.refused.message()));
    const bool expired = steady_clock::now() >= deadline;
    if (self->end || expired) {
      const auto waited = detail::elapsed_text(start);
      const bool sent = !self->outbox.take_back(call.id);
      const auto reason = self->end ? fmt::format("the connection ended after {}: {}", waited, self->end->reason)
                          : sent    ? fmt::format("no reply within {}", waited)
                                    : fmt::format("QEMU did not take it within {}", waited);
      if (!sent)
        throw self->command_error(self->end ? errc::disconnected : errc::timed_out, command, reason,
                                  "Nothing was sent.");
      throw self->command_error(errc::interrupted, command, reason, "QEMU may still carry it out, or has already.");
    }
    co_await call.changed.wait_until(deadline);
  }
  if (auto* refusal = std::get_if<QmpSession::Refusal>(&*call.answer)) {
    auto diagnostics = self->command_error(errc::command_failed, command, {}).diagnostics();
    diagnostics.qmp_class = std::move(refusal->qmp_class);
    diagnostics.server_text = std::move(refusal->text);
    throw Error(errc::command_failed, std::move(diagnostics));
  }
  co_return std::move(std::get<QmpSession::Reply>(*call.answer).value);
}

asio::awaitable<ConnectionEnd> QmpClient::Impl::wait_closed(std::shared_ptr<Impl> self) {
  while (!self->end) co_await self->changed.wait_until();
  co_return *self->end;
}

QmpClient::QmpClient(asio::any_io_executor executor, QmpClientOptions options)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(options))) {}

QmpClient::QmpClient(QmpClient&&) noexcept = default;

QmpClient& QmpClient::operator=(QmpClient&& other) noexcept {
  if (this != &other) {
    close();
    impl_ = std::move(other.impl_);
  }
  return *this;
}

QmpClient::~QmpClient() {
  close();
}

asio::awaitable<void> QmpClient::connect(MonitorAddress address) {
  return Impl::connect(impl_, std::move(address));
}

asio::awaitable<void> QmpClient::connect(FileDescriptor socket) {
  return Impl::adopt(impl_, std::move(socket));
}

asio::awaitable<Json> QmpClient::execute(std::string command, Json arguments, ExecuteOptions options) {
  return Impl::execute(impl_, std::move(command), std::move(arguments), std::move(options));
}

EventSubscription QmpClient::subscribe(EventFilter filter, std::size_t capacity) {
  auto queue = std::make_shared<EventSubscription::Queue>(
      impl_->executor, std::move(filter), capacity, impl_->subject.empty() ? impl_->options.subject : impl_->subject);
  if (impl_->end) queue->close();
  auto& subscriptions = impl_->subscriptions;
  if (!impl_->dispatching)
    std::erase_if(subscriptions, [](const auto& subscription) { return subscription.expired(); });
  subscriptions.push_back(queue);
  return EventSubscription(std::move(queue));
}

const QmpClientOptions& QmpClient::options() const noexcept {
  return impl_->options;
}

const QmpGreeting& QmpClient::greeting() const noexcept {
  return impl_->greeting;
}

bool QmpClient::is_open() const noexcept {
  return impl_->ready && !impl_->end && !impl_->broken;
}

asio::awaitable<ConnectionEnd> QmpClient::wait_closed() {
  return Impl::wait_closed(impl_);
}

void QmpClient::close() noexcept {
  if (impl_) impl_->finish({ConnectionEnd::Kind::closed_here, "it was closed by this program"});
}

std::optional<int> QmpClient::peer_pid() const noexcept {
  return impl_->peer;
}

} // namespace qemuctl
