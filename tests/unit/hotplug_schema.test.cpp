// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// hotplug/config.schema.json against the readers of configurations, of which it is made.
#include "catch.hpp"
#include "config_format.hpp"
#include "golden.hpp"
#include "schema.hpp"

#include <algorithm>
#include <string>
#include <vector>

using namespace qemuctl;

namespace {

std::filesystem::path schema_file() {
  return test::source_dir() / "hotplug/config.schema.json";
}

bool has_shape(const qemuctl::detail::Format<hotplug::detail::ConfigFile>& format, const Json& document) {
  qemuctl::detail::Problems problems;
  qemuctl::detail::ReadContext context{problems, {}};
  format.read(document, "", context);
  return problems.empty();
}

bool has_right_shape(const Json& document) {
  return has_shape(hotplug::detail::config_format(), document) ||
         has_shape(hotplug::detail::first_config_format(), document);
}

} // namespace

TEST_CASE("config.schema.json is the schema of both formats") {
  const Json either = Json::object({{"anyOf", Json::array({hotplug::detail::config_format().schema,
                                                           hotplug::detail::first_config_format().schema})}});
  const std::string text = test::schema_text(either, "Which devices of a host go to which QEMU virtual machine");
  if (test::update_golden()) test::write_file(schema_file(), text);
  CHECK(text == test::read_file(schema_file()));
}

TEST_CASE("the schema and the parser accept and refuse the same shapes") {
  std::vector<Json> documents;
  for (const char* document : {R"({
    "vms": [{"name": "a", "type": "qemu", "socket": "/a", "monitor": "hold"}, {"name": "b", "pid": 7},
            {"name": "c", "config": "c.json", "autoStart": true}],
    "usbPassthrough": [{"description": "x", "targetVm": "a", "tag": "t", "skipOnSuspend": true, "guestReset": false,
      "guestResetsAll": true, "enable": true,
      "allow": [{"interfaceClass": 3, "vendorId": "046d", "bus": 3, "removable": ["fixed"], "speed": 12,
                 "interfaces": {"anyOf": [{"class": 8}], "equals": [{}]}, "disable": true}],
      "deny": [{"vendorId": "0x1234"}]}, {"allowedVms": ["a", "b"], "allow": [{"serial": "1"}]}],
    "evdevPassthrough": [{"targetVm": "a", "allow": [{"property": "p", "value": "1"}], "deny": [{"property": "q", "value": "1"}]}],
    "pciPassthrough": [{"targetVm": "a", "allow": [{"address": "0000:01:00.0", "deviceClass": 2}], "pciIommuAddAll": true}],
    "acpiPassthrough": [{"targetVm": "a", "description": "x", "enable": true,
      "allow": [{"acpiTable": "t", "setUser": "u", "setGroup": "g", "description": "y", "disable": true}]}],
    "usbAuthorization": {"enable": true, "deauthorizeUnmatched": false, "hostAllow": [{"vendorId": "046d"}]}, "general": {"persistency": false, "statePath": "s", "crosvm": "x",
      "selectTimeout": 3,
      "api": {"enable": true, "transports": ["tcp"], "port": 1, "unixSocketMode": "0600", "allowedCids": [3],
        "maxConnectionsPerPeer": 2, "permissions": [{"who": {"cid": 3}, "may": "read", "ownVm": false},
          {"who": {"transport": "unix", "uid": 1, "gid": 2, "token": "t"}, "may": "admin", "vms": ["a"]}]}}})",
                               R"({
    "vms": [{"name": "a", "qmpSocket": "/a", "evdevPassthrough": {"enable": false},
      "usbPassthrough": [{"class": 3, "protocol": 2, "description": "m", "ignore": [{"vendorId": "046d"}]}]}],
    "general": {"persistency": false}})"}) {
    const Json whole = parse_json(document);
    CHECK(has_right_shape(whole));
    for (Json& spoilt : test::spoilt(whole)) documents.push_back(std::move(spoilt));
  }
  const std::vector<bool> accepted = test::verdicts(schema_file(), documents);
  for (std::size_t i = 0; i < documents.size(); ++i) {
    INFO(documents[i].dump());
    CHECK(accepted[i] == has_right_shape(documents[i]));
  }
  CHECK(std::ranges::count(accepted, true) > 20);
  CHECK(std::ranges::count(accepted, false) > 300);
}
