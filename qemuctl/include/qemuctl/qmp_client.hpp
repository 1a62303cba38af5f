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
  Json data;                                       ///< an object, or null if the event has none
  std::chrono::system_clock::time_point timestamp; ///< QEMU's host clock; the epoch if QEMU could not read it
  std::uint64_t lost = 0; ///< events of this subscription dropped just before this one, because its queue was full
};

/// A monitor's greeting.
struct QmpGreeting {
  int major = 0, minor = 0, micro = 0;   ///< QEMU's version
  std::string package;                   ///< the builder's label, may be empty: "Debian 1:7.2+dfsg-7"
  std::vector<std::string> capabilities; ///< on offer ("oob"); this library enables none
};

/// How a connection ended.
struct ConnectionEnd {
  enum class Kind {
    closed_here, ///< `close()` was called, or the client was destroyed
    clean,       ///< the peer closed between two messages, or after announcing its end (SHUTDOWN, `quit`)
    cut,         ///< the peer vanished inside a message or while a command was unanswered, or the socket failed
    garbage,     ///< the peer broke the protocol or a limit, and we closed
  };
  Kind kind = Kind::closed_here;
  std::string reason; ///< a phrase for humans
};

/// The deadlines and limits of a connection. Durations are upper bounds; zero or less expires at once.
struct QmpClientOptions {
  QmpClientOptions() = default; // no aggregate: GCC 12 corrupts an aggregate made in an expression that also awaits

  std::chrono::milliseconds connect_timeout{5'000};
  /// From connecting to the reply to `qmp_capabilities`. A starting QEMU sends its greeting before it is ready, so a
  /// launcher needs more.
  std::chrono::milliseconds greeting_timeout{5'000};
  /// Default for commands. QEMU runs one command at a time, so this includes waiting for earlier ones.
  std::chrono::milliseconds command_timeout{30'000};
  /// The longest message accepted; `query-qmp-schema` of QEMU 7.2 is about 207 kB. A longer one ends the connection.
  std::size_t max_message_bytes = std::size_t{64} << 20;
  /// Commands waiting for their replies; further ones fail with `errc::overloaded`.
  std::size_t max_commands_in_flight = 1'024;
  /// For error messages; default: the address.
  std::string subject;
};

/// How one command is executed.
struct ExecuteOptions {
  ExecuteOptions() = default; // no aggregate, likewise

  std::optional<std::chrono::milliseconds> timeout; ///< instead of `QmpClientOptions::command_timeout`
  /// Sent with the command (SCM_RIGHTS), at most 16; Unix sockets only. Closed by the client once sent or abandoned.
  std::vector<FileDescriptor> file_descriptors;
};

/// Which events a subscription gets: those for which it returns true. An empty function means all.
/// Called on the client's executor for every event; must not throw. It may subscribe and unsubscribe; a new
/// subscription gets the events after this one.
using EventFilter = std::function<bool(const Event&)>;

/// A filter by name.
EventFilter events_named(std::vector<std::string> names);

/// A bounded queue of events. When it is full the oldest event is dropped, and the next one delivered counts the loss
/// in `Event::lost`: a reader that sees it must query QEMU for what it missed.
///
/// Movable; destroying it unsubscribes. Bound to the client's executor; one `next()` at a time. It may outlive the
/// client.
class EventSubscription {
 public:
  EventSubscription() noexcept; ///< gets nothing: `next()` returns nullopt at once
  EventSubscription(EventSubscription&&) noexcept;
  EventSubscription& operator=(EventSubscription&&) noexcept;
  ~EventSubscription();

  /// The next event; nullopt once the connection has ended and everything has been delivered.
  /// Throws `Error` (`errc::timed_out`) if `timeout` expires first; nothing is lost, and `next` may be called again.
  /// Can be cancelled, with the same guarantee.
  asio::awaitable<std::optional<Event>> next(std::optional<std::chrono::milliseconds> timeout = std::nullopt);

  /// The next queued event, if any, without waiting.
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
/// replies meant for an earlier client of the same monitor are ignored. The client reads continuously, so QEMU's output
/// never piles up.
///
/// Threading: bound to its executor. Every member is to be called there, and that executor must not run two handlers at
/// once (a strand, or an `io_context` run by one thread).
/// Lifetime: movable. Destroying a client closes the connection without blocking; QEMU keeps running. Calls in flight
/// then end with `errc::interrupted` (sent) or `errc::disconnected` (not sent).
class QmpClient {
 public:
  explicit QmpClient(asio::any_io_executor executor, QmpClientOptions options = {});
  QmpClient(QmpClient&&) noexcept;
  QmpClient& operator=(QmpClient&&) noexcept;
  ~QmpClient();

  /// Connects, awaits the greeting and leaves negotiation mode. May be called once.
  ///
  /// On return QEMU's main loop has replied, so all of the VM's devices exist (the greeting comes before they do).
  /// Throws `Error`:
  /// - `connect_failed`: nobody listens there;
  /// - `monitor_in_use`: another client holds the monitor; the message names it if the kernel reveals it
  ///   (a monitor serves one client; the kernel queues further ones, which get no greeting);
  /// - `timed_out`: it accepted but stays silent, though no other client holds it; the message says if the process is
  ///   stopped (SIGSTOP);
  /// - `disconnected`: it closed before it was ready;
  /// - `protocol_error`: the peer is not a QMP monitor.
  asio::awaitable<void> connect(MonitorAddress address);

  /// The same on a connected stream socket, such as one end of a socket pair QEMU inherited.
  asio::awaitable<void> connect(FileDescriptor socket);

  /// Runs one QMP command and returns what `return` holds (usually an object).
  ///
  /// `arguments` is an object or null. Throws `Error`:
  /// - `command_failed`: QEMU replied with an error; its class and text are in the diagnostics;
  /// - `interrupted`: it was sent, but the connection ended or the deadline passed first. QEMU may still execute it; a
  ///   late reply is ignored;
  /// - `disconnected`, `overloaded`, `timed_out`: it was not sent.
  ///
  /// Cancellation: throws `operation_canceled`; a command already sent may still be executed.
  asio::awaitable<Json> execute(std::string command, Json arguments = {}, ExecuteOptions options = {});

  /// Starts collecting events. `capacity` (at least 1) bounds the queue. May be called before `connect`.
  EventSubscription subscribe(EventFilter filter = {}, std::size_t capacity = 1'024);

  /// As given to the constructor.
  const QmpClientOptions& options() const noexcept;

  /// The greeting; all zeros before `connect` has returned.
  const QmpGreeting& greeting() const noexcept;

  /// Whether commands can be sent now.
  bool is_open() const noexcept;

  /// Waits until the connection has ended and says how; returns at once if it already has. Can be cancelled.
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
