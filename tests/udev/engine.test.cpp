// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The engine against a QEMU that does what a real one does not do on demand: VMs and USB devices.
#include "catch.hpp"
#include "engine_host.hpp"
#include "fake_qemu.hpp"
#include "free_port.hpp"
#include "other_process.hpp"
#include "run.hpp"
#include "testbed.hpp"

#include <hotplug/engine.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace hotplug;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using qemuctl::Json;
using test::FakeQemu;
using test::first;
using Host = test::EngineHost;
using Fate = FakeQemu::Fate;

TEST_CASE("a device that cannot be opened yet is retried until it can") {
  Host host;
  host.add_vm("a");
  host.add_rule("Stick", "a");
  FakeQemu qemu(host.socket("a"), first("device_add", 3, Fate::refused));
  host.start();
  host.host.plug(host.root, 3, 1, 5);
  host.wait_for("3-1", "a");
  CHECK(qemu.count("device_add") == 4);
  CHECK(host.state("3-1").degraded.empty());
}

TEST_CASE("a device that QEMU accepted without binding it is deleted and added again until it is bound") {
  Host host;
  host.add_vm("a");
  host.add_rule("Stick", "a");
  FakeQemu qemu(host.socket("a"), first("device_add", 2, Fate::unbound));
  host.start();
  host.host.plug(host.root, 3, 1, 5);
  host.wait_for("3-1", "a");
  CHECK(qemu.count("device_add") == 3);
  CHECK(qemu.count("device_del") == 2);
  CHECK(qemu.devices().size() == 1);
}

TEST_CASE("a failing device has a reason, and does not delay other devices of its VM") {
  Host host;
  host.add_vm("a");
  host.add_rule("Bad|Stick", "a");
  FakeQemu qemu(host.socket("a"), [](const FakeQemu::Command& command) {
    return command.name == "device_add" && command.arguments.at("hostaddr").as_int() == 5 ? Fate::refused : Fate::done;
  });
  host.start();
  host.host.plug(host.root, 3, 1, 5, "Bad");
  host.host.plug(host.root, 3, 2, 6);
  host.wait_for("3-2", "a");
  host.wait_until("it is degraded", [&] { return !host.state("3-1").degraded.empty(); });
  CHECK_THAT(host.state("3-1").degraded, ContainsSubstring("failed to find host usb device"));
  CHECK_FALSE(host.state("3-1").vm);
  CHECK(host.state("3-1").target == "a");
}

TEST_CASE("a QEMU that does not answer delays no other VM, and gets its device once it answers") {
  Host host;
  host.options.command_timeout = 300ms;
  host.add_vm("stuck");
  host.add_vm("b");
  host.add_rule("Slow", "stuck");
  host.add_rule("Stick", "b");
  FakeQemu stuck(host.socket("stuck"), first("device_add", 1, Fate::ignored));
  FakeQemu other(host.socket("b"));
  host.start();
  host.host.plug(host.root, 3, 1, 5, "Slow");
  host.wait_until("it is asked for", [&] { return stuck.count("device_add") == 1; });
  host.host.plug(host.root, 3, 2, 6);
  host.wait_for("3-2", "b");
  CHECK(stuck.count("device_add") == 1); // still without an answer
  CHECK_FALSE(host.state("3-1").vm);
  host.wait_for("3-1", "stuck");
  CHECK(stuck.devices().size() == 1);
}

TEST_CASE("when the connection ends before a reply, the engine finds out what became of the command") {
  Host host;
  host.add_vm("a");
  host.add_rule("Stick", "a");
  const Fate fate = GENERATE(Fate::cut, Fate::done_lost);
  FakeQemu qemu(host.socket("a"), first("device_add", 1, fate));
  host.start();
  host.host.plug(host.root, 3, 1, 5);
  host.wait_for("3-1", "a");
  CHECK(qemu.count("device_add") == (fate == Fate::cut ? 2 : 1));
  CHECK(qemu.devices().size() == 1);
}

TEST_CASE("a device whose deletion was lost with the connection is not deleted twice, nor forgotten") {
  Host host;
  host.add_vm("a");
  host.add_rule("Stick", "a");
  const Fate fate = GENERATE(Fate::cut, Fate::done_lost);
  FakeQemu qemu(host.socket("a"), first("device_del", 1, fate));
  host.start();
  const std::string device = host.host.plug(host.root, 3, 1, 5);
  host.wait_for("3-1", "a");
  test::run(host.io, host.engine->detach("/sys" + device));
  CHECK(qemu.devices().empty());
  CHECK(qemu.count("device_del") == (fate == Fate::cut ? 2 : 1));
  CHECK(host.state("3-1").detached);
}

