// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "hotplug_host.hpp"

#include <algorithm>
#include <string>
#include <vector>

using namespace qemuctl;

namespace {

constexpr const char* tablets_to_a = R"([{"targetVm": "a", "allow": [{"vendorId": "0627"}]}])";
constexpr const char* tablets_to_own = R"([{"targetVm": "own", "allow": [{"vendorId": "0627"}]}])";

/// Those of devices; how often the engine uses a monitor depends on the time.
std::vector<std::string> usb_events(const std::vector<Json>& notifications) {
  std::vector<std::string> names;
  for (const Json& each : notifications)
    if (each.contains("usb_device")) names.push_back(each.at("event").as_string());
  return names;
}

} // namespace

TEST_CASE("a device is attached when it is plugged in, and gone when it is unplugged") {
  test::HotplugHost host;
  host.start_vm("a");
  host.start_daemon(tablets_to_a);
  host.plug_tablet("tablet", "3");
  host.wait_for("1-3", "a");
  host.host.pull("tablet");
  host.host.wait_until("nothing is left", [&] { return host.host.usb_of(host.vm("a")).empty(); });
  using Names = std::vector<std::string>;
  host.host.wait_until("all is told", [&] { return usb_events(host.notifications()).size() >= 4; });
  CHECK(usb_events(host.notifications()) == Names{"usb_connected", "usb_attached", "usb_detached", "usb_disconnected"});
}

TEST_CASE("two identical devices go to two VMs by their ports") {
  test::HotplugHost host;
  host.start_vm("a");
  host.start_vm("b");
  host.start_daemon(R"([{"targetVm": "a", "allow": [{"vendorId": "0627", "portPath": "1-3"}]},
                        {"targetVm": "b", "allow": [{"vendorId": "0627", "portPath": "1-4"}]}])");
  host.plug_tablet("first", "3");
  host.plug_tablet("second", "4");
  host.wait_for("1-3", "a");
  host.wait_for("1-4", "b");
}

TEST_CASE("devices behind a hub come and go with it") {
  test::HotplugHost host;
  host.start_vm("a");
  host.host.plug(Json::object({{"driver", "usb-hub"}, {"id", "hub"}, {"port", "2"}}));
  for (const char* child : {"1", "2", "3"}) host.plug_tablet(std::string("child") + child, std::string("2.") + child);
  host.host.wait_for_device("/sys/bus/usb/devices/1-2.3");
  // They are there already, which -a is for; the hub itself is not passed.
  host.start_daemon(tablets_to_a, {}, "-a");
  for (const char* child : {"1", "2", "3"}) host.wait_for(std::string("1-2.") + child, "a");
  CHECK(host.device("1-2").is_null());
  host.host.pull("hub");
  host.host.wait_until("nothing is left", [&] { return host.host.usb_of(host.vm("a")).empty(); });
}

TEST_CASE("a VM that was killed has its devices again after a restart") {
  test::HotplugHost host;
  host.start_vm("a");
  host.start_daemon(tablets_to_a);
  host.plug_tablet("tablet", "3");
  host.wait_for("1-3", "a");
  host.kill_vm("a");
  host.wait_for("1-3", "");
  host.start_vm("a");
  host.wait_for("1-3", "a");
}

TEST_CASE("after a kill the next service finds what is attached, what is gone and what is new") {
  test::HotplugHost host;
  host.start_vm("a");
  host.start_daemon(tablets_to_a);
  host.plug_tablet("stays", "3");
  host.plug_tablet("goes", "4");
  host.wait_for("1-3", "a");
  host.wait_for("1-4", "a");
  const auto before = host.host.usb_of(host.vm("a"));
  host.signal_daemon("KILL");
  host.host.pull("goes");
  host.host.wait_for_removal("/sys/bus/usb/devices/1-4");
  host.plug_tablet("comes", "5");
  host.host.wait_for_device("/sys/bus/usb/devices/1-5");
  SECTION("without -a what came meanwhile is left with the host") {
    host.start_daemon_again();
    host.host.wait_until("what is gone is deleted", [&] { return host.host.usb_of(host.vm("a")).size() == 1; });
    host.wait_for("1-3", "a");
    host.wait_for("1-5", "");
  }
  SECTION("with -a it is attached") {
    host.start_daemon_again("-a");
    host.wait_for("1-3", "a");
    host.wait_for("1-5", "a");
    host.host.wait_until("what is gone is deleted", [&] { return host.host.usb_of(host.vm("a")).size() == 2; });
  }
  // What stayed was not touched.
  const auto after = host.host.usb_of(host.vm("a"));
  const auto is_there = [&](const std::string& id) {
    return std::any_of(after.begin(), after.end(), [&](const auto& usb) { return usb.id == id; });
  };
  CHECK(std::any_of(before.begin(), before.end(), [&](const auto& usb) { return is_there(usb.id); }));
}

