// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The web page in headless Chromium, with devices of umockdev's. What the browser does is in browser.py.
#include "catch.hpp"
#include "fake_qemu.hpp"
#include "golden.hpp"
#include "machine.hpp"
#include "page_host.hpp"

#include <asio/co_spawn.hpp>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <regex>
#include <string>
#include <utility>
#include <vector>

using test::FakeQemu;
using test::PageHost;

namespace {

/// A rule that lets a person choose.
void add_choice(PageHost& page, const std::string& product, const std::vector<std::string>& vms) {
  page.add_rule(product, vms.front()).vms = vms;
}

/// VMs `a` and `b` that run, and `c` that does not. "Stick" is for `a` alone, "Key" for any of them.
class ThreeVms : public PageHost {
 public:
  ThreeVms() {
    for (const char* vm : {"a", "b", "c"}) add_vm(vm);
    add_rule("Stick", "a");
    add_choice(*this, "Key", {"a", "b", "c"});
    commands["commands"] = [this](const std::string& name) { return std::to_string(a_.count(name)); };
    commands["attach"] = [this](const std::string& argument) { // "6 a"
      const std::string port = "3-" + argument.substr(0, argument.find(' ')),
                        vm = argument.substr(argument.find(' ') + 1);
      asio::co_spawn(io, engine->attach(state(port).device.sys_path, vm), [](std::exception_ptr) {});
      wait_for(port, vm);
      return "done";
    };
    commands["detach"] = [this](const std::string& port) {
      std::optional<std::string> outcome;
      asio::co_spawn(io, engine->detach(state("3-" + port).device.sys_path),
                     [&](std::exception_ptr error) { outcome = error ? "failed" : "done"; });
      wait_until("it is detached", [&] { return outcome.has_value(); });
      return *outcome;
    };
  }

  /// What the person in front of the page may do with these VMs (none named: with all).
  void permit(hotplug::ApiLevel level, const std::vector<std::string>& vms = {}) {
    hotplug::ApiPermission permission;
    permission.transport = "rest";
    permission.may = level;
    if (!vms.empty()) permission.vms = vms;
    if (!rest_options.permissions) rest_options.permissions.emplace();
    rest_options.permissions->push_back(permission);
  }

 private:
  FakeQemu a_{socket("a")}, b_{socket("b")};
};

} // namespace

TEST_CASE("The page shows what is plugged in and unplugged without being reloaded") {
  ThreeVms page;
  page.start_page();
  page.browse("plug_and_pull");
}

TEST_CASE("Dragging a card moves the device, and columns say why it cannot go there") {
  ThreeVms page;
  page.start_page();
  page.browse("drag");
}

TEST_CASE("A device that is allowed in several VMs becomes a question with answers") {
  ThreeVms page;
  page.start_page();
  page.browse("question");
}

TEST_CASE("What QEMU refuses is on the page in words") {
  PageHost page;
  bool refuse = true;
  page.add_vm("a");
  const FakeQemu vm(page.socket("a"), [&](const FakeQemu::Command& command) {
    return command.name == "device_add" && refuse ? FakeQemu::Fate::refused : FakeQemu::Fate::done;
  });
  page.add_rule("Stick", "a");
  page.start_page();
  page.browse("refusal");
}

TEST_CASE("The page says when the service is gone, and reconnects by itself with what has happened since") {
  ThreeVms page;
  page.start_page();
  page.browse("reconnect");
}

TEST_CASE("Everything on the page can be done with the keyboard, and the focus stays with the device") {
  ThreeVms page;
  page.start_page();
  page.browse("keyboard");
}

TEST_CASE("Everything on the page has a role and a name in the accessibility tree") {
  ThreeVms page;
  page.start_page();
  page.browse("accessibility_tree");
}

TEST_CASE("Every text on the page has a contrast of 4.5 at least in both themes") {
  PageHost page;
  for (const char* vm : {"build", "desktop", "games"}) page.add_vm(vm);
  const FakeQemu build(page.socket("build")), desktop(page.socket("desktop"));
  page.add_rule("USB Receiver", "desktop");
  page.add_rule("Webcam", "desktop");
  page.add_rule("Serial Adapter", "build");
  add_choice(page, "Ultra Fit", {"build", "games"});
  add_choice(page, "YubiKey", {"build", "desktop", "games"});
  page.host.add_pci("0000:03:00.0", "82574L Gigabit Network Connection");
  page.host.add_input(3, 4, "AT Translated Set 2 keyboard", "platform-i8042-serio-0");
  page.start_page();
  page.browse("contrast");
}

TEST_CASE("On a phone the page is no wider than its screen") {
  ThreeVms page;
  page.start_page();
  page.browse("phone");
}

TEST_CASE("A device whose name is HTML is text on the page") {
  ThreeVms page;
  page.start_page();
  page.browse("hostile_name");
}

TEST_CASE("The page explains why a device is where it is") {
  ThreeVms page;
  page.start_page();
  page.browse("explanation");
}

