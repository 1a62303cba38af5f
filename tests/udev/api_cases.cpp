// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "api_cases.hpp"

#include "catch.hpp"

#include <sys/stat.h>

#include <exception>
#include <fstream>
#include <utility>

namespace test {

void write_tokens(const std::filesystem::path& file) {
  std::ofstream(file) << "ops 0123456789abcdef\n";
  ::chmod(file.c_str(), 0600);
}

std::string error_of(const std::string& answer) {
  const qemuctl::Json json = qemuctl::parse_json(answer);
  CHECK(json.at("result") == qemuctl::Json("failed"));
  return json.at("error").as_string();
}

std::string refusal(ApiHost& host) {
  if (!host.engine) host.start();
  try {
    const hotplug::ApiServer server(host.io.get_executor(), *host.engine, host.api);
  } catch (const std::exception& error) {
    return error.what();
  }
  return {};
}

hotplug::ApiPermission permission(hotplug::ApiLevel level, std::optional<std::vector<std::string>> vms) {
  hotplug::ApiPermission result;
  result.may = level;
  result.vms = std::move(vms);
  return result;
}

ApiStickHost::ApiStickHost(FakeQemu::Decide decide) : qemu(socket("a"), std::move(decide)) {
  add_vm("a");
  add_rule("Stick", "a");
  options.attach_connected = false;
  stick = host.plug(root, 3, 1, 5);
}

} // namespace test