TEST_CASE("a VM that was restarted while the service was down has its devices again") {
  test::HotplugHost host;
  host.start_vm("a");
  host.start_daemon(tablets_to_a);
  host.plug_tablet("tablet", "3");
  host.wait_for("1-3", "a");
  host.signal_daemon("TERM");
  CHECK(host.host.usb_of(host.vm("a")).size() == 1);
  host.kill_vm("a");
  host.start_vm("a");
  host.start_daemon_again();
  host.wait_for("1-3", "a");
}

TEST_CASE("a device stays in its VM when the guest is reset") {
  test::HotplugHost host;
  host.start_vm("a");
  host.start_daemon(tablets_to_a);
  host.plug_tablet("tablet", "3");
  host.wait_for("1-3", "a");
  host.host.execute(host.vm("a"), "system_reset");
  host.wait_for("1-3", "a");
}

TEST_CASE("a device moves between VMs on request, and the choice is remembered") {
  test::HotplugHost host;
  host.start_vm("a");
  host.start_vm("b");
  host.start_daemon(R"([{"allowedVms": ["a", "b"], "allow": [{"vendorId": "0627"}]}])");
  host.plug_tablet("tablet", "3");
  host.host.wait_until("grep -q usb_select_vm /tmp/notifications");
  host.wait_for("1-3", "");
  CHECK(host.request(R"({"action": "usb_attach", "bus": "1", "port": 3, "vm": "b", "id": 7})").dump() ==
        R"({"result":"ok","id":7})");
  host.wait_for("1-3", "b");
  CHECK(host.request(R"({"action": "usb_attach", "vid": "0627", "pid": "0001", "vm": "a"})").at("result") ==
        Json("ok"));
  host.wait_for("1-3", "a");
  CHECK(host.request(R"({"action": "usb_attach", "device_node": "/dev/bus/usb/001/002", "vm": "c"})").at("result") ==
        Json("failed"));
  host.wait_for("1-3", "a");

  host.host.pull("tablet");
  host.host.wait_for_removal("/sys/bus/usb/devices/1-3");
  host.plug_tablet("tablet", "3");
  host.wait_for("1-3", "a");
}

TEST_CASE("a device that cannot go to another VM goes back to where it was") {
  test::HotplugHost host;
  host.start_vm("a");
  // All 15 ports of its controller are taken, and it has no place for another one.
  std::string keyboards;
  for (int port = 1; port <= 15; ++port) keyboards += " -device usb-kbd,port=" + std::to_string(port);
  host.start_vm("full", keyboards);
  host.start_daemon(R"([{"allowedVms": ["a", "full"], "allow": [{"vendorId": "0627"}]}])");
  host.plug_tablet("tablet", "3");
  host.host.wait_for_device("/sys/bus/usb/devices/1-3");
  host.host.wait_until("grep -q usb_select_vm /tmp/notifications");
  CHECK(host.request(R"({"action": "usb_attach", "bus": 1, "port": 3, "vm": "a"})").at("result") == Json("ok"));
  const Json answer = host.request(R"({"action": "usb_attach", "bus": 1, "port": 3, "vm": "full"})");
  CHECK(answer.at("result") == Json("failed"));
  CHECK_THAT(answer.at("error").as_string(), Catch::Matchers::ContainsSubstring("-device qemu-xhci,p2=15,p3=15"));
  CHECK_THAT(answer.at("error").as_string(), Catch::Matchers::ContainsSubstring("It goes back to VM a."));
  host.wait_for("1-3", "a");
}

TEST_CASE("the last port of a controller is used, without a hub of QEMU's in between") {
  test::HotplugHost host;
  std::string keyboards;
  for (int i = 0; i < 13; ++i) keyboards += " -device usb-kbd";
  host.start_vm("a", keyboards);
  host.start_daemon(tablets_to_a);
  host.plug_tablet("first", "3");
  host.plug_tablet("second", "4");
  host.wait_for("1-3", "a");
  host.wait_for("1-4", "a");
  const Json monitor =
      host.host.execute(host.vm("a"), "human-monitor-command", Json::object({{"command-line", "info usb"}}));
  CHECK_THAT(monitor.as_string(), !Catch::Matchers::ContainsSubstring("Hub"));
  // The next one has no place, and the service says what to do.
  host.plug_tablet("third", "5");
  host.host.wait_until("the reason is told", [&] {
    const Json device = host.device("1-5");
    return device.contains("degraded") && device.at("degraded").as_string().find("pcie-root-port") != std::string::npos;
  });
}