TEST_CASE("The page asks for a token when the service does") {
  ThreeVms page;
  const std::filesystem::path file = page.dir / "tokens";
  std::ofstream(file) << "me correct-horse-battery\n";
  REQUIRE(chmod(file.c_str(), 0600) == 0);
  page.rest.token_file = file.string();
  page.start_page();
  page.browse("token");
}

TEST_CASE("A page that is behind does not undo what somebody else has done, and says so") {
  ThreeVms page;
  page.start_page();
  page.browse("behind");
}

TEST_CASE("Eight tabs with the page all work, because those that nobody sees keep no connection") {
  ThreeVms page;
  page.start_page();
  page.browse("tabs");
}

TEST_CASE("A VM gets Ctrl+Alt+Del from the page, and is reset after a question") {
  ThreeVms page;
  page.start_page();
  page.browse("reset_and_keys");
}

TEST_CASE("What a person may not do is disabled on the page, with the reason") {
  ThreeVms page;
  page.permit(hotplug::ApiLevel::read);
  page.permit(hotplug::ApiLevel::attach, {"a"});
  page.start_page();
  page.browse("some_rights");
}

TEST_CASE("A person who may see only one VM sees it live") {
  ThreeVms page;
  page.permit(hotplug::ApiLevel::admin, {"b"});
  page.start_page();
  page.browse("one_vm");
}

TEST_CASE("The page does not offer to take a device out of a VM that the person may not see") {
  ThreeVms page;
  page.permit(hotplug::ApiLevel::attach, {"b"});
  page.start_page();
  page.browse("hidden_vm");
}

TEST_CASE("The page says so to a person who may see nothing") {
  ThreeVms page;
  page.rest_options.permissions.emplace(); // nobody may see anything
  page.start_page();
  page.browse("not_permitted");
}

TEST_CASE("A VM is started, paused and resumed on the page, which shows its screen, and is ended after a question") {
  PageHost page;
  const std::filesystem::path file = page.dir / "vm.json";
  std::ofstream(file) << fmt::format(
      R"({{"name": "real", "qemuPath": "{}", "socketDir": "{}", "memory": "64M", "machine": {{"accel": "tcg"}}, "display": {{"video": "vga"}}}})",
      test::qemus().front().string(), page.dir.path().string());
  page.add_vm("real");
  page.config.vms.front().config = file.string();
  page.start_page();
  page.browse("vm");
}

namespace {

/// A VM "a", and how many commands of a name it has had.
struct OneVm : PageHost {
  explicit OneVm(const std::string& monitor, FakeQemu::Decide decide = {}) {
    a.emplace(socket("a"), std::move(decide));
    add_vm("a", monitor);
    add_rule("Stick", "a");
    commands["commands"] = [this](const std::string& name) { return std::to_string(a->count(name)); };
    commands["link"] = [this](const std::string&) { return std::string(to_string(engine->vms().at(0).link)); };
    commands["end"] = [this](const std::string&) {
      a.reset();
      wait_until("it has ended", [this] { return engine->vms().at(0).link == hotplug::LinkState::waiting; });
      return "done";
    };
  }
  std::optional<FakeQemu> a;
};

} // namespace

TEST_CASE("The page takes one screenshot of a VM whose monitor is not held, and another on request") {
  OneVm page("yield");
  page.options.idle_before_yield = std::chrono::milliseconds(50);
  page.start_page();
  page.browse("left_alone");
}

TEST_CASE("The page treats a service that is silent for a while as lost, and reconnects") {
  OneVm page("hold");
  page.rest_options.quiet_time = std::chrono::hours(1);
  page.start_page();
  page.browse("silent");
}

TEST_CASE("A failed screenshot is retried if the service holds the monitor") {
  std::atomic<bool> works = false; // FakeQemu has a thread of its own
  OneVm page("hold", [&](const FakeQemu::Command& command) {
    return command.name == "screendump" && !works ? FakeQemu::Fate::cut : FakeQemu::Fate::done;
  });
  page.commands["works-again"] = [&](const std::string&) {
    works = true;
    return "done";
  };
  page.start_page();
  page.browse("failed_picture");
}

TEST_CASE("The page keeps neither the menu of a device nor the picture of a VM that has gone") {
  OneVm page("hold");
  page.start_page();
  page.browse("gone");
}

TEST_CASE("The page filters devices, shows those that no rule lets into a VM, and asks guests to shut down") {
  ThreeVms page;
  page.start_page();
  page.browse("details");
}

TEST_CASE("The documentation in a browser has a section for each operation and type, and is readable in both themes") {
  PageHost page;
  page.start_page();
  page.browse("docs");
}

TEST_CASE("The page has no way to turn text into HTML, and loads nothing from other sites") {
  const std::regex forbidden(
      "innerHTML|outerHTML|insertAdjacentHTML|document\\.write|DOMParser|setHTML|srcdoc|\\beval\\b|new Function|"
      "@import|(src|href)=\"?(https?:)?//|url\\(|import\\(");
  int files = 0;
  for (const auto& each : std::filesystem::directory_iterator(test::source_dir() / "hotplug/web")) {
    INFO(each.path());
    CHECK(!std::regex_search(test::read_file(each.path()), forbidden));
    ++files;
  }
  CHECK(files > 5);
}
