// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "stick_host.hpp"

#include "catch.hpp"

#include <map>
#include <utility>

using Catch::Matchers::StartsWith;
using qemuctl::Json;

namespace test {

StickHost::StickHost(FakeQemu::Decide decide) : qemu(socket("a"), std::move(decide)) {
  add_vm("a");
  add_vm("b");
  add_rule("Stick", "a").vms.push_back("b");
  options.attach_connected = false;
  stick = host.plug(root, 3, 1, 5);
}

std::string problem_of(const HttpAnswer& answer, int status) {
  CHECK(answer.status == status);
  CHECK(answer.header("content-type") == "application/problem+json");
  const Json json = answer.json();
  CHECK(json.at("status") == Json(status));
  CHECK_THAT(json.at("type").as_string(), StartsWith("urn:qemuctl:"));
  static std::map<std::string, std::string> titles; // one for each type (RFC 9457, 3.1.4)
  const std::string& title = json.at("title").as_string();
  CHECK(titles.emplace(json.at("type").as_string(), title).first->second == title);
  CHECK_FALSE(title.empty());
  return json.at("detail").as_string();
}

void listen(HttpWire& wire, const std::string& fields) {
  wire.send("GET /api/1/events HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n");
  const HttpAnswer head = wire.head();
  CHECK(head.status == 200);
  CHECK(head.header("content-type") == "text/event-stream");
}

hotplug::ApiPermission permission(const std::string& token, hotplug::ApiLevel may, const std::string& vm) {
  hotplug::ApiPermission result;
  result.transport = "rest";
  result.token = token;
  result.may = may;
  if (!vm.empty()) result.vms.emplace(1, vm);
  return result;
}

} // namespace test