TEST_CASE("a device that somebody else removed is attached again") {
  Host host;
  host.add_vm("a");
  host.add_rule("Stick", "a");
  FakeQemu qemu(host.socket("a"));
  host.start();
  host.host.plug(host.root, 3, 1, 5);
  host.wait_for("3-1", "a");
  qemu.lose(qemu.devices().begin()->first);
  host.wait_until("it is added again", [&] { return qemu.count("device_add") == 2; });
  host.wait_for("3-1", "a");
  CHECK(qemu.devices().size() == 1);
}

TEST_CASE("a device that somebody else removed while another was being deleted is attached again") {
  Host host;
  host.add_vm("a");
  host.add_rule("Stick", "a");
  FakeQemu* vm = nullptr;
  std::string lost; // set before the device_del that reads it is sent
  FakeQemu qemu(host.socket("a"), [&](const FakeQemu::Command& command) {
    if (command.name == "device_del" && !lost.empty()) vm->lose(std::exchange(lost, {}));
    return Fate::done;
  });
  vm = &qemu;
  host.start();
  host.host.plug(host.root, 3, 1, 5);
  host.wait_for("3-1", "a");
  lost = qemu.devices().begin()->first;
  const std::string second = host.host.plug(host.root, 3, 2, 6);
  host.wait_for("3-2", "a");
  test::run(host.io, host.engine->detach("/sys" + second));
  host.wait_until("the first is added again", [&] { return qemu.count("device_add") == 3; });
  host.wait_for("3-1", "a");
  CHECK(qemu.devices().size() == 1);
}

TEST_CASE("DEVICE_DELETED counts for the device itself, not for a child of it") {
  Host host;
  host.add_vm("a");
  host.add_vm("b");
  host.add_rule("Stick", "a").vms.push_back("b");
  FakeQemu* vm = nullptr;
  FakeQemu a(host.socket("a"), [&](const FakeQemu::Command& command) {
    if (command.name != "device_del") return Fate::done;
    vm->lose_child(command.arguments.at("id").as_string());
    return Fate::pending;
  });
  vm = &a;
  FakeQemu b(host.socket("b"));
  host.start();
  const std::string stick = host.host.plug(host.root, 3, 1, 5);
  host.wait_until("it is there", [&] { return host.is_there("3-1"); });
  test::run(host.io, host.engine->attach("/sys" + stick, "a"));
  const std::string id = a.devices().begin()->first;
  bool moved = false;
  asio::co_spawn(host.io, host.engine->attach("/sys" + stick, "b"), [&](std::exception_ptr) { moved = true; });
  host.wait_until("QEMU was asked", [&] { return a.count("device_del") == 1; });
  // By the time that another one is in the other VM, this one would be, too.
  const std::string second = host.host.plug(host.root, 3, 2, 6);
  host.wait_until("another one is there", [&] { return host.is_there("3-2"); });
  test::run(host.io, host.engine->attach("/sys" + second, "b"));
  CHECK(b.count("device_add") == 1);
  CHECK_FALSE(moved);
  a.lose(id);
  host.wait_for("3-1", "b");
  CHECK(a.devices().empty());
}

TEST_CASE("the guest reset options of a rule are passed to QEMU") {
  Host host;
  host.add_vm("a");
  UsbRule& rule = host.add_rule("Stick", "a");
  rule.guest_reset = false;
  rule.guest_resets_all = true;
  host.add_rule("Other", "a");
  FakeQemu qemu(host.socket("a"));
  host.start();
  host.host.plug(host.root, 3, 1, 5);
  host.wait_for("3-1", "a");
  host.host.plug(host.root, 3, 2, 6, "Other");
  host.wait_for("3-2", "a");
  const auto additions = qemu.additions();
  REQUIRE(additions.size() == 2);
  CHECK(additions[0].arguments.at("guest-reset") == qemuctl::Json(false));
  CHECK(additions[0].arguments.at("guest-resets-all") == qemuctl::Json(true));
  CHECK(additions[1].arguments.find("guest-reset") == nullptr);
  CHECK(additions[1].arguments.find("guest-resets-all") == nullptr);
}

TEST_CASE("devices are added by bus and address only, to a named port") {
  Host host;
  host.add_vm("a");
  host.add_rule("Stick", "a");
  FakeQemu qemu(host.socket("a"));
  host.start();
  host.host.plug(host.root, 3, 1, 5);
  host.wait_for("3-1", "a");
  const qemuctl::Json properties = qemu.additions().at(0).arguments;
  CHECK(properties.at("hostbus").as_int() == 3);
  CHECK(properties.at("hostaddr").as_int() == 5);
  CHECK(properties.at("port").as_string() == "15");
  CHECK(properties.find("vendorid") == nullptr);
  CHECK(properties.find("hostport") == nullptr);
}

