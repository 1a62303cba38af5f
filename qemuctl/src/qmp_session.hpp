// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "json_framer.hpp"

#include <qemuctl/qmp_client.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace qemuctl::detail {

/// The QMP protocol of one connection, without any I/O: bytes in, actions out.
///
/// Feed it input (`receive`), perform what `next_action` returns until nothing is left, and report the end of the
/// stream (`peer_closed`). It knows no sockets, clocks or threads, so tests and fuzzers can drive it directly.
class QmpSession {
 public:
  struct Limits {
    std::size_t max_message_bytes = std::size_t{64} << 20;
    std::size_t max_depth = 1'024;
  };

  using CommandId = std::uint64_t; ///< counts from 1

  /// @name Actions
  /// @{
  struct Send { ///< write these bytes
    std::string bytes;
  };
  struct Ready { ///< negotiation is done, commands may be sent
    QmpGreeting greeting;
  };
  struct Reply { ///< a command succeeded
    CommandId id;
    Json value;
  };
  struct Refusal { ///< a command failed; QEMU's class and text
    CommandId id;
    std::string qmp_class;
    std::string text;
  };
  struct EventReceived {
    Event event;
  };
  struct Failure { ///< the peer broke the protocol or a limit: close the connection; nothing follows
    std::string reason;
  };
  using Action = std::variant<Send, Ready, Reply, Refusal, EventReceived, Failure>;
  /// @}

  /// `id_prefix` makes the ids of this connection differ from those of the monitor's earlier clients: QEMU delivers the
  /// reply to a command whose client has left to the next client. A few characters of [A-Za-z0-9], always the same
  /// number of them (an id is the prefix and a decimal number). Few, because QEMU takes some 3 us to read a byte.
  QmpSession(Limits limits, std::string id_prefix);

  /// Takes input in pieces of any size. It is kept until `next_action` has returned all of it, so call that before
  /// reading more.
  void receive(std::string_view bytes);

  /// The next action, in order; nullopt when more input is needed.
  std::optional<Action> next_action();

  /// A command as it goes on the wire. Only when `is_ready()`. Throws `Error` (`errc::invalid_argument`) when
  /// `arguments` is neither an object nor null.
  struct Encoded {
    CommandId id;
    std::string bytes;
  };
  Encoded encode(std::string_view command, const Json& arguments);

  /// The caller no longer waits for `id`; a reply to it is ignored, and it no longer counts as unanswered.
  void forget(CommandId id);

  bool is_ready() const noexcept;
  bool greeted() const noexcept; ///< a greeting has arrived; negotiation may be in progress

  /// How the connection ended, now that the peer has closed it or the socket has failed with `error` (empty for an
  /// orderly end of file). It is clean between two messages with no command unanswered, and also after the peer
  /// announced its end (a SHUTDOWN event, unless the VM went on, or the reply to `quit`), when even a reset is clean:
  /// QEMU exits without reading what we sent last.
  ConnectionEnd peer_closed(std::string_view error = {}) const;

 private:
  enum class Phase { greeting, negotiating, ready, failed };

  struct Sent {
    bool quit = false;
    bool forgotten = false;
  };
  using SentMap = std::map<CommandId, Sent>;

  std::optional<Action> handle(std::string_view text);
  Action handle_greeting(const Json& greeting);
  Action handle_event(Json& message);
  std::optional<Action> handle_reply(const Json* id, Json& value);
  std::optional<Action> handle_error(const Json* id, const Json& error);
  SentMap::iterator find_sent(const Json* id);
  Sent take_sent(SentMap::iterator command);
  std::string wire(CommandId id, std::string_view command, const Json& arguments) const;
  Failure fail(std::string reason);

  JsonFramer framer_;
  std::size_t max_depth_;
  std::string id_prefix_;
  Phase phase_ = Phase::greeting;
  bool greeted_ = false;
  QmpGreeting greeting_;
  CommandId last_id_ = 0;
  SentMap sent_;              ///< unanswered, including forgotten ones, oldest first
  std::size_t forgotten_ = 0; ///< how many of them
  bool shut_down_ = false;    ///< a SHUTDOWN event came, and the VM did not go on
  bool quitting_ = false;     ///< `quit` was answered
  std::string failure_;
};

} // namespace qemuctl::detail
