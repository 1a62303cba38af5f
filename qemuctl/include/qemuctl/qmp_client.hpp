// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/error.hpp>
#include <qemuctl/file_descriptor.hpp>
#include <qemuctl/json.hpp>
#include <qemuctl/monitor_address.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qemuctl {

/// A QMP event (`docs/interop/qmp-spec`, "Asynchronous events").
struct Event {
  std::string name;                                ///< "STOP", "DEVICE_DELETED", ...
  Json data;                                       ///< an object, or null when the event carries none
  std::chrono::system_clock::time_point timestamp; ///< QEMU's host clock; the epoch when QEMU could not read it
  std::uint64_t lost = 0; ///< events of this subscription dropped just before this one, because its queue was full
};

/// What a monitor said of itself when it greeted.
struct QmpGreeting {
  int major = 0, minor = 0, micro = 0;   ///< QEMU's version
  std::string package;                   ///< the builder's words, may be empty: "Debian 1:7.2+dfsg-7"
  std::vector<std::string> capabilities; ///< what could be enabled ("oob"); this library enables nothing
};

/// How a connection ended.
struct ConnectionEnd {
  enum class Kind {
    closed_here, ///< `close()` was called, or the client was destroyed
    clean,       ///< the peer closed between two messages, or after it had announced its end (SHUTDOWN, `quit`)
    cut,         ///< the peer vanished inside a message or while a command was unanswered, or the socket failed
    garbage,     ///< the peer broke the protocol or a limit, and we closed
  };
  Kind kind = Kind::closed_here;
  std::string reason; ///< a phrase for people
};

/// The deadlines and limits of a connection. Durations are upper bounds; zero or negative ones expire at once.
struct QmpClientOptions {
  QmpClientOptions() = default; // no aggregate: GCC 12 corrupts an aggregate made in an expression that also awaits