TEST_CASE("a controller is added where the machine has a free root port") {
  test::HotplugHost host;
  std::string arguments = "-device pcie-root-port,id=rp0,chassis=1,slot=1";
  for (int port = 1; port <= 15; ++port) arguments += " -device usb-kbd,port=" + std::to_string(port);
  host.start_vm("a", arguments);
  host.start_daemon(tablets_to_a);
  host.plug_tablet("tablet", "3");
  host.wait_for("1-3", "a");
}

TEST_CASE("a QEMU that runs as another user gets its devices as descriptors") {
  test::HotplugHost host;
  host.start_vm("a", test::as_nobody());
  host.start_daemon(tablets_to_a);
  host.plug_tablet("tablet", "3");
  host.wait_for("1-3", "a");
  CHECK(host.host.usb_of(host.vm("a"))[0].node.starts_with("/dev/fdset/"));
  // QEMU has a copy of its own, and the one that was passed is given up.
  const Json sets = host.host.execute(host.vm("a"), "query-fdsets");
  for (const Json& set : sets.as_array()) CHECK(set.at("fds").as_array().empty());
  host.host.pull("tablet");
  host.host.wait_until("nothing is left", [&] { return host.host.usb_of(host.vm("a")).empty(); });
  // The device's descriptors of QEMU are closed, too.
  const std::string pid = std::to_string(host.vm("a").pid());
  host.host.wait_until("! ls -l /proc/" + pid + "/fd | grep -q /dev/bus/usb");
}

TEST_CASE("a QEMU started by hand is served by its PID") {
  test::HotplugHost host;
  host.start_vm("a");
  host.host.write_file("/tmp/rules.json", R"({"usbPassthrough": [{"allow": [{"vendorId": "0627"}]}]})");
  const std::string pid = std::to_string(host.vm("a").pid());
  const int service =
      host.host.spawn(QEMUCTL_HOTPLUGD " -d -a --pid " + pid + " --rules /tmp/rules.json", "/tmp/by-pid.log");
  host.plug_tablet("tablet", "3");
  host.host.wait_until("it is attached", [&] {
    const auto usb = host.host.usb_of(host.vm("a"));
    return usb.size() == 1 && usb[0].attached;
  });
  // It ends with its VM.
  host.kill_vm("a");
  host.host.wait_until("! test -e /proc/" + std::to_string(service));
}

TEST_CASE("a monitor in use by somebody else is waited for, and yielded between operations") {
  test::HotplugHost host;
  host.start_vm("a");
  const std::string use = QEMUCTL_API_CALL " " + host.vm("a").socket() + R"( '{"execute": "qmp_capabilities"}')";
  const int other = host.host.spawn(use + " --follow", "/tmp/other.log");
  host.host.wait_until("grep -q return /tmp/other.log");
  host.start_daemon(tablets_to_a);
  host.plug_tablet("tablet", "3");
  // The holder is named.
  host.host.wait_until("grep -q 'blocked.*api_call' /tmp/daemon.log");
  host.wait_for("1-3", "");
  host.host.output_of("kill " + std::to_string(other));
  host.wait_for("1-3", "a");
  // Free again for others.
  host.host.wait_until("grep -q yielded /tmp/daemon.log");
  CHECK_THAT(host.host.output_of(use), Catch::Matchers::ContainsSubstring("QMP"));
  host.host.pull("tablet");
  host.host.wait_until("nothing is left", [&] { return host.host.usb_of(host.vm("a")).empty(); });
}

TEST_CASE("with --detach-on-exit the service detaches its devices before it ends, and the next one attaches them") {
  test::HotplugHost host;
  host.start_vm("a");
  host.start_daemon(tablets_to_a, {}, "--detach-on-exit");
  host.plug_tablet("tablet", "3");
  host.wait_for("1-3", "a");
  host.signal_daemon("TERM");
  CHECK(host.host.usb_of(host.vm("a")).empty());
  host.start_daemon_again();
  host.wait_for("1-3", "a");
}

