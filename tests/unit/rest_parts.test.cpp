// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What the REST API is made of, without sockets.
#include "catch.hpp"
#include "event_log.hpp"
#include "http_message.hpp"
#include "rest_resources.hpp"
#include "webvirt.hpp"

#include <string>

using namespace hotplug;
using namespace hotplug::detail;
using qemuctl::Json;

namespace {

std::string joined(const std::optional<std::vector<std::string>>& path) {
  if (!path) return "(none)";
  std::string text;
  for (const std::string& part : *path) text += "[" + part + "]";
  return text;
}

DeviceState input(int number, const std::string& path_tag, const std::string& name) {
  InputDevice device;
  device.input = number;
  device.sys_name = "event" + std::to_string(number + 10);
  device.sys_path = "/sys/devices/input" + std::to_string(number) + "/" + device.sys_name;
  device.path_tag = path_tag;
  device.name = name;
  DeviceState state;
  state.device = device;
  return state;
}

qemuctl::VmStatus status(qemuctl::State state, const std::string& run_state, bool alive = true) {
  qemuctl::VmStatus result;
  result.state = state;
  result.run_state = run_state;
  result.process_alive = alive;
  return result;
}

} // namespace

TEST_CASE("a path is taken apart before its escapes are, and never leads upwards") {
  CHECK(joined(path_of("/")) == "[]");
  CHECK(joined(path_of("/a/b%2Fc?d=/e")) == "[a][b/c]");
  CHECK(joined(path_of("/a//b/")) == "[a][][b][]");
  CHECK(joined(path_of("/pci-0000%3a00:14.3")) == "[pci-0000:00:14.3]");
  for (const char* bad :
       {"", "a", "*", "http://x/", "/..", "/%2e%2E/a", "/a/.", "/%", "/%4", "/%4g", "/%00", "/\x7f"}) {
    INFO(bad);
    CHECK(joined(path_of(bad)) == "(none)");
  }
}

TEST_CASE("a query is a list of names and values") {
  const auto query = query_of("/a?b=c&d=e%20f+g&&h&=i");
  REQUIRE(query);
  std::string text;
  for (const auto& [name, value] : *query) text += name + "=" + value + ";";
  CHECK(text == "b=c;d=e f g;h=;=i;");
  CHECK(query_of("/a")->empty());
  CHECK_FALSE(query_of("/a?%zz=1"));
  std::string many = "/a?";
  for (int i = 0; i < 65; ++i) many += "a=b&";
  CHECK_FALSE(query_of(many));
}

TEST_CASE("entity tags are compared one by one") {
  CHECK(etag_of("a") != etag_of("b"));
  CHECK(has_etag("\"1\", W/\"2\"", "\"2\""));
  CHECK(has_etag("*", "\"2\""));
  CHECK_FALSE(has_etag("\"1\",\"12\"", "\"2\""));
  CHECK_FALSE(has_etag("", "\"2\""));
  CHECK(has_etag("W/\"1\", \"2\"", "\"2\"", EtagComparison::strong));
  CHECK_FALSE(has_etag("W/\"2\"", "\"2\"", EtagComparison::strong));
}

TEST_CASE("a content type is the same whatever its parameters and case are") {
  for (const char* good : {"application/json", "Application/JSON ; charset=utf-8", " application/json;charset=utf-8"})
    CHECK(is_content_type(good, "application/json"));
  for (const char* bad : {"", "application/jsonp", "text/plain; application/json", "application/json charset=utf-8"})
    CHECK_FALSE(is_content_type(bad, "application/json"));
}

