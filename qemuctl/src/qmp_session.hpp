// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/qmp_client.hpp>

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>

namespace qemuctl::detail {

/// The QMP protocol of one connection, without any I/O: bytes in, actions out.
///
/// Feed it what was read (`receive`), perform what `next_action` returns until there is nothing left, and tell it of the
/// end (`peer_closed`). It knows no sockets, no clocks and no threads, which is what tests and fuzzers drive.
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
    struct Ready { ///< negotiation is over, commands may be sent
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
    /// reply to a command whose client has left to the next client. A few characters of [A-Za-z0-9].
    QmpSession(Limits limits, std::string id_prefix);

    /// Takes bytes as they were read, in pieces of any size.
    void receive(std::string_view bytes);

    /// What is to be done next, in order; nullopt when more bytes are needed.
    std::optional<Action> next_action();

    /// A command as it goes on the wire. Only when `is_ready()`.
    struct Encoded {
        CommandId id;
        std::string bytes;
    };
    Encoded encode(std::string_view command, const Json& arguments);

    /// The caller no longer waits for `id`; a reply to it is ignored, and it no longer counts as unanswered.
    void forget(CommandId id);

    bool is_ready() const noexcept;
    bool greeted() const noexcept; ///< a greeting has come, negotiation may still be under way

    /// How the connection ended, now that the peer has closed it or the socket has failed with `error` (empty for an
    /// orderly end of file). It is clean between two messages with no command unanswered, and also after the peer
    /// announced its end (a SHUTDOWN event or the reply to `quit`), when even a reset is clean: QEMU leaves then without
    /// reading what we sent last.
    ConnectionEnd peer_closed(std::string_view error = {}) const;

private:
    // The implementation chooses; see qmp_session.cpp.
};

} // namespace qemuctl::detail