  std::chrono::milliseconds connect_timeout{5'000};
  /// From the connection to the reply to `qmp_capabilities`. A QEMU that is still starting greets before it is ready,
  /// so a launcher needs a longer one.
  std::chrono::milliseconds greeting_timeout{5'000};
  /// For a command that is given no other. QEMU runs one command at a time, so this includes waiting for earlier ones.
  std::chrono::milliseconds command_timeout{30'000};
  /// The longest message accepted; `query-qmp-schema` of QEMU 7.2 is about 207 kB. A longer one ends the connection.
  std::size_t max_message_bytes = std::size_t{64} << 20;
  /// Commands waiting for their replies; one more is refused with `errc::overloaded`.
  std::size_t max_commands_in_flight = 1'024;
  /// Named in errors; by default the address.
  std::string subject;
};

/// How one command is executed.
struct ExecuteOptions {
  ExecuteOptions() = default; // no aggregate, likewise

  std::optional<std::chrono::milliseconds> timeout; ///< instead of `QmpClientOptions::command_timeout`
  /// Sent with the command (SCM_RIGHTS), at most 16; Unix sockets only. Closed here once sent or given up.
  std::vector<FileDescriptor> file_descriptors;
};

/// Which events a subscription gets: those for which it returns true. An empty function means all.
/// Called on the client's executor for every event; must not throw. It may subscribe and unsubscribe; a subscription
/// that is made so gets the events after this one.
using EventFilter = std::function<bool(const Event&)>;

/// A filter for some names.
EventFilter events_named(std::vector<std::string> names);

/// A bounded queue of events. When it is full the oldest event gives way, and the next one delivered counts the loss in
/// `Event::lost`: a reader that sees it must ask QEMU for what it missed.
///
/// Movable; destroying it unsubscribes. Bound to the client's executor; one `next()` at a time. It may outlive the
/// client.
class EventSubscription {
 public:
  EventSubscription() noexcept; ///< gets nothing: `next()` returns nullopt at once
  EventSubscription(EventSubscription&&) noexcept;
  EventSubscription& operator=(EventSubscription&&) noexcept;
  ~EventSubscription();

  /// The next event; nullopt once the connection is over and everything was delivered.
  /// Throws `Error` (`errc::timed_out`) when `timeout` passes first; then nothing is lost and `next` may be called
  /// again. Can be cancelled, with the same guarantee.
  asio::awaitable<std::optional<Event>> next(std::optional<std::chrono::milliseconds> timeout = std::nullopt);

  /// What is queued already, without waiting.
  std::optional<Event> try_next();

  struct Queue; ///< private

 private:
  friend class QmpClient;
  explicit EventSubscription(std::shared_ptr<Queue> queue) noexcept;
  std::shared_ptr<Queue> queue_;
};

/// A connection to one QMP monitor.
///
///     QmpClient qmp(co_await asio::this_coro::executor);
///     EventSubscription events = qmp.subscribe();          // before connecting: nothing can be missed
///     co_await qmp.connect(UnixPath{"/run/qemu/demo.sock"});
///     Json status = co_await qmp.execute("query-status");
///
/// Any number of `execute` calls may be in flight; replies are matched by an id that is unique to this connection, and
/// replies meant for an earlier client of the same monitor are ignored. The client reads all the time, so QEMU's output
/// never piles up.
///
/// Threading: bound to its executor. Every member is to be called there, and that executor must not run two handlers at
/// once (a strand, or an `io_context` run by one thread).
/// Lifetime: movable. Destroying a client closes the connection without blocking; QEMU goes on. Calls in flight then
/// end with `errc::interrupted` (sent) or `errc::disconnected` (not sent).
class QmpClient {
 public:
  explicit QmpClient(asio::any_io_executor executor, QmpClientOptions options = {});
  QmpClient(QmpClient&&) noexcept;
  QmpClient& operator=(QmpClient&&) noexcept;
  ~QmpClient();

  /// Connects, awaits the greeting and leaves negotiation mode. May be called once.
  ///
  /// On return QEMU's main loop has answered, so all of the VM's devices exist (QEMU greets before it has made them).
  /// Throws `Error`:
  /// - `connect_failed`: nobody listens there;
  /// - `monitor_in_use`: another client holds the monitor; named in the message when the kernel can tell
  ///   (a monitor serves one client, further ones are queued by the kernel and see no greeting);
  /// - `timed_out`: it accepted but stays silent, and no other client is the cause; the message says when the process
  ///   is stopped (SIGSTOP);
  /// - `disconnected`: it closed before it was ready;
  /// - `protocol_error`: something that is no QMP monitor answered.
  asio::awaitable<void> connect(MonitorAddress address);

  /// The same on a stream socket that is connected already, such as one end of a socket pair QEMU inherited.
  asio::awaitable<void> connect(FileDescriptor socket);

  /// Runs one QMP command and returns what `return` holds (usually an object).
  ///
  /// `arguments` is an object or null. Throws `Error`:
  /// - `command_failed`: QEMU refused; class and text are in the diagnostics;
  /// - `interrupted`: it was sent, but the connection ended or the deadline passed first. QEMU may still do it; a late
  ///   reply is ignored;
  /// - `disconnected`, `overloaded`, `timed_out`: it was not sent.
  ///
  /// Cancellation: throws `operation_canceled`; a command already sent may still be carried out.
  asio::awaitable<Json> execute(std::string command, Json arguments = {}, ExecuteOptions options = {});

  /// Starts to collect events. `capacity` (at least 1) bounds the queue. May be called before `connect`.
  EventSubscription subscribe(EventFilter filter = {}, std::size_t capacity = 1'024);

  /// As they were given.
  const QmpClientOptions& options() const noexcept;

  /// The greeting; all zeros before `connect` has returned.
  const QmpGreeting& greeting() const noexcept;

  /// Whether commands can be sent now.
  bool is_open() const noexcept;

  /// Waits until the connection is over and says how it ended. Returns at once when it is. Can be cancelled.
  asio::awaitable<ConnectionEnd> wait_closed();

  /// Ends the connection. Calls in flight end as described above.
  void close() noexcept;

  /// The process at the other end as the kernel reports it (SO_PEERCRED): QEMU's PID for a local monitor; nullopt for
  /// TCP, before `connect`, and for a socket pair made by this process.
  std::optional<int> peer_pid() const noexcept;

  struct Impl; ///< private

 private:
  std::shared_ptr<Impl> impl_;
};

} // namespace qemuctl