TEST_CASE("the event log resumes after any event that it still has") {
  EventLog log("e", 3, 1'000'000);
  std::uint64_t position = log.end();
  for (int i = 1; i <= 5; ++i) log.add("a", Json(i));
  CHECK_FALSE(log.read(position)); // the first two are gone
  CHECK_FALSE(log.after("e-1"));
  CHECK(log.after("e-2") == 3);
  CHECK(log.after("e-5") == 6);
  for (const char* wrong : {"e-6", "f-5", "e-", "e-x", "e-5x", "", "e-99999999999999999999"})
    CHECK_FALSE(log.after(wrong));
  position = 4;
  CHECK(log.read(position) == "id: e-4\nevent: a\ndata: 4\n\nid: e-5\nevent: a\ndata: 5\n\n");
  CHECK(position == 6);
  CHECK(log.read(position) == "");
}

TEST_CASE("the event log has a limit in bytes, too") {
  EventLog log("e", 1'000, 300);
  for (int i = 0; i < 10; ++i) log.add("a", Json(std::string(100, 'x')));
  CHECK_FALSE(log.after("e-7"));
  CHECK(log.after("e-8"));
}

TEST_CASE("ids of input devices are path tags, and unique") {
  std::vector<DeviceState> devices;
  devices.push_back(input(5, "pci-1", "Keys 2"));
  devices.push_back(input(3, "pci-1", "Keys"));
  devices.push_back(input(6, "pci-1", "Keys 2"));
  devices.push_back(input(7, "", "Virtual"));
  DeviceIds known;
  const std::vector<std::string> ids = known.of(devices);
  CHECK(ids[0] == "input-pci-1-Keys_2");
  CHECK(ids[1] == "input-pci-1");
  CHECK(ids[2] == "input-pci-1-Keys_2-event16");
  CHECK(ids[3] == "input-event17");
}

TEST_CASE("an input device keeps its id when another with its path tag goes, whose id becomes free") {
  DeviceIds known;
  std::vector<DeviceState> devices(1, input(3, "pci-1", "Keys"));
  const DeviceState first = devices[0], second = input(4, "pci-1", "Buttons");
  CHECK(known.of(devices)[0] == "input-pci-1");
  devices.push_back(second);
  CHECK(known.of(devices)[1] == "input-pci-1-Buttons");
  devices.erase(devices.begin());
  CHECK(known.of(devices)[0] == "input-pci-1-Buttons");
  CHECK(known.of(second) == "input-pci-1-Buttons");
  CHECK(known.of(first) == "input-pci-1"); // what is reported of it late
  devices.insert(devices.begin(), input(9, "pci-1", "Keys"));
  CHECK(known.of(devices)[0] == "input-pci-1");
  CHECK(known.of(devices)[1] == "input-pci-1-Buttons");
}

TEST_CASE("the state of a device is one word") {
  DeviceState device = input(1, "a", "b");
  CHECK(state_of(device) == "host");
  device.select = true;
  CHECK(state_of(device) == "waiting");
  device.select = false;
  device.target = "a";
  CHECK(state_of(device) == "moving");
  device.vm = "a";
  CHECK(state_of(device) == "attached");
  device.degraded = "why";
  CHECK(state_of(device) == "problem");
  device.foreign = true;
  CHECK(state_of(device) == "foreign");
}

TEST_CASE("states of VMs are translated into webvirt's words") {
  using qemuctl::State;
  CHECK(webvirt_state(status(State::running, "running")) == "running");
  CHECK(webvirt_state(status(State::paused, "paused")) == "paused by user");
  CHECK(webvirt_state(status(State::paused, "io-error")) == "blocked on resource");
  CHECK(webvirt_state(status(State::prelaunch, "inmigrate")) == "paused by user");
  CHECK(webvirt_state(status(State::suspended, "suspended")) == "suspended by guest power management");
  CHECK(webvirt_state(status(State::shutdown, "shutdown")) == "being shutdown");
  CHECK(webvirt_state(status(State::shutdown, "", false)) == "shut off");
  CHECK(webvirt_state(status(State::crashed, "guest-panicked")) == "crashed");
  CHECK(webvirt_state(status(State::unknown, "")).empty());
}