TEST_CASE("a device that comes back with another address keeps its VM, and the old one is deleted") {
  Host host;
  host.add_vm("a");
  host.add_rule("Stick", "a");
  FakeQemu qemu(host.socket("a"));
  host.start();
  const std::string stick = host.host.plug(host.root, 3, 1, 5);
  host.wait_for("3-1", "a");
  host.host.pull(stick);
  host.host.plug(host.root, 3, 1, 6);
  host.wait_until("the new one is in", [&] { return host.is_in("3-1", "a") && host.state("3-1").device.address == 6; });
  host.wait_until("the old one is not", [&] { return qemu.devices().size() == 1; });
  CHECK(qemu.devices().begin()->second.at("hostaddr").as_int() == 6);
}

TEST_CASE("a device that switches its mode in its port stays in its VM") {
  test::EngineHost host;
  host.add_vm("a");
  host.add_vm("b");
  host.add_rule("Stick|Modem", "a").vms.push_back("b"); // somebody has to choose
  FakeQemu a(host.socket("a")), b(host.socket("b"));
  host.start_and_connect();
  // When a VM comes, nobody is asked any more about what was there before.
  host.wait_until("b is connected", [&] { return host.engine->vms().at(1).link == LinkState::connected; });
  const std::string stick = host.host.plug(host.root, 3, 1, 5);
  host.wait_until("it is there", [&] { return host.is_there("3-1") && host.state("3-1").select; });
  test::run(host.io, host.engine->attach("/sys" + stick, "b"));
  host.host.pull(stick);
  host.host.plug(host.root, 3, 1, 6, "Modem", "00", "c52c");
  host.wait_until("it is a modem", [&] { return host.is_there("3-1") && host.state("3-1").device.address == 6; });
  host.wait_for("3-1", "b");
  CHECK(a.count("device_add") == 0);
}

TEST_CASE("a QEMU that restarts on the same socket gets its devices again") {
  test::EngineHost host;
  host.add_vm("a");
  host.add_rule("Stick", "a");
  std::optional<FakeQemu> qemu;
  qemu.emplace(host.socket("a"));
  host.start();
  host.host.plug(host.root, 3, 1, 5);
  host.wait_for("3-1", "a");
  qemu.reset();
  host.wait_until("it is waited for", [&] { return host.engine->vms().at(0).link == LinkState::waiting; });
  qemu.emplace(host.socket("a"));
  host.wait_until("it is added again", [&] { return qemu->count("device_add") == 1; });
  host.wait_for("3-1", "a");
}

TEST_CASE("a QEMU whose process is unknown has ended when its monitor is gone") {
  Host host;
  const int port = test::free_tcp_port();
  host.add_vm("a");
  host.config.vms.back().socket = fmt::format("tcp:127.0.0.1:{}", port);
  host.add_rule("Stick", "a");
  auto qemu = std::make_unique<FakeQemu>(port);
  host.start();
  host.host.plug(host.root, 3, 1, 5);
  host.wait_for("3-1", "a");
  REQUIRE_FALSE(host.engine->vms().at(0).pid);
  qemu.reset();
  host.wait_until("it is in no VM", [&] { return !host.state("3-1").vm; });
  const VmState vm = host.engine->vms().at(0);
  CHECK(vm.link == LinkState::waiting);
  CHECK(vm.status.state == qemuctl::State::shutdown);
}

TEST_CASE("after 1000 consecutive events each device is attached where it should be, once") {
  Host host;
  host.config.general.max_arrivals_per_minute = 0;
  host.add_vm("a");
  host.add_rule("Stick", "a");
  FakeQemu qemu(host.socket("a"));
  host.start_and_connect();
  // Only so many at once as umockdev's socket takes.
  for (int round = 0; round < 125; ++round) {
    std::vector<std::string> devices;
    for (int port = 1; port <= 4; ++port)
      devices.push_back(host.host.plug(host.root, 3, port, 2 + (round * 4 + port) % 126));
    host.wait_until("the last is there", [&] { return host.is_there("3-4"); });
    if (round == 124) break;
    for (const std::string& device : devices) host.host.pull(device);
    host.wait_until("the last is gone", [&] { return !host.is_there("3-4"); });
  }
  for (const char* port : {"3-1", "3-2", "3-3", "3-4"}) host.wait_for(port, "a");
  host.wait_until("nothing else is there", [&] { return qemu.devices().size() == 4; });
}

