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

/// A client of the device API, as far as the kernel and the client itself tell who it is.
struct Peer {
  std::string transport; ///< "unix", "tcp", "vsock", "rest"
  std::optional<std::uint32_t> uid;
  std::vector<std::uint32_t> gids;
  int pid = 0; ///< 0: not known
  std::optional<std::uint32_t> cid;
  std::string address; ///< of TCP, without the port
  std::string token;   ///< the name of the one that it has shown
  std::string own_vm;  ///< the VM with that CID; empty: none
};

/// "user 1000 (process 77) on unix", "CID 3 (VM a) on vsock", "127.0.0.1 on tcp with token ops".
std::string description(const Peer& peer);

/// Whose connections are counted together.
std::string quota_key(const Peer& peer);

/// What somebody may do.
struct Rights {
  ApiLevel everywhere = ApiLevel::none;
  std::map<std::string, ApiLevel, std::less<>> in_vm; ///< beyond that

  ApiLevel in(std::string_view vm) const;
  /// With at least one VM.
  ApiLevel anywhere() const;
  bool operator==(const Rights&) const = default;
};

/// Whether that guest may connect at all: without `allowed_cids` every guest, but no process of this host (CIDs below
/// 3), for which other permissions are meant. Pure.
bool may_connect(std::uint32_t cid, const ApiConfig& config);

/// Pure.
Rights rights_of(const Peer& peer, const ApiConfig& config);

/// Whether somebody with these rights may know of the device: it is in one of their VMs, or may go there. Pure.
bool may_see(const Rights& rights, const Placement& place);

/// Why somebody with these rights may not take the device from the VM that has it, is meant to have it, or gets it back
/// after a suspend; empty: nothing forbids it. Pure.
std::string why_held(const Rights& rights, const Placement& place);

/// A device that they may see, without the names of VMs that they may not: neither where it may go, nor where it is or
/// is to be, nor why it is not there. Pure.
DeviceState as_seen_by(const Rights& rights, DeviceState device);
/// The same for what happens; nullopt: it is nothing to them. That a device goes into a VM that they may not see is
/// told as what it means to them: that they cannot have it. Pure.
std::optional<Notification> as_seen_by(const Rights& rights, Notification notification);

struct Token {
  std::string name, secret;
  bool operator==(const Token&) const = default;
};

/// Lines of NAME TOKEN; empty ones and those that begin with # mean nothing. A token has at least 16 characters. Throws
/// `qemuctl::Error` (`errc::invalid_argument`) that names the line, never the token.
std::vector<Token> parse_tokens(std::string_view text, const std::string& source);

/// The same from a file that not everybody can read.
std::vector<Token> load_tokens(const std::filesystem::path& file);

/// The token that was shown; nullptr: it is none of them. How long that takes depends only on what was shown.
const Token* find_token(const std::vector<Token>& tokens, std::string_view shown);

} // namespace hotplug::detail
