// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What the cases of the device API have in common.
#pragma once

#include "api_host.hpp"
#include "fake_qemu.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace test {

inline constexpr const char* ok = R"({"result":"ok"})";
inline constexpr const char* attach = R"({"action":"usb_attach","device_node":"/dev/bus/usb/003/005","vm":"a"})";
inline constexpr const char* detach = R"({"action":"usb_detach","device_node":"/dev/bus/usb/003/005"})";
inline constexpr const char* hear = R"({"action":"enable_notifications"})";

/// One, of the name "ops": 0123456789abcdef.
void write_tokens(const std::filesystem::path& file);

/// The error of an answer, which has to be one.
std::string error_of(const std::string& answer);

/// What is wrong with a server of this host; empty: nothing.
std::string refusal(ApiHost& host);

/// For everybody.
hotplug::ApiPermission permission(hotplug::ApiLevel level, std::optional<std::vector<std::string>> vms = std::nullopt);

/// A VM "a" for sticks, one of which is in port 3-1.
struct ApiStickHost : ApiHost {
  explicit ApiStickHost(FakeQemu::Decide decide = {});
  FakeQemu qemu;
  std::string stick; ///< its path in sysfs
};

} // namespace test