TEST_CASE("a device that comes and goes too often is kept out with a reason, until the user attaches it") {
  Host host;
  host.config.general.max_arrivals_per_minute = 3;
  host.add_vm("a");
  host.add_rule("Stick", "a");
  FakeQemu qemu(host.socket("a"));
  host.start_and_connect();
  for (int address = 5; address < 8; ++address) {
    const std::string device = host.host.plug(host.root, 3, 1, address);
    host.wait_for("3-1", "a");
    host.host.pull(device);
    host.wait_until("it is gone", [&] { return !host.is_there("3-1") && qemu.devices().empty(); });
  }
  const std::string device = host.host.plug(host.root, 3, 1, 8);
  host.wait_until("it is degraded", [&] { return host.is_there("3-1") && !host.state("3-1").degraded.empty(); });
  CHECK_THAT(host.state("3-1").degraded, ContainsSubstring("came and went too often"));
  CHECK(qemu.count("device_add") == 3);
  test::run(host.io, host.engine->attach("/sys" + device, "a"));
  CHECK(qemu.count("device_add") == 4);
  CHECK(host.state("3-1").degraded.empty());
}

TEST_CASE("a request for a device waits for as long as QEMU is busy with it") {
  Host host;
  host.options.request_timeout = 100ms;
  host.options.attach_connected = false;
  host.add_vm("a");
  host.add_rule("Stick", "a");
  const std::string device = host.host.plug(host.root, 3, 1, 5);
  std::promise<void> mapped;
  FakeQemu qemu(host.socket("a"), [end = mapped.get_future().share()](const FakeQemu::Command& command) {
    if (command.name == "device_add") end.wait_for(10s);
    return Fate::done;
  });
  host.start_and_connect();
  const auto begin = std::chrono::steady_clock::now();
  bool ended = false;
  std::exception_ptr failed;
  asio::co_spawn(host.io, host.engine->attach("/sys" + device, "a"), [&](std::exception_ptr error) {
    ended = true;
    failed = error;
  });
  asio::steady_timer later(host.io, begin + 2 * host.options.request_timeout);
  bool passed = false;
  later.async_wait([&](std::error_code) { passed = true; });
  host.wait_until("its time is over", [&] { return passed; });
  CHECK_FALSE(ended);
  mapped.set_value();
  host.wait_until("it has ended", [&] { return ended; });
  CHECK_FALSE(failed);
  CHECK(host.is_in("3-1", "a"));
}

TEST_CASE("a device stays with the host while the VM of its rule is not configured") {
  Host host;
  host.add_vm("a");
  host.add_vm("b");
  host.add_rule("Stick", "a");
  FakeQemu a(host.socket("a")), b(host.socket("b"));
  host.start();
  host.host.plug(host.root, 3, 1, 5);
  host.wait_for("3-1", "a");
  Config without = host.config;
  without.vms.erase(without.vms.begin());
  host.engine->reload(without);
  host.wait_until("it has no VM to go to", [&] { return !host.state("3-1").target && !host.state("3-1").vm; });
  // With another VM in the rule it does not wait for the one that is missing.
  without.usb_rules.front().vms = {"a", "b"};
  host.engine->reload(without);
  host.wait_for("3-1", "b");
  host.engine->reload(host.config);
  host.wait_for("3-1", "a");
}

TEST_CASE("others can use a yielded monitor while the engine has nothing to do") {
  Host host;
  host.options.idle_before_yield = 10ms;
  host.add_vm("a", "yield");
  host.add_rule("Stick", "a");
  FakeQemu qemu(host.socket("a"));
  host.start();
  host.host.plug(host.root, 3, 1, 5);
  host.wait_for("3-1", "a");
  host.wait_until("it is yielded", [&] { return host.engine->vms().at(0).link == LinkState::yielded; });
  asio::io_context io(1);
  qemuctl::Instance script = test::run(io, [&]() -> asio::awaitable<qemuctl::Instance> {
    qemuctl::MonitorAddress address = qemuctl::UnixPath(host.socket("a").string());
    co_return co_await qemuctl::Instance::attach(std::move(address));
  });
  CHECK(script.state() == qemuctl::State::running);
}

