// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Which VMs the engine has, and where it looks for them.
#include "catch.hpp"
#include "engine_host.hpp"
#include "fake_qemu.hpp"
#include "golden.hpp"
#include "run.hpp"

#include <hotplug/engine.hpp>
#include <qemuctl/instance.hpp>

#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

using namespace hotplug;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using qemuctl::Instance;
using test::FakeQemu;
using Host = test::EngineHost;

namespace {

/// As a program that attaches to a QEMU itself.
std::shared_ptr<Instance> attach(Host& host, const FakeQemu& qemu) {
  qemuctl::MonitorAddress address = qemuctl::UnixPath(qemu.socket().string());
  return std::make_shared<Instance>(test::run(host.io, Instance::attach(std::move(address))));
}

} // namespace

TEST_CASE("a second VM of the same name is refused, and the first keeps getting its devices") {
  Host host;
  host.add_rule("Stick", "a");
  FakeQemu one(host.socket("one")), two(host.socket("two"));
  const std::shared_ptr<Instance> first = attach(host, one), second = attach(host, two);
  Engine& engine = host.engine.emplace(host.io.get_executor(), host.config, host.options);
  engine.add_vm("a", first);
  std::string refusal;
  try {
    engine.add_vm("a", second);
  } catch (const qemuctl::Error& error) {
    refusal = error.what();
    CHECK(error.code() == qemuctl::errc::invalid_argument);
  }
  CHECK_THAT(refusal, ContainsSubstring("VM a") && ContainsSubstring("the engine has a VM of that name"));
  CHECK(engine.vms().size() == 1);
  host.run_engine();
  host.host.plug(host.root, 3, 1, 5);
  host.wait_for("3-1", "a");
  CHECK(one.devices().size() == 1);
  CHECK(two.devices().empty());
}

TEST_CASE("a configuration with a VM of the program's own is refused, and nothing changes") {
  Host host;
  host.add_rule("Stick", "a");
  FakeQemu qemu(host.socket("a"));
  Engine& engine = host.engine.emplace(host.io.get_executor(), host.config, host.options);
  engine.add_vm("a", attach(host, qemu));
  host.run_engine();
  Config other = host.config;
  other.vms.emplace_back().name = "a";
  other.vms.back().socket = host.socket("other").string();
  other.usb_rules.clear();
  CHECK_THROWS_WITH(engine.reload(other), ContainsSubstring("VM a") && ContainsSubstring("from its program"));
  CHECK(engine.vms().size() == 1);
  host.host.plug(host.root, 3, 1, 5);
  host.wait_for("3-1", "a");
}

TEST_CASE("after a reload a VM that is not running yet is expected where its vm.json now says") {
  bool waits = false;
  Host host;
  const std::string file = host.dir / "a.json";
  const auto write_vm = [&](const std::string& folder) {
    std::filesystem::create_directories(host.dir / folder);
    test::write_file(file, fmt::format(R"({{"name": "a", "socketDir": "{}"}})", (host.dir / folder).string()));
  };
  write_vm("before");
  VmEntry entry;
  entry.name = "a";
  entry.config = file;
  host.config.vms.push_back(entry);
  host.options.log = [&](LogLevel, std::string_view line) { waits = waits || line == "VM a: waiting"; };
  host.start();
  const auto link = [&] { return host.engine->vms().at(0).link; };
  host.wait_until("it is waited for", [&] { return waits; });
  write_vm("after");
  FakeQemu qemu(host.dir / "after/a.sock");
  host.engine->reload(host.config);
  host.wait_until("it is connected", [&] { return link() == LinkState::connected; });
}

TEST_CASE("an unreadable vm.json is read again on a reload") {
  Host host;
  const std::string file = host.dir / "a.json";
  test::write_file(file, "{");
  VmEntry entry;
  entry.name = "a";
  entry.config = file;
  host.config.vms.push_back(entry);
  host.start();
  const auto link = [&] { return host.engine->vms().at(0).link; };
  host.wait_until("it is blocked", [&] { return link() == LinkState::blocked; });
  test::write_file(file, fmt::format(R"({{"name": "a", "socketDir": "{}"}})", host.dir.path().string()));
  host.engine->reload(host.config);
  host.wait_until("it is waited for", [&] { return link() == LinkState::waiting; });
}
