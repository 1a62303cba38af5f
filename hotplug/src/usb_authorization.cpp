// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "usb_authorization.hpp"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

namespace hotplug::detail {

namespace fs = std::filesystem;

namespace {

constexpr const char* usb_devices = "/sys/bus/usb/devices/";

} // namespace

std::optional<bool> wanted_authorization(const AuthorizationCase& facts) {
  if (facts.in_vm) return true;
  if (facts.host_allow && !facts.has_rule) return true;
  if (facts.host_uses) return std::nullopt;
  if (facts.has_rule) return facts.was_in_vm || !facts.was_there ? std::optional(false) : std::nullopt;
  return facts.was_there && !facts.sweep ? std::nullopt : std::optional(false);
}

std::optional<AuthorizationBefore> AuthorizationBefore::parse(const std::string& name, const std::string& text) {
  AuthorizationBefore before;
  const std::size_t at = std::min(name.find('@'), name.size());
  before.sys_name = name.substr(0, at);
  if (at < name.size()) before.address = name.substr(at + 1);
  before.value = text.substr(0, text.find('\n'));
  // It is written back to sysfs unchanged.
  if (before.value.empty() || before.value.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  return before;
}

AuthorizationBefore authorization_before(const UsbDevice& device) {
  return {device.sys_name, std::to_string(device.address), device.authorized ? "1" : "0"};
}

std::vector<std::string> root_hubs() {
  std::vector<std::string> names;
  std::error_code ec;
  for (fs::directory_iterator entry(usb_devices, ec), end; !ec && entry != end; entry.increment(ec))
    if (std::string name = entry->path().filename().string(); name.starts_with("usb")) names.push_back(std::move(name));
  std::ranges::sort(names);
  return names;
}

std::string default_authorization_file(const std::string& root_hub) {
  return usb_devices + root_hub + "/authorized_default";
}

std::string authorization_file(const std::string& sys_name) {
  return usb_devices + sys_name + "/authorized";
}

} // namespace hotplug::detail