TEST_CASE("the reason names libvirt when it holds the monitor") {
  Host host;
  host.add_vm("a");
  host.add_rule("Stick", "a");
  FakeQemu qemu(host.socket("a"));
  // A process of that name with a connection to the monitor, which this one has not got any more.
  std::optional<test::OtherProcess> libvirt;
  {
    const qemuctl::FileDescriptor connection(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, qemu.socket().c_str());
    REQUIRE(connect(connection.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    libvirt.emplace("virtqemud");
  }
  host.start();
  host.host.plug(host.root, 3, 1, 5);
  host.wait_until("it is blocked", [&] { return host.engine->vms().at(0).link == LinkState::blocked; });
  const std::string problem = host.engine->vms().at(0).problem;
  CHECK_THAT(problem, ContainsSubstring("virtqemud"));
  CHECK_THAT(problem, ContainsSubstring("-qmp unix:PATH,server=on,wait=off"));
  libvirt.reset();
  host.wait_for("3-1", "a");
}

TEST_CASE("a USB device is not authorised for a VM whose monitor somebody else has") {
  Host host;
  host.config.usb_authorization.enable = true;
  host.add_vm("a");
  host.add_rule("Stick", "a");
  FakeQemu qemu(host.socket("a"));
  qemuctl::FileDescriptor other(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, qemu.socket().c_str());
  REQUIRE(connect(other.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  host.start();
  host.wait_until("it is blocked", [&] { return host.engine->vms().at(0).link == LinkState::blocked; });
  const std::string stick = host.host.plug(host.root, 3, 1, 5);
  host.host.set(stick, "authorized", "0"); // as the kernel does then
  // By the time that what the host may not have is taken from it, this one would be authorised, too.
  const std::string unknown = host.host.plug(host.root, 3, 2, 6, "Unknown");
  host.host.set(unknown, "authorized", "1");
  host.wait_until("it is the host's no more", [&] { return host.host.get(unknown, "authorized") == "0"; });
  CHECK(host.host.get(stick, "authorized") == "0");
  other.reset();
  host.wait_for("3-1", "a");
  CHECK(host.host.get(stick, "authorized") == "1");
}

TEST_CASE("authorisation that is switched off and on again at once stays on") {
  Host host;
  host.config.usb_authorization.enable = true;
  host.config.usb_authorization.deauthorize_unmatched = true;
  host.add_vm("a");
  const std::string first = host.host.plug(host.root, 3, 1, 5);
  host.host.set(first, "authorized", "1");
  host.start();
  host.wait_until("it is the host's no more", [&] { return host.host.get(first, "authorized") == "0"; });
  Config off = host.config;
  off.usb_authorization = {};
  host.engine->reload(off);
  host.engine->reload(host.config);
  const std::string second = host.host.plug(host.root, 3, 2, 6);
  host.host.set(second, "authorized", "1");
  host.wait_until("the next one is not either", [&] { return host.host.get(second, "authorized") == "0"; });
  CHECK(host.host.get(first, "authorized") == "0");
}

TEST_CASE("a change of a VM's state is a notification, one of its monitor's is not") {
  Host host;
  host.options.idle_before_yield = 10ms;
  host.add_vm("a", "yield");
  host.add_rule("Stick", "a");
  std::optional<FakeQemu> qemu(host.socket("a"));
  host.start();
  NotificationSubscription notifications = host.engine->subscribe();
  const auto yielded = [&] { return host.engine->vms().at(0).link == LinkState::yielded; };
  host.wait_until("it is yielded", yielded);
  for (const int address : {5, 6}) {
    const std::string device = host.host.plug(host.root, 3, 1, address);
    host.wait_for("3-1", "a");
    host.wait_until("it is yielded", yielded);
    host.host.pull(device);
    host.wait_until("it is gone", [&] { return !host.is_there("3-1") && qemu->devices().empty() && yielded(); });
  }
  const std::string latest = host.host.plug(host.root, 3, 1, 7);
  host.wait_for("3-1", "a");
  host.wait_until("it is yielded", yielded);
  qemu.reset();
  host.host.pull(latest); // so that it is looked for
  host.wait_until("it has ended", [&] { return host.engine->vms().at(0).link == LinkState::waiting; });
  std::vector<std::string> states;
  const std::shared_ptr<NotificationSubscription> from =
      std::make_shared<NotificationSubscription>(std::move(notifications));
  const auto drain = [&states, from]() -> asio::awaitable<void> {
    for (bool last = false; !last;) {
      const std::optional<Notification> next = co_await from->next(1s);
      if (!next || next->kind != Notification::Kind::vm_state) continue;
      states.emplace_back(qemuctl::to_string(next->state));
      last = next->state == qemuctl::State::shutdown || next->state == qemuctl::State::crashed;
    }
  };
  test::run(host.io, drain());
  CHECK(states == std::vector<std::string>{"running", "shutdown"});
}
