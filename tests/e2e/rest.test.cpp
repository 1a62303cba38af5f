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
      "rest": {"enable": true, "vmDir": "/tmp/vms", "webvirtCompat": true}}})");
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
  void write_vm() {
    host.write_file("/tmp/vms/own.json", R"({"name": "own", "memory": 64, "machine": {"type": "q35", "accel": "tcg"},
    "display": {"video": "vga"}, "socketDir": "/run/vms"})");
  }
  void wait_until_running() {
    host.wait_until("it runs", [&] { return vm().at("state") == Json("running"); });
  }
};

} // namespace

TEST_CASE(
    "a VM whose file comes into the folder is started by REST, outlives a service that is killed, and is stopped") {
  RestService service;
  service.start_daemon(R"([{"targetVm": "own", "allow": [{"vendorId": "ffff"}]}])"); // whose file is not there yet
  CHECK(service.status("GET", "/api/1/vms/own") == 404);
  service.write_vm();
  service.wait_for_status("/api/1/vms/own", 200);
  CHECK(service.vm().at("state") == Json("shutdown"));

  const Json started = service.ask("POST", "/api/1/vms/own/actions/start");
  CHECK(started.at("status") == Json(200));
  const std::string pid = service.host.output_of("pgrep -f [g]uest=own");
  CHECK(started.at("body").at("pid").dump() == pid);
  CHECK(started.at("body").at("vm").at("running") == Json(true));
  service.wait_until_running();
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
  CHECK(stopped.at("body").at("vm").at("running") == Json(false));
  service.host.wait_until("! test -e /proc/" + pid);
  service.host.wait_until("it has ended", [&] { return service.vm().at("running") == Json(false); });
  CHECK(service.ask("GET", "/api/0/start/own").at("body") == Json("starting")); // and again
  service.wait_until_running();

  const Json again = service.vm().at("pid");
  service.host.output_of("rm /tmp/vms/own.json");
  service.wait_for_status("/api/1/vms/own", 404);
  service.host.output_of("test -e /proc/" + again.dump()); // forgotten, not ended
  service.signal_daemon("KILL");
  service.start_daemon_again(); // which a rule for a VM that is not there does not keep from starting
  CHECK(service.status("GET", "/api/1/vms/own") == 404);
  service.write_vm();
  service.wait_for_status("/api/1/vms/own", 200);
  service.wait_until_running();
  CHECK(service.vm().at("pid") == again);
  CHECK(service.status("POST", "/api/1/vms/own/actions/stop", R"({"timeout": 0})") == 200);
}

TEST_CASE("under systemd a VM outlives the service that has started it, however that ends") {
  RestService service;
  test::HostVm& host = service.host;
  service.write_config("[]");
  service.write_vm();
  // A systemd of its own, which starts nothing but the service, as its unit says.
  const std::string program = std::string(QEMUCTL_HOTPLUGD) + " -d -c " + test::HotplugHost::config_path;
  host.output_of("sed -e 's|^ExecStart=.*|ExecStart=" + program + "|' -e 's|^.Unit.$|&\\nDefaultDependencies=no|' " +
                 QEMUCTL_SOURCE_DIR + "/tools/systemd/qemuctl-hotplugd.service.in " +
                 ">/etc/systemd/system/qemuctl-hotplugd.service; mount -t cgroup2 none /sys/fs/cgroup");
  host.spawn("unshare --pid --fork --mount --mount-proc --kill-child env container=test /lib/systemd/systemd "
             "--unit=qemuctl-hotplugd.service",
             "/tmp/systemd.log");
  const std::string systemctl = "nsenter --pid --mount --target $(pgrep -x systemd) systemctl ";
  const std::string is_active = systemctl + "is-active qemuctl-hotplugd";
  host.wait_until(is_active);
  CHECK(service.ask("POST", "/api/1/vms/own/actions/start").at("status") == Json(200));
  service.wait_until_running();
  const Json pid = service.vm().at("pid");
  for (const char* end : {"restart", "kill --signal KILL --kill-who main", "stop"}) {
    const std::string main = systemctl + "show -P MainPID qemuctl-hotplugd", before = host.output_of(main);
    host.output_of(systemctl + end + " qemuctl-hotplugd");
    if (end == std::string("stop")) host.output_of(systemctl + "start qemuctl-hotplugd");
    host.wait_until(is_active + " && test $(" + main + ") != " + before);
    service.wait_until_running();
    CHECK(service.vm().at("pid") == pid);
  }
  CHECK(service.status("POST", "/api/1/vms/own/actions/stop", R"({"timeout": 0})") == 200);
  host.wait_until("it has ended", [&] { return service.vm().at("running") == Json(false); });
}
