// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Who may do what by the device API, and sees what.
#include "api_cases.hpp"
#include "catch.hpp"
#include "fake_qemu.hpp"
#include "skip.hpp"

#include <asio/readable_pipe.hpp>
#include <fcntl.h>
#include <grp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

using namespace hotplug;
using namespace test;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using qemuctl::Json;

TEST_CASE("the rest of a request fails if rights are revoked while it is in progress") {
  std::promise<void> go_on;
  ApiStickHost host([&, wait = go_on.get_future().share()](const FakeQemu::Command& command) {
    if (command.name == "device_add") wait.wait_for(std::chrono::seconds(10));
    return FakeQemu::Fate::done;
  });
  host.config.usb_rules[0].tag = "sticks";
  host.host.plug(host.root, 3, 2, 6, "Stick 2");
  host.api.permissions = std::vector<ApiPermission>(1, permission(ApiLevel::attach));
  host.start_api();
  Wire wire(host);
  wire.send(R"({"action":"usb_attach","tag":"sticks"})"
            "\n");
  host.wait_until("QEMU is asked", [&] { return host.qemu.count("device_add") == 1; });
  host.api.permissions->front().may = ApiLevel::read;
  host.server->reload(host.api);
  go_on.set_value();
  CHECK_THAT(error_of(wire.line().value()), ContainsSubstring(R"(the level "attach")"));
  CHECK(host.is_in("3-1", "a"));
  CHECK_FALSE(host.state("3-2").vm);
}