TEST_CASE("a device that the user detached stays out until the user attaches it") {
  test::HotplugHost host;
  host.start_vm("a");
  host.start_daemon(tablets_to_a);
  host.plug_tablet("tablet", "3", "one");
  host.wait_for("1-3", "a");
  CHECK(host.request(R"({"action": "usb_detach", "port_path": "1-3"})").at("result") == Json("ok"));
  host.wait_for("1-3", "");
  host.host.pull("tablet");
  host.host.wait_for_removal("/sys/bus/usb/devices/1-3");
  host.signal_daemon("TERM");
  host.start_daemon_again("-a");
  host.plug_tablet("tablet", "4", "one"); // another port, and still this device
  host.host.wait_until("it is known", [&] { return host.device("1-4").contains("disconnected"); });
  host.wait_for("1-4", "");
  CHECK(host.request(R"({"action": "usb_attach", "port_path": "1-4"})").at("result") == Json("ok"));
  host.wait_for("1-4", "a");
  CHECK_THAT(host.host.output_of("cat /tmp/state/hotplug.state"),
             Catch::Matchers::ContainsSubstring(R"("disconnected_devices": [])"));
}

TEST_CASE("new rules apply to present devices, and invalid ones are refused") {
  test::HotplugHost host;
  host.start_vm("a");
  host.start_vm("b");
  host.start_daemon(tablets_to_a);
  host.plug_tablet("tablet", "3");
  host.wait_for("1-3", "a");
  host.host.write_file(test::HotplugHost::config_path, R"({"vms": [}")");
  host.host.wait_until("grep -q 'the old configuration stays' /tmp/daemon.log");
  host.signal_daemon("HUP", false);
  host.host.wait_until("test $(grep -c 'the old configuration stays' /tmp/daemon.log) = 2");
  host.wait_for("1-3", "a");
  host.write_config(R"([{"targetVm": "b", "allow": [{"vendorId": "0627"}]}])");
  host.wait_for("1-3", "b");
  for (const char* name : {"1-3", "0627:0001", "tablet", "/sys/bus/usb/devices/1-3",
                           "$(. /sys/bus/usb/devices/1-3/uevent; echo /dev/$DEVNAME)"})
    CHECK_THAT(host.host.output_of(std::string(QEMUCTL_HOTPLUGD " -c ") + test::HotplugHost::config_path +
                                   " --explain " + name),
               Catch::Matchers::ContainsSubstring("it goes to VM b"));
  host.write_config(R"([{"targetVm": "b", "allow": [{"vendorId": "1234"}]}])");
  host.wait_for("1-3", "");
}

TEST_CASE("two engines never take the same device") {
  test::HotplugHost host;
  host.start_vm("a");
  host.start_vm("b");
  host.start_daemon(tablets_to_a);
  const std::string pid = std::to_string(host.vm("b").pid());
  host.host.write_file("/tmp/rules.json", R"({"usbPassthrough": [{"allow": [{"vendorId": "0627"}]}]})");
  host.plug_tablet("tablet", "3");
  host.wait_for("1-3", "a");
  host.host.spawn(QEMUCTL_HOTPLUGD " -d -a --pid " + pid + " --rules /tmp/rules.json", "/tmp/other.log");
  host.host.wait_until("grep -q 'another engine has it: process .* for VM a' /tmp/other.log");
  // Nor what the QEMU of an engine has that is not there any more.
  host.signal_daemon("KILL");
  host.host.wait_until("grep -q 'process .* uses it' /tmp/other.log");
  CHECK(host.host.usb_of(host.vm("b")).empty());
  CHECK(host.host.usb_of(host.vm("a")).size() == 1);
}

TEST_CASE("a device that somebody else attached is shown, and left alone") {
  test::HotplugHost host;
  host.start_vm("a");
  host.start_vm("b");
  host.plug_tablet("tablet", "3");
  host.host.wait_for_device("/sys/bus/usb/devices/1-3");
  host.host.execute(host.vm("b"), "device_add",
                    Json::object({{"driver", "usb-host"}, {"id", "mine"}, {"hostbus", 1}, {"hostaddr", 2}}));
  host.start_daemon(tablets_to_a, {}, "-a");
  host.wait_for("1-3", "b");
  CHECK(host.device("1-3").at("foreign") == Json(true));
  CHECK(host.request(R"({"action": "usb_detach", "port_path": "1-3"})").at("result") == Json("failed"));
  CHECK(host.host.usb_of(host.vm("b")).size() == 1);
}

