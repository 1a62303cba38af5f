// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/config.hpp>
#include <hotplug/notification.hpp>
#include <hotplug/state.hpp>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hotplug::detail {

/// What is known about a client of the device API, from the kernel and from the client itself.
struct Peer {
  std::string transport; ///< "unix", "tcp", "vsock", "rest"
  std::optional<std::uint32_t> uid;
  std::vector<std::uint32_t> gids;
  int pid = 0; ///< 0: not known
  std::optional<std::uint32_t> cid;
  std::string address; ///< of TCP, without the port
  std::string token;   ///< the name of the one that it has presented
  std::string own_vm;  ///< the VM with that CID; empty: none
};

/// "user 1000 (process 77) on unix", "CID 3 (VM a) on vsock", "127.0.0.1 on tcp with token ops".
std::string description(const Peer& peer);

/// Connections with the same key are counted together.
std::string quota_key(const Peer& peer);

/// What a client may do.
struct Rights {
  ApiLevel everywhere = ApiLevel::none;
  std::map<std::string, ApiLevel, std::less<>> in_vm; ///< in addition, for single VMs

  ApiLevel in(std::string_view vm) const;
  /// The highest level that it has for any VM.
  ApiLevel anywhere() const;
  bool operator==(const Rights&) const = default;
};

/// Whether the guest with that CID may connect. Without `allowed_cids` every guest may, but no process of this host
/// (CIDs below 3), which other permissions are meant for. Pure.
bool may_connect(std::uint32_t cid, const ApiConfig& config);

/// Pure.
Rights rights_of(const Peer& peer, const ApiConfig& config);

/// Whether a client with these rights may know of the device: it is in one of the client's VMs, or allowed there. Pure.
bool may_see(const Rights& rights, const Placement& place);

/// Why a client with these rights may not take the device from the VM that has it, is meant to have it, or gets it back
/// after a suspend; empty: it may. Pure.
std::string why_held(const Rights& rights, const Placement& place);

/// A device that the client may see, without the names of VMs that it may not: in allowed VMs, in where the device is
/// or should be, and in why it is not there. Pure.
DeviceState as_seen_by(const Rights& rights, DeviceState device);
/// The same for a notification; nullopt: it does not concern the client. If a device goes into a VM that the client may
/// not see, the client learns only that it cannot have the device. Pure.
std::optional<Notification> as_seen_by(const Rights& rights, Notification notification);

struct Token {
  std::string name, secret;
  bool operator==(const Token&) const = default;
};

/// Lines of NAME TOKEN; empty lines and those that begin with # are skipped. A token has at least 16 characters. Throws
/// `qemuctl::Error` (`errc::invalid_argument`) that names the line, never the token.
std::vector<Token> parse_tokens(std::string_view text, const std::string& source);

/// The same from a file, which must not be readable by everybody.
std::vector<Token> load_tokens(const std::filesystem::path& file);

/// The token that was presented; nullptr: it is not one of them. The time this takes depends only on `shown`.
const Token* find_token(const std::vector<Token>& tokens, std::string_view shown);

} // namespace hotplug::detail