TEST_CASE("a client with rights to one VM can neither take nor hold back a device that is meant for another") {
  ApiHost host;
  FakeQemu a(host.socket("a")), b(host.socket("other"));
  for (const char* vm : {"other", "off", "a"}) host.add_vm(vm);
  host.add_rule("Stick", "off").vms.push_back("a");
  host.add_rule("Mouse", "other").vms.push_back("a");
  host.host.plug(host.root, 3, 1, 5);
  host.host.plug(host.root, 3, 2, 6, "Mouse");
  host.api.permissions = std::vector<ApiPermission>(2, permission(ApiLevel::admin));
  host.api.permissions->front().transport = "unix";
  host.api.permissions->back() = permission(ApiLevel::attach, std::vector<std::string>(1, "a"));
  host.api.permissions->back().transport = "tcp";
  host.api.transports.push_back("tcp");
  host.start_api();
  host.wait_for("3-2", "other");
  Wire service(host), guest(host, host.server->tcp_port());
  const auto refused = [&](const std::string& action, const std::string& port) {
    const std::string more = action == "usb_attach" ? R"(,"vm":"a"})" : "}";
    CHECK_THAT(error_of(guest.ask(R"({"action":")" + action + R"(","port_path":")" + port + '"' + more)),
               ContainsSubstring("this concerns a VM that you may not see"));
  };
  REQUIRE(host.state("3-1").target == "off"); // where it cannot go now
  refused("usb_attach", "3-1");
  refused("usb_detach", "3-1");
  refused("usb_attach", "3-2");
  refused("usb_detach", "3-2");
  CHECK(service.ask(R"({"action":"usb_suspend","vm":"other"})") == ok);
  REQUIRE_FALSE(host.state("3-2").target);
  refused("usb_attach", "3-2");
  refused("usb_detach", "3-2");
  CHECK(service.ask(R"({"action":"usb_resume","vm":"other"})") == ok);
  CHECK(host.is_in("3-2", "other"));
}

TEST_CASE("a client with rights to one VM never learns the name of another") {
  ApiHost host;
  std::atomic<bool> refusing = false;
  FakeQemu a(host.socket("a"), [&](const FakeQemu::Command& command) {
    return refusing && command.name == "device_add" ? FakeQemu::Fate::refused : FakeQemu::Fate::done;
  });
  FakeQemu b(host.socket("hidden"));
  host.add_vm("a");
  host.add_vm("hidden");
  host.add_rule("Stick", "a").vms.push_back("hidden");
  host.add_rule("Mouse", "hidden");
  host.api.permissions = std::vector<ApiPermission>(2, permission(ApiLevel::admin));
  host.api.permissions->front().transport = "unix";
  host.api.permissions->back() = permission(ApiLevel::attach, std::vector<std::string>(1, "a"));
  host.api.permissions->back().transport = "tcp";
  host.api.transports.push_back("tcp");
  host.start_api();
  Wire service(host), guest(host, host.server->tcp_port());
  std::string told;
  const auto ask = [&](const std::string& request) {
    guest.send(request + "\n");
    std::string line;
    do {
      line = guest.line().value();
      told += line + "\n";
    } while (line.starts_with(R"({"event")"));
    return line;
  };
  const auto have = [&](const std::string& request) { CHECK(service.ask(request) == ok); };
  CHECK(ask(hear) == ok);
  host.host.plug(host.root, 3, 1, 5);
  host.host.plug(host.root, 3, 2, 6, "Mouse");
  host.wait_for("3-2", "hidden");
  have(R"({"action":"usb_attach","port_path":"3-1","vm":"hidden"})");
  const auto try_all = [&] {
    for (const char* action : {"usb_list", "device_list", "vm_list", "pci_list", "evdev_list"})
      ask(std::string(R"({"action":")") + action + "\"}");
    for (const char* action : {"usb_attach", "usb_detach", "explain"})
      for (const char* vm : {"null", "\"a\""})
        for (const char* port : {"3-1", "3-2"})
          ask(std::string(R"({"action":")") + action + R"(","port_path":")" + port + R"(","vm":)" + vm + "}");
    ask(R"({"action":"usb_detach","vid":"046d","pid":"c52b"})");
    ask(R"({"action":"usb_suspend"})");
  };
  try_all();
  have(R"({"action":"usb_suspend"})");
  try_all();
  have(R"({"action":"usb_resume"})");
  have(R"({"action":"usb_detach","port_path":"3-1"})");
  CHECK(ask(R"({"action":"usb_attach","port_path":"3-1"})") == ok);
  have(R"({"action":"usb_attach","port_path":"3-1","vm":"hidden"})");
  have(R"({"action":"usb_detach","port_path":"3-1"})");
  refusing = true;
  CHECK_THAT(error_of(ask(R"({"action":"usb_attach","port_path":"3-1","vm":"a"})")), ContainsSubstring("QEMU refused"));
  host.host.pull("/devices/pci0000:00/0000:00:14.0/usb3/3-1");
  host.wait_until("it is gone", [&] { return !host.is_there("3-1"); });
  ask(R"({"action":"version"})");
  CHECK_THAT(told, ContainsSubstring("it is in a VM that you may not see"));
  CHECK_THAT(told, ContainsSubstring("usb_disconnected"));
  CHECK(told.find("hidden") == std::string::npos);
}

TEST_CASE("TCP clients have to present a token first if there are tokens") {
  ApiStickHost host;
  write_tokens(host.dir / "tokens");
  host.api.transports.push_back("tcp");
  host.api.token_file = (host.dir / "tokens").string();
  host.start_api();
  Wire wire(host, host.server->tcp_port());
  CHECK_THAT(wire.ask(R"({"action":"version"})"), StartsWith(R"({"result":"ok")"));
  CHECK_THAT(error_of(wire.ask(R"({"action":"usb_list"})")), ContainsSubstring("have not presented a token"));
  CHECK_THAT(error_of(wire.ask(R"({"action":"auth","token":"0123456789abcdee"})")), ContainsSubstring("is not known"));
  CHECK_THAT(error_of(wire.ask(attach)), ContainsSubstring("have not presented a token"));
  CHECK(wire.ask(R"({"action":"auth","token":"0123456789abcdef"})") == ok);
  CHECK(wire.ask(attach) == ok);
  const std::vector<std::string> audit = host.audit();
  REQUIRE(audit.size() == 4);
  CHECK_THAT(audit[0], ContainsSubstring("auth {}: ") && !ContainsSubstring("0123"));
  CHECK_THAT(audit[1], ContainsSubstring("usb_attach") && ContainsSubstring("have not presented"));
  CHECK(audit[2] == "audit: 127.0.0.1 on tcp with token ops: authenticated");
  CHECK_THAT(audit[3], StartsWith("audit: 127.0.0.1 on tcp with token ops: usb_attach") && ContainsSubstring("done"));
  // On the Unix socket nobody has to.
  Wire local(host);
  CHECK(local.ask(detach) == ok);
}

TEST_CASE("a client that presents no token in time is disconnected") {
  ApiStickHost host;
  host.api.transports = std::vector<std::string>(1, "tcp");
  write_tokens(host.dir / "tokens");
  host.api.token_file = (host.dir / "tokens").string();
  host.api_options.time_to_authenticate = std::chrono::milliseconds(200);
  host.start_api();
  Wire knows(host, host.server->tcp_port());
  CHECK(knows.ask(R"({"action":"auth","token":"0123456789abcdef"})") == ok);
  Wire silent(host, host.server->tcp_port());
  CHECK_THAT(error_of(silent.line().value()), ContainsSubstring("no token was shown in time"));
  CHECK_FALSE(silent.line());
  CHECK_THAT(knows.ask(R"({"action":"usb_list"})"), StartsWith(R"({"result":"ok")"));
}

TEST_CASE(
    "changed permissions apply from the next request on, and clients that may no longer connect are disconnected") {
  ApiStickHost host;
  write_tokens(host.dir / "tokens");
  host.api.token_file = (host.dir / "tokens").string();
  host.api.transports.push_back("tcp");
  ApiPermission of_user = permission(ApiLevel::admin), of_token = permission(ApiLevel::read);
  of_user.uid = ::getuid();
  of_token.token = "ops";
  host.api.permissions = std::vector<ApiPermission>(2, of_user);
  host.api.permissions->back() = of_token;
  ApiConfig fresh = host.api;
  host.api_options.reload = [&] {
    host.server->reload(fresh);
    host.server->announce_reload();
  };
  host.start_api();
  Wire wire(host), remote(host, host.server->tcp_port());
  CHECK(remote.ask(R"({"action":"auth","token":"0123456789abcdef"})") == ok);
  CHECK(wire.ask(attach) == ok);
  CHECK_THAT(error_of(remote.ask(detach)), ContainsSubstring(R"(the level "attach")"));

  fresh.permissions->front().may = ApiLevel::read;
  fresh.permissions->back().may = ApiLevel::attach;
  fresh.port = 2001;
  fresh.unix_socket_group = "users";
  Wire asking(host);
  CHECK(asking.ask(hear) == ok);
  CHECK(asking.ask(R"({"action":"reload"})") == ok);
  CHECK(*asking.line() == R"({"event":"config_reloaded"})"); // after the answer
  CHECK(host.logged("general.api.port, general.api.unixSocketGroup: take effect when the service is started again"));
  CHECK_THAT(error_of(wire.ask(detach)), ContainsSubstring(R"(the level "attach")"));
  CHECK_THAT(error_of(wire.ask(R"({"action":"reload"})")), ContainsSubstring(R"(the level "admin")"));
  CHECK(remote.ask(detach) == ok);

  SECTION("with another token") {
    CHECK(wire.ask(R"({"action":"auth","token":"0123456789abcdef"})") == ok);
    CHECK(wire.ask(detach) == ok);
    std::ofstream(host.dir / "tokens") << "ops fedcba9876543210\n";
    host.server->reload(fresh);
    CHECK_THAT(error_of(remote.line().value()), ContainsSubstring("its token is not valid any more"));
    CHECK_FALSE(remote.line());
    CHECK(host.audit().back() == "audit: 127.0.0.1 on tcp with token ops: sent away: its token is not valid any more");
    CHECK_THAT(error_of(wire.ask(detach)), ContainsSubstring(R"(the level "attach")"));
  }
  SECTION("with a file that cannot be") {
    std::ofstream(host.dir / "tokens") << "ops\n";
    fresh.permissions->back().may = ApiLevel::none;
    CHECK_THROWS_WITH(host.server->reload(fresh), ContainsSubstring("NAME TOKEN"));
    CHECK_THAT(remote.ask(attach), StartsWith(R"({"result":"ok")"));
  }
  SECTION("with tokens where there were none") {
    fresh.token_file.clear();
    host.server->reload(fresh);
    CHECK_FALSE(error_of(remote.line().value()).empty());
    Wire open(host, host.server->tcp_port());
    CHECK_THAT(error_of(open.ask(R"({"action":"usb_list"})")), ContainsSubstring("usb_list"));
    fresh.token_file = host.api.token_file;
    host.server->reload(fresh);
    CHECK_THAT(error_of(open.line().value()), ContainsSubstring("have to present a token now"));
  }
}

TEST_CASE("a client that disconnects before it has presented a token leaves nothing behind") {
  ApiStickHost host;
  host.api.transports = std::vector<std::string>(1, "tcp");
  write_tokens(host.dir / "tokens");
  host.api.token_file = (host.dir / "tokens").string();
  host.start_api();
  constexpr const char* version = R"({"action":"version"})";
  Wire stays(host, host.server->tcp_port());
  stays.ask(version);
  const auto open_files = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
  };
  const auto before = open_files();
  for (int i = 0; i < 20; ++i) Wire(host, host.server->tcp_port()).ask(version);
  for (int i = 0; i < 100 && open_files() > before; ++i) stays.ask(version); // far less than the time for a token
  CHECK(open_files() == before);
}

TEST_CASE("TCP needs no token on a loopback address, and is refused without one on others") {
  {
    ApiHost host;
    host.api.transports = std::vector<std::string>(1, "tcp");
    host.start_api();
    Wire wire(host, host.server->tcp_port());
    CHECK_THAT(wire.ask(R"({"action":"usb_list"})"), StartsWith(R"({"result":"ok")"));
    CHECK_THAT(error_of(wire.ask(R"({"action":"reload"})")), ContainsSubstring(R"(the level "admin")"));
  }
  {
    ApiStickHost host;
    host.api.transports = std::vector<std::string>(1, "tcp");
    host.api.host = "0.0.0.0";
    write_tokens(host.dir / "tokens");
    host.api.token_file = (host.dir / "tokens").string();
    host.start_api();
    Wire wire(host, host.server->tcp_port());
    CHECK_THAT(error_of(wire.ask(R"({"action":"usb_list"})")), ContainsSubstring("have not presented a token"));
    CHECK(wire.ask(R"({"action":"auth","token":"0123456789abcdef"})") == ok);
    CHECK(wire.ask(attach) == ok);
    // Not without tokens from now on either.
    ApiConfig open = host.api;
    open.token_file.clear();
    CHECK_THROWS_WITH(host.server->reload(open), ContainsSubstring("allowUnauthenticated"));
    CHECK(wire.ask(detach) == ok);
  }
  ApiHost host;
  host.api.transports = std::vector<std::string>(1, "tcp");
  host.api.host = "0.0.0.0";
  CHECK_THAT(refusal(host), ContainsSubstring("tokenFile") && ContainsSubstring("allowUnauthenticated"));
  host.api.host = "example.org";
  CHECK_THAT(refusal(host), ContainsSubstring("not an IP address"));
  host.api.transports = std::vector<std::string>(1, "pigeon");
  CHECK_THAT(refusal(host), ContainsSubstring("no such transport"));
}

TEST_CASE("readers cannot change anything, and clients with rights to some VMs see only what concerns these") {
  ApiStickHost host;
  host.add_vm("b");
  host.add_rule("Mouse", "b");
  host.host.plug(host.root, 3, 2, 6, "Mouse");
  host.api.permissions = std::vector<ApiPermission>(1, permission(ApiLevel::read));
  SECTION("reading") {
    host.start_api();
    Wire wire(host);
    CHECK(wire.ask(hear) == ok);
    CHECK_THAT(error_of(wire.ask(attach)), ContainsSubstring(R"(the level "attach")"));
    CHECK_THAT(error_of(wire.ask(detach)), ContainsSubstring(R"(the level "attach")"));
    CHECK_THAT(error_of(wire.ask(R"({"action":"vm_pause","vm":"a"})")), ContainsSubstring(R"(the level "admin")"));
    CHECK(host.audit().size() == 3);
    CHECK(host.qemu.count("device_add") == 0);
  }
  SECTION("some VMs") {
    host.api.permissions->front() = permission(ApiLevel::attach, std::vector<std::string>(1, "a"));
    host.start_api();
    Wire wire(host);
    CHECK(wire.ask(hear) == ok);
    const Json list = qemuctl::parse_json(wire.ask(R"({"action":"device_list"})"));
    REQUIRE(list.at("devices").size() == 1);
    CHECK(list.at("devices").at(std::size_t{0}).at("product_name") == Json("Stick"));
    CHECK(qemuctl::parse_json(wire.ask(R"({"action":"vm_list"})")).at("vms").size() == 1);
    CHECK_THAT(error_of(wire.ask(R"({"action":"vm_status","vm":"b"})")), ContainsSubstring("there is no VM"));
    CHECK_THAT(error_of(wire.ask(R"({"action":"usb_detach","bus":3,"port":2})")), ContainsSubstring("no such device"));
    CHECK_THAT(error_of(wire.ask(R"({"action":"explain","bus":3,"port":1})")), ContainsSubstring("for all VMs"));
    host.host.pull("/devices/pci0000:00/0000:00:14.0/usb3/3-2"); // not told
    wire.send(std::string(attach) + "\n");
    CHECK(wire.message().at("event") == Json("usb_attached"));
    CHECK(*wire.line() == ok);
  }
  SECTION("nobody") {
    host.api.permissions->clear();
    host.start_api();
    Wire wire(host);
    CHECK_THAT(error_of(wire.ask(R"({"action":"usb_list"})")), ContainsSubstring("may not use usb_list"));
    CHECK_THAT(wire.ask(R"({"action":"version"})"), StartsWith(R"({"result":"ok")"));
  }
}

TEST_CASE("each action requires its level, and rights to one VM cover only what concerns that VM") {
  ApiStickHost host;
  host.add_vm("b");
  host.add_rule("Mouse", "b");
  host.host.plug(host.root, 3, 2, 6, "Mouse");
  host.host.add_pci("0000:01:00.0", "82574L");
  host.host.add_input(2, 2, "AT keyboard", "platform-i8042-serio-0");
  const std::vector<std::string> roles{"none", "read", "attach", "admin", "one"};
  host.api.permissions.emplace();
  {
    std::ofstream tokens(host.dir / "tokens");
    for (const std::string& role : roles) {
      tokens << role << " 0123456789abcdef-" << role << '\n';
      ApiPermission may = permission(ApiLevel::none);
      for (const ApiLevel level : {ApiLevel::read, ApiLevel::attach, ApiLevel::admin})
        if (to_string(level) == role) may.may = level;
      if (role == "one") may = permission(ApiLevel::attach, std::vector<std::string>(1, "a"));
      may.token = role;
      host.api.permissions->push_back(may);
    }
  }
  ::chmod((host.dir / "tokens").c_str(), 0600);
  host.api.token_file = (host.dir / "tokens").string();
  host.api.transports = std::vector<std::string>(1, "tcp");
  host.api_options.reload = [] {};
  host.start_api();
  std::vector<std::unique_ptr<Wire>> wires;
  for (const std::string& role : roles) {
    wires.push_back(std::make_unique<Wire>(host, host.server->tcp_port()));
    CHECK(wires.back()->ask(R"({"action":"auth","token":"0123456789abcdef-)" + role + "\"}") == ok);
  }
  // Who is not refused for want of a permission, in the order of the roles. For who may use one VM, what does not
  // concern it is not there.
  const auto permitted = [&](const std::string& request) {
    std::string who;
    for (const auto& wire : wires) {
      const std::string answer = wire->ask("{" + request + "}");
      bool refused = false;
      for (const char* word : {"you may not", "there is no VM", "no such device", "none of your VMs"})
        refused = refused || answer.find(word) != answer.npos;
      who += refused ? '-' : 'x';
    }
    return who;
  };
  const std::string stick = R"("port_path":"3-1")", mouse = R"("port_path":"3-2")", of_a = R"("vm":"a")",
                    of_b = R"("vm":"b")", card = R"("address":"01:00.0")", keyboard = R"("name":"AT keyboard")";
  const auto action = [](const std::string& name) { return R"("action":")" + name + '"'; };
  CHECK(permitted(action("version")) == "xxxxx");
  for (const char* list : {"usb_list", "pci_list", "evdev_list", "device_list", "vm_list"})
    CHECK(permitted(action(list)) == "-xxxx");
  CHECK(permitted(action("usb_attach") + "," + stick) == "--xxx");
  CHECK(permitted(action("usb_attach") + "," + stick + "," + of_a) == "--xxx");
  CHECK(permitted(action("usb_detach") + "," + stick) == "--xxx");
  CHECK(permitted(action("usb_attach") + "," + mouse) == "--xx-");
  CHECK(permitted(action("usb_detach") + "," + mouse) == "--xx-");
  for (const auto& [kind, device] : {std::pair("pci_", card), std::pair("evdev_", keyboard)}) {
    CHECK(permitted(action(std::string(kind) + "attach") + "," + device) == "--xx-");
    CHECK(permitted(action(std::string(kind) + "detach") + "," + device) == "--xx-");
  }
  for (const char* kind : {"usb_", "pci_", "evdev_"})
    for (const char* what : {"suspend", "resume"}) {
      CHECK(permitted(action(std::string(kind) + what)) == "--xx-");
      CHECK(permitted(action(std::string(kind) + what) + "," + of_a) == "--xxx");
      CHECK(permitted(action(std::string(kind) + what) + "," + of_b) == "--xx-");
    }
  CHECK(permitted(action("explain") + "," + stick) == "-xxx-");
  CHECK(permitted(action("vm_status") + "," + of_a) == "-xxxx");
  CHECK(permitted(action("vm_status") + "," + of_b) == "-xxx-");
  CHECK(permitted(action("vmm_args") + "," + of_a) == "--xxx");
  CHECK(permitted(action("vmm_args") + "," + of_b) == "--xx-");
  for (const char* change :
       {"vm_start", "vm_stop", "vm_shutdown", "vm_pause", "vm_resume", "vm_reset", "vm_screenshot"}) {
    CHECK(permitted(action(change) + "," + of_b) == "---x-");
    if (std::string(change) != "vm_stop") CHECK(permitted(action(change) + "," + of_a) == "---x-");
  }
  CHECK(permitted(action("vm_send_key") + R"(,"keys":["ret"],)" + of_a) == "---x-");
  CHECK(permitted(action("reload")) == "---x-");
  CHECK(permitted(action("enable_notifications")) == "-xxxx");
}

