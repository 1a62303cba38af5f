// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "guest_cid.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/json.hpp>

#include <charconv>
#include <string_view>
#include <system_error>

namespace hotplug::detail {

namespace {

using qemuctl::Json;

constexpr std::string_view driver_begin = "vhost-vsock";
constexpr std::string_view cid_key = "guest-cid";

std::optional<std::uint32_t> number(std::string_view digits) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return error == std::errc() && end == digits.data() + digits.size() ? std::optional(value) : std::nullopt;
}

std::optional<std::uint32_t> of_json(std::string_view text) {
  try {
    const Json device = qemuctl::parse_json(text);
    const Json* driver = device.find("driver");
    const Json* cid = device.find(cid_key);
    if (!driver || !driver->is_string() || !driver->as_string().starts_with(driver_begin) || !cid) return std::nullopt;
    return number(cid->is_string() ? cid->as_string() : cid->dump());
  } catch (const qemuctl::Error&) {
    return std::nullopt;
  }
}

std::optional<std::uint32_t> of_text(std::string_view text) {
  std::optional<std::uint32_t> cid;
  bool is_vsock = text.starts_with(driver_begin);
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(part.size() < text.size() ? part.size() + 1 : part.size());
    const std::size_t equals = part.find('=');
    if (equals == part.npos) continue;
    if (part.substr(0, equals) == "driver") is_vsock = part.substr(equals + 1).starts_with(driver_begin);
    if (part.substr(0, equals) == cid_key) cid = number(part.substr(equals + 1));
  }
  return is_vsock ? cid : std::nullopt;
}

} // namespace

std::optional<std::uint32_t> guest_cid(const std::vector<std::string>& argv) {
  for (std::size_t i = 0; i + 1 < argv.size(); ++i) {
    if (argv[i] != "-device" && argv[i] != "--device") continue;
    const std::string& device = argv[i + 1];
    if (const auto cid = device.starts_with('{') ? of_json(device) : of_text(device)) return cid;
  }
  return std::nullopt;
}

} // namespace hotplug::detail