TEST_CASE("nothing is lost in 200 cycles of plugging and unplugging") {
  test::HotplugHost host;
  host.start_vm("a");
  host.start_daemon(R"([{"targetVm": "a", "allow": [{"interfaceClass": 11}]}])");
  const auto id = [](int port) { return "reader" + std::to_string(port); };
  for (int round = 0; round < 20; ++round) {
    // Card readers, because the host has no driver for them, which makes it quicker.
    for (int port = 3; port < 13; ++port)
      host.host.plug(Json::object({{"driver", "usb-ccid"}, {"id", id(port)}, {"port", std::to_string(port)}}));
    host.host.wait_until("all are in", [&] { return host.host.count_usb_of(host.vm("a")) == 10; });
    for (int port = 3; port < 13; ++port) host.host.pull(id(port));
    host.host.wait_until("all are out", [&] { return host.host.count_usb_of(host.vm("a")) == 0; });
  }
  // Nothing piles up in the service.
  CHECK(std::stoi(host.host.output_of("ls /proc/" + std::to_string(host.daemon_pid()) + "/fd | wc -l")) < 30);
}

TEST_CASE("qemuctl-run keeps devices in the VM that it launches, also in the background") {
  test::HostVm host;
  const auto plug = [&](const char* id, const char* port) {
    host.plug(Json::object({{"driver", "usb-tablet"}, {"id", id}, {"port", port}}));
  };
  host.write_file("/tmp/vm.json", R"({"name": "run", "memory": 64, "machine": {"type": "q35", "accel": "tcg"},
    "socketDir": "/run/vms", "hotplug": {"usbPassthrough": [{"allow": [{"vendorId": "0627", "portPath": "1-3"}]}]}})");
  host.write_file("/tmp/rules.json", R"({"usbPassthrough": [{"allow": [{"vendorId": "0627", "portPath": "1-4"}]}]})");
  const int run = host.spawn(QEMUCTL_RUN " /tmp/vm.json", "/tmp/run.log");
  plug("first", "3");
  host.wait_until("grep -q 'hotplug: VM run has 1-3 .* now' /tmp/run.log");

  const std::string printed =
      host.output_of(QEMUCTL_RUN " --detach --name other --hotplug /tmp/rules.json /tmp/vm.json 2>/dev/null");
  CHECK_THAT(printed, Catch::Matchers::StartsWith("name: other\npid: "));
  const std::string engine = printed.substr(printed.find("engine: ") + 8);
  plug("second", "4");
  host.wait_until("grep -q 'VM other has 1-4 .* now' /run/vms/other-hotplug.log");
  // It ends with its VM, as the one in the foreground does.
  host.output_of("kill -9 " +
                 printed.substr(printed.find("pid: ") + 5, printed.find("\nsocket") - printed.find("pid: ") - 5));
  host.wait_until("! test -e /proc/" + engine);
  host.output_of("kill " + std::to_string(run));
  host.wait_until("grep -q 'asking run to shut down' /tmp/run.log");
  host.output_of("kill " + std::to_string(run));
  host.wait_until("! test -e /proc/" + std::to_string(run));
}

TEST_CASE("a VM of a vm.json is started with the service, and both outlive a service that is killed") {
  test::HotplugHost host;
  host.host.write_file("/tmp/own.json", R"({"name": "own", "memory": 64, "machine": {"type": "q35", "accel": "tcg"},
    "usb": {"type": "qemu-xhci"}, "socketDir": "/run/vms"})");
  host.start_daemon(tablets_to_own, {R"({"name": "own", "config": "/tmp/own.json", "autoStart": true})"});
  host.plug_tablet("tablet", "3");
  const auto wait_until_in_vm = [&] {
    host.host.wait_until("the tablet is in the VM", [&] {
      const Json tablet = host.device("1-3");
      return tablet.is_object() && tablet.find("vm") && tablet.at("vm") == Json("own");
    });
  };
  wait_until_in_vm();
  const std::string pid = host.host.output_of("pgrep -f [g]uest=own");
  host.host.output_of("ls -l /proc/" + pid + "/fd | grep /dev/bus/usb/001/");

  host.signal_daemon("KILL");
  host.start_daemon_again();
  wait_until_in_vm();
  CHECK(host.host.output_of("pgrep -f [g]uest=own") == pid);
  host.host.pull("tablet");
  host.host.wait_until("! ls -l /proc/" + pid + "/fd | grep /dev/bus/usb/001/");
  host.host.output_of("kill -9 " + pid);
}
