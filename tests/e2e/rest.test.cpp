// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "hotplug_host.hpp"

#include <string>

using namespace qemuctl;

namespace {

/// A service with a REST API and a folder of VMs.
struct RestService : test::HotplugHost {
  RestService() {
    host.output_of("mkdir -p /tmp/vms");
    more_rules = parse_json(R"({"general": {"statePath": "/tmp/state/hotplug.state",
      "api": {"enable": true, "transports": ["unix"], "unixSocket": ")" +
                            std::string(api_path) + R"("},
      "rest": {"enable": true, "vmDir": "/tmp/vms"}}})");
  }
  Json ask(const std::string& method, const std::string& target, const std::string& body = {}) {
    return parse_json(host.output_of(QEMUCTL_SOURCE_DIR "/tests/e2e/rest_call " + method + " " + target +
                                     (body.empty() ? "" : " '" + body + "'")));
  }
  int status(const std::string& method, const std::string& target, const std::string& body = {}) {
    return static_cast<int>(ask(method, target, body).at("status").as_int());
  }
  void wait_for_status(const std::string& target, int wanted) {
    host.wait_until(target + " is answered with " + std::to_string(wanted),
                    [&] { return status("GET", target) == wanted; });
  }
  Json vm() { return ask("GET", "/api/1/vms/own").at("body"); }
};

} // namespace

TEST_CASE(
    "a VM whose file comes into the folder is started by REST, outlives a service that is killed, and is stopped") {
  RestService service;
  service.start_daemon("[]");
  CHECK(service.status("GET", "/api/1/vms/own") == 404);
  service.host.write_file("/tmp/vms/own.json",
                          R"({"name": "own", "memory": 64, "machine": {"type": "q35", "accel": "tcg"},
    "display": {"video": "vga"}, "socketDir": "/run/vms"})");
  service.wait_for_status("/api/1/vms/own", 200);
  CHECK(service.vm().at("state") == Json("shutdown"));

  const Json started = service.ask("POST", "/api/1/vms/own/actions/start");
  CHECK(started.at("status") == Json(200));
  const std::string pid = service.host.output_of("pgrep -f [g]uest=own");
  CHECK(started.at("body").at("pid").dump() == pid);
  service.host.wait_until("it runs", [&] { return service.vm().at("state") == Json("running"); });
  const Json picture = service.ask("GET", "/api/1/vms/own/screenshot.png");
  CHECK(picture.at("status") == Json(200));
  CHECK(picture.at("type") == Json("image/png"));
  CHECK(picture.at("begin") == Json("89504e470d0a1a0a"));

  service.signal_daemon("KILL");
  service.host.output_of("test -e /proc/" + pid);
  service.start_daemon_again();
  service.host.wait_until("it is found", [&] { return service.vm().at("state") == Json("running"); });
  CHECK(service.vm().at("pid").dump() == pid);
  CHECK(service.status("POST", "/api/1/vms/own/actions/start") == 409);
  CHECK(service.status("POST", "/api/1/vms/own/actions/shutdown") == 200); // which nobody hears: it has no guest
  const Json stopped = service.ask("POST", "/api/1/vms/own/actions/stop", R"({"timeout": 1})");
  CHECK(stopped.at("status") == Json(200));
  service.host.wait_until("! test -e /proc/" + pid);
  service.host.wait_until("it has ended", [&] { return service.vm().at("running") == Json(false); });
  CHECK(service.status("POST", "/api/1/vms/own/actions/start") == 200); // and again
  service.host.wait_until("it runs", [&] { return service.vm().at("state") == Json("running"); });
  CHECK(service.status("POST", "/api/1/vms/own/actions/stop", R"({"timeout": 0})") == 200);

  service.host.output_of("rm /tmp/vms/own.json");
  service.wait_for_status("/api/1/vms/own", 404);
}
