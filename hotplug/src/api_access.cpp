// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "api_access.hpp"

#include "text_file.hpp"

#include <qemuctl/error.hpp>

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <utility>

namespace hotplug {

std::string_view to_string(ApiLevel level) noexcept {
  switch (level) {
  case ApiLevel::none:
    return "none";
  case ApiLevel::read:
    return "read";
  case ApiLevel::attach:
    return "attach";
  case ApiLevel::admin:
    return "admin";
  }
  return "";
}

namespace detail {

namespace {

constexpr const char* operation = "read the tokens of the device API";
constexpr std::size_t max_file_size = 64 << 10;
constexpr std::size_t shortest_token = 16;

constexpr const char* in_hidden_vm = "it is in a VM that you may not see";
constexpr const char* for_hidden_vm = "it is meant for a VM that you may not see";

[[noreturn]] void fail(const std::string& file, std::string detail, std::string advice = {}) {
  qemuctl::Diagnostics diagnostics;
  diagnostics.operation = operation;
  diagnostics.subject = file;
  diagnostics.detail = std::move(detail);
  diagnostics.advice = std::move(advice);
  throw qemuctl::Error(qemuctl::errc::invalid_argument, std::move(diagnostics));
}

bool is_meant(const ApiPermission& who, const Peer& peer) {
  return (who.transport.empty() || who.transport == peer.transport) && (!who.cid || who.cid == peer.cid) &&
         (!who.uid || who.uid == peer.uid) &&
         (!who.gid || std::find(peer.gids.begin(), peer.gids.end(), *who.gid) != peer.gids.end()) &&
         (who.token.empty() || who.token == peer.token);
}

void raise(ApiLevel& level, ApiLevel to) {
  level = std::max(level, to);
}

/// Compares all of it, wherever the first difference is.
bool is_same(std::string_view shown, std::string_view secret) {
  volatile unsigned difference = shown.size() == secret.size() ? 0 : 1;
  for (std::size_t i = 0; i < shown.size(); ++i)
    difference = difference | static_cast<unsigned char>(shown[i] ^ secret[i % secret.size()]);
  return difference == 0;
}

} // namespace

std::string description(const Peer& peer) {
  std::string text;
  if (peer.uid)
    text = fmt::format("user {}{}", *peer.uid, peer.pid > 0 ? fmt::format(" (process {})", peer.pid) : "");
  else if (peer.cid)
    text = fmt::format("CID {}{}", *peer.cid, peer.own_vm.empty() ? "" : fmt::format(" (VM {})", peer.own_vm));
  else
    text = peer.address;
  text += " on " + peer.transport;
  if (!peer.token.empty()) text += " with token " + peer.token;
  return text;
}

std::string quota_key(const Peer& peer) {
  if (peer.uid) return fmt::format("user {}", *peer.uid);
  if (peer.cid) return fmt::format("CID {}", *peer.cid);
  return peer.address;
}

ApiLevel Rights::in(std::string_view vm) const {
  const auto found = in_vm.find(vm);
  return found == in_vm.end() ? everywhere : std::max(everywhere, found->second);
}

ApiLevel Rights::anywhere() const {
  ApiLevel highest = everywhere;
  for (const auto& [vm, level] : in_vm) raise(highest, level);
  return highest;
}

Rights rights_of(const Peer& peer, const ApiConfig& config) {
  Rights rights;
  if (!config.permissions) {
    const bool trusted = peer.transport == "unix" || peer.transport == "rest" || !peer.token.empty();
    rights.everywhere = trusted ? ApiLevel::admin : ApiLevel::attach;
    return rights;
  }
  for (const ApiPermission& permission : *config.permissions) {
    if (!is_meant(permission, peer)) continue;
    if (permission.own_vm) {
      if (!peer.own_vm.empty()) raise(rights.in_vm[peer.own_vm], permission.may);
    } else if (permission.vms) {
      for (const std::string& vm : *permission.vms) raise(rights.in_vm[vm], permission.may);
    } else {
      raise(rights.everywhere, permission.may);
    }
  }
  return rights;
}

bool may_connect(std::uint32_t cid, const ApiConfig& config) {
  constexpr std::uint32_t first_guest = 3;
  if (!config.allowed_cids) return cid >= first_guest;
  return std::find(config.allowed_cids->begin(), config.allowed_cids->end(), cid) != config.allowed_cids->end();
}

bool may_see(const Rights& rights, const Placement& place) {
  const auto may = [&](const std::string& vm) { return rights.in(vm) >= ApiLevel::read; };
  return rights.everywhere >= ApiLevel::read || (place.vm && may(*place.vm)) ||
         std::any_of(place.allowed_vms.begin(), place.allowed_vms.end(), may);
}

std::string why_held(const Rights& rights, const Placement& place) {
  for (const std::optional<std::string>* vm : {&place.vm, &place.target, &place.returns_to}) {
    if (!*vm || rights.in(**vm) >= ApiLevel::attach) continue;
    if (rights.in(**vm) < ApiLevel::read) return vm == &place.vm ? in_hidden_vm : for_hidden_vm;
    return fmt::format("you may not move devices of VM {}", **vm);
  }
  return {};
}

DeviceState as_seen_by(const Rights& rights, DeviceState device) {
  const auto hidden = [&](const std::string& vm) { return rights.in(vm) < ApiLevel::read; };
  std::erase_if(device.allowed_vms, hidden);
  const auto hide = [&](std::optional<std::string>& vm) {
    const bool is_hidden = vm && hidden(*vm);
    if (is_hidden) vm.reset();
    return is_hidden;
  };
  hide(device.chosen);
  const bool elsewhere = hide(device.vm), is_to_be_elsewhere = hide(device.target),
             returns_elsewhere = hide(device.returns_to);
  if (!elsewhere && !is_to_be_elsewhere && !returns_elsewhere) return device;
  if (elsewhere) device.foreign = false;
  device.degraded = elsewhere ? in_hidden_vm : for_hidden_vm;
  device.problem = ProblemKind::in_use;
  return device;
}

std::optional<Notification> as_seen_by(const Rights& rights, Notification notification) {
  using Kind = Notification::Kind;
  const bool visible = notification.vm.empty() || rights.in(notification.vm) >= ApiLevel::read;
  if (notification.kind == Kind::vm_state) return visible ? std::optional(std::move(notification)) : std::nullopt;
  const bool of_theirs = visible && !notification.vm.empty();
  if (!of_theirs && !may_see(rights, notification.device)) return std::nullopt;
  notification.device = as_seen_by(rights, std::move(notification.device));
  if (!visible) {
    if (notification.kind != Kind::attached) return std::nullopt;
    notification.kind = Kind::degraded;
    notification.vm.clear();
  }
  if (notification.kind == Kind::degraded) notification.text = notification.device.degraded;
  return notification;
}

std::vector<Token> parse_tokens(std::string_view text, const std::string& source) {
  std::vector<Token> tokens;
  int number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    constexpr std::string_view blank = " \t\r";
    line.remove_prefix(std::min(line.find_first_not_of(blank), line.size()));
    line = line.substr(0, line.find_last_not_of(blank) + 1);
    if (line.empty() || line.starts_with('#')) continue;
    const std::size_t gap = line.find_first_of(blank);
    const std::size_t begin = line.find_first_not_of(blank, gap);
    if (gap == line.npos || line.find_first_of(blank, begin) != line.npos)
      fail(source, fmt::format("line {} is not of the form NAME TOKEN", number));
    Token token{std::string(line.substr(0, gap)), std::string(line.substr(begin))};
    if (token.secret.size() < shortest_token)
      fail(source, fmt::format("line {} has a token of less than {} characters", number, shortest_token),
           "Make one with: openssl rand -hex 16");
    tokens.push_back(std::move(token));
  }
  if (tokens.empty()) fail(source, "there is no token in it", "Write lines of NAME TOKEN.");
  return tokens;
}

std::vector<Token> load_tokens(const std::filesystem::path& file) {
  const std::string text = qemuctl::detail::read_text_file(file, max_file_size, operation);
  struct stat status {};
  if (::stat(file.c_str(), &status) == 0 && (status.st_mode & (S_IROTH | S_IWOTH)) != 0)
    fail(file.string(), "everybody on this host can read or write it", "chmod 600 it, and make new tokens.");
  return parse_tokens(text, file.string());
}

const Token* find_token(const std::vector<Token>& tokens, std::string_view shown) {
  const Token* found = nullptr;
  for (const Token& token : tokens)
    if (is_same(shown, token.secret)) found = &token;
  return found;
}

} // namespace detail
} // namespace hotplug