TEST_CASE("a process of another user has the rights of each of its groups") {
  if (::geteuid() != 0) test::skip("only root can become another user");
  ApiStickHost host;
  ::chmod(host.dir.path().c_str(), 0711);
  constexpr unsigned user = 54'321, group = 54'322, other_group = 54'323;
  host.api.unix_socket_mode = 0666;
  host.api.permissions = std::vector<ApiPermission>(1, permission(ApiLevel::attach));
  host.api.permissions->front().gid = group;
  host.start_api();
  const auto answer = [&](unsigned supplementary) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const std::string path = host.api_path().string(), request = std::string(attach) + "\n";
    const pid_t child = ::fork();
    if (child == 0) { // there are other threads: system calls only
      const gid_t groups = supplementary;
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      std::memcpy(address.sun_path, path.c_str(), path.size());
      const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
      char bytes[1'000];
      if (::syscall(SYS_setgroups, 1, &groups) != 0 || ::syscall(SYS_setgid, user) != 0 ||
          ::syscall(SYS_setuid, user) != 0 ||
          ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
          ::send(fd, request.data(), request.size(), 0) < 0)
        ::_exit(1);
      const ssize_t size = ::recv(fd, bytes, sizeof bytes, 0);
      ::_exit(size > 0 && ::write(ends[1], bytes, static_cast<std::size_t>(size)) == size ? 0 : 2);
    }
    ::close(ends[1]);
    asio::readable_pipe pipe(host.io, ends[0]);
    std::string text(1'000, ' ');
    bool done = false;
    pipe.async_read_some(asio::buffer(text), [&](std::error_code, std::size_t size) {
      text.resize(size);
      done = true;
    });
    host.wait_until("the other process has its answer", [&] { return done; });
    int status = -1;
    CHECK(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    return text;
  };
  CHECK_THAT(answer(other_group), ContainsSubstring("you may not use usb_attach"));
  CHECK(answer(group) == std::string(ok) + "\n");
  CHECK(host.is_in("3-1", "a"));
  CHECK_THAT(host.audit().back(),
             StartsWith("audit: user 54321 (process ") && ContainsSubstring("on unix: usb_attach"));
}
