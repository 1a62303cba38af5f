// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// The command qemuctl with a VM and without a service.
#include "catch.hpp"
#include "command.hpp"
#include "golden.hpp"
#include "program.hpp"
#include "server.hpp"
#include "temp_dir.hpp"
#include "vm_folder.hpp"

#include <qemuctl/file_descriptor.hpp>
#include <qemuctl/json.hpp>

#include <sys/socket.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using qemuctl::Json;
using test::Program;

namespace {

std::vector<std::string> command(std::vector<std::string> words) {
  words.insert(words.begin(), QEMUCTL_CLI);
  return words;
}

std::string output_of(const std::vector<std::string>& argv) {
  Program program(argv);
  CHECK(program.wait_for_end() == 0);
  CHECK(program.errors() == "");
  return program.output();
}

/// A service that gives these answers, one to each request, and keeps the requests.
class Service {
 public:
  explicit Service(std::vector<std::string> answers)
      : listener_(test::listen_on(folder_ / "api.sock")), answers_(std::move(answers)), thread_([this] { serve(); }) {}
  ~Service() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  std::string socket() const { return (folder_ / "api.sock").string(); }
  /// All requests, once they were all answered.
  std::string requests() const { return requests_; }

 private:
  void serve() {
    const qemuctl::FileDescriptor client(::accept(listener_.get(), nullptr, nullptr));
    for (const std::string& answer : answers_) {
      char byte = 0;
      do {
        if (::recv(client.get(), &byte, 1, 0) != 1) return;
        requests_ += byte;
      } while (byte != '\n');
      const std::string line = answer + "\n";
      if (::send(client.get(), line.data(), line.size(), MSG_NOSIGNAL) < 0) return;
    }
  }

  test::TempDir folder_;
  qemuctl::FileDescriptor listener_;
  std::vector<std::string> answers_;
  std::string requests_;
  std::thread thread_;
};

} // namespace

TEST_CASE("qemuctl asks on a terminal which VM to use") {
  const Service service(
      {R"({"result":"ok","usb_devices":[{"device_node":"/dev/bus/usb/003/005","vid":"046d","pid":"c52b",)"
       R"("product_name":"Stick","port_path":"3-1","allowed_vms":["vm1","vm2"]}]})",
       R"({"result":"ok"})"});
  Program program(command({"--socket", service.socket(), "usb", "attach", "stick"}), Program::Io::terminal);
  program.wait_for("3-1 046d:c52b Stick may go to:");
  program.wait_for("1  vm1");
  program.wait_for("Which VM? ");
  program.type("7\n");
  program.wait_for("Which VM? ");
  program.type("2\n");
  program.wait_for("is in VM vm2 now");
  CHECK(program.wait_for_end() == 0);
  CHECK(service.requests() == "{\"action\":\"usb_list\"}\n"
                              "{\"action\":\"usb_attach\",\"device_node\":\"/dev/bus/usb/003/005\",\"vm\":\"vm2\"}\n");
}

TEST_CASE("qemuctl treats what looks like a port or ids as such, and prefers a whole name to a part of one") {
  const std::string devices =
      R"({"result":"ok","usb_devices":[)"
      R"({"device_node":"/dev/bus/usb/003/005","vid":"046d","pid":"c52b","port_path":"3-1","product_name":"Stick"},)"
      R"({"device_node":"/dev/bus/usb/003/006","vid":"1111","pid":"2222","port_path":"3-2","product_name":"Stick 2"},)"
      R"({"device_node":"/dev/bus/usb/003/007","vid":"1111","pid":"3333","port_path":"3-3",)"
      R"("product_name":"3-9 dead:beef 01:00.0 /dev/bus/usb/003/009"}]})";
  const auto detached = [&](const std::string& name) {
    const Service service({devices, R"({"result":"ok"})"});
    Program program(command({"--socket", service.socket(), "usb", "detach", name}));
    return program.wait_for_end() == 0 ? program.output() : program.errors();
  };
  CHECK_THAT(detached("stick"), StartsWith("3-1 046d:c52b Stick is detached"));
  CHECK_THAT(detached("ick 2"), StartsWith("3-2 "));
  CHECK_THAT(detached("tick"), StartsWith("qemuctl: \"tick\" could be:"));
  CHECK_THAT(detached("beef"), StartsWith("3-3 ")); // a word like any other
  for (const char* name : {"3-9", "dead:beef", "DEAD:BEEF", "01:00.0", "0000:01:00.0", "/dev/bus/usb/003/009"})
    CHECK_THAT(detached(name), ContainsSubstring("there is no device \"" + std::string(name) + '"'));
}

TEST_CASE("qemuctl sends a token only where it is told to") {
  const test::TempDir dir;
  std::ofstream(dir / "token") << "ops 0123456789abcdef\n";
  constexpr const char* done = R"({"result":"ok","usb_devices":[]})";
  const auto asked = [&](std::vector<std::string> words) {
    const Service service({done, done, R"({"result":"ok","vms":[]})"});
    words.insert(words.begin(),
                 {"/usr/bin/env", "QEMUCTL_TOKEN=fedcba9876543210", QEMUCTL_CLI, "--socket", service.socket()});
    Program program(words);
    CHECK(program.wait_for_end() == 0);
    return service.requests();
  };
  CHECK(asked({"--json", "usb", "list"}) == "{\"action\":\"usb_list\"}\n");
  CHECK(asked({"--json", "--token-file", (dir / "token").string(), "usb", "list"}) ==
        "{\"action\":\"auth\",\"token\":\"0123456789abcdef\"}\n{\"action\":\"usb_list\"}\n");
}

TEST_CASE("qemuctl prints events as JSON, with their time") {
  const Service service({R"({"result":"ok"})"
                         "\n"
                         R"({"event":"config_reloaded"})"});
  Program program(command({"--json", "--socket", service.socket(), "listen"}));
  const Json event = qemuctl::parse_json(program.read_line());
  CHECK(event.at("event") == Json("config_reloaded"));
  const std::string time = event.at("time").as_string(); // "2026-01-31T12:00:00Z"
  CHECK(time.size() == 20);
  CHECK(time.substr(0, 2) == "20");
  CHECK(time.back() == 'Z');
  CHECK(program.wait_for_end() == 1);
  CHECK_THAT(program.errors(), ContainsSubstring("the service has closed the connection"));
}

TEST_CASE("qemuctl lists VMs even if one disappears meanwhile") {
  const Service service({R"({"result":"ok","vms":[{"name":"a","link":"connected"},{"name":"b","link":"waiting"}]})",
                         R"({"result":"failed","error":"there is no VM \"a\""})",
                         R"({"result":"ok","vm":{"name":"b","state":"shutdown","link":"waiting"}})",
                         R"({"result":"ok","devices":[]})"});
  CHECK(output_of(command({"--socket", service.socket(), "vm", "list"})) ==
        "VM  STATE     PID  MONITOR    DEVICES  PROBLEM\n"
        "a   -         -    connected  0        there is no VM \"a\"\n"
        "b   shutdown  -    waiting    0        -\n");
}

TEST_CASE("qemuctl writes a screenshot to a file, and describes it as JSON") {
  const test::TempDir dir;
  const std::string file = (dir / "screen").string();
  const auto shot = [&](const std::string& to) {
    const Service service({R"({"result":"ok","format":"png","image":"Zm9vYg=="})"});
    return output_of(command({"--json", "--socket", service.socket(), "vm", "screenshot", "a", to}));
  };
  CHECK(shot(file) == R"({"result":"ok","format":"png","file":")" + file + "\"}\n");
  CHECK(test::read_file(file) == "foob");
  CHECK(shot("-") == "{\"result\":\"ok\",\"format\":\"png\",\"image\":\"Zm9vYg==\"}\n");
}

TEST_CASE("bash completes commands of qemuctl, and names that the service tells") {
  // A qemuctl that knows some names, and what is offered for a line.
  const std::string script = "source " + (test::source_dir() / "tools/completion/qemuctl").string() + R"(
    qemuctl() {
      case "$*" in
        "--vsock 2:2000 vm list --names") echo vm1; echo vm2 ;;
        "usb list --names") echo 3-1; echo 3-1.4 ;;
        "pci list --names") echo 0000:01:00.0 ;;
      esac
    }
    COMP_LINE=$1 COMP_POINT=${#1}
    _qemuctl
    echo "${COMPREPLY[*]}")";
  const auto offered = [&](const std::string& line) { return test::run_command({"bash", "-c", script, "bash", line}); };
  CHECK(offered("qemuctl u") == "usb\n");
  CHECK(offered("qemuctl evdev ") == "list attach detach suspend resume\n");
  CHECK(offered("qemuctl usb attach ") == "3-1 3-1.4\n");
  CHECK(offered("qemuctl --vsock 2:2000 usb attach 3-1 ") == "vm1 vm2\n");
  CHECK(offered("qemuctl --vsock 2:2000 vm pause v") == "vm1 vm2\n");
  CHECK(offered("qemuctl pci detach 0000:0") == "01:00.0\n"); // readline keeps what is before the last colon
  CHECK(offered("qemuctl explain ") == "3-1 3-1.4 0000:01:00.0\n");
  CHECK(offered("qemuctl usb attach 3-1 vm1 ") == "\n");
  CHECK(offered("qemuctl --tcp ") == "\n");
}

TEST_CASE("bash treats completed names as plain text") {
  const test::TempDir dir;
  const std::string touched = (dir / "touched").string();
  const std::string script = "source " + (test::source_dir() / "tools/completion/qemuctl").string() + R"sh(
    qemuctl() { printf '%s\n' "\$(touch $touched)" "\`touch $touched\`" "a b" "a'; touch $touched"; }
    COMP_LINE=$1 COMP_POINT=${#1} touched=$2
    _qemuctl
    printf '<%s>\n' "${COMPREPLY[@]}"
    for word in "${COMPREPLY[@]}"; do eval "printf '[%s]\n' $word"; done # as when the line is run
  )sh";
  const std::string offered = test::run_command({"bash", "-c", script, "bash", "qemuctl vm pause ", touched});
  CHECK_THAT(offered, ContainsSubstring("<a\\ b>\n") && ContainsSubstring("[a b]\n") &&
                          ContainsSubstring("[$(touch " + touched + ")]\n") &&
                          ContainsSubstring("[a'; touch " + touched + "]\n"));
  CHECK_FALSE(std::filesystem::exists(touched));
}

TEST_CASE("qemuctl controls a VM by its PID or its monitor, takes its picture, and ends it") {
  test::VmFolder folder(test::qemus().front());
  folder.config.set("machine", Json::object({{"accel", "tcg"}}));
  folder.config.set("display", Json::object({{"video", "vga"}}));
  CHECK_THAT(output_of({QEMUCTL_RUN, folder.vm_file(), "--detach"}), ContainsSubstring("name: vm\n"));
  REQUIRE(folder.vms().size() == 1);
  const std::string pid = std::to_string(folder.vms().front());
  CHECK_THAT(output_of(command({"--pid", pid, "vm", "status"})), StartsWith("name: vm\nstate: running\n"));
  CHECK(output_of(command({"--vm-socket", folder.socket(), "vm", "pause"})).empty());
  CHECK_THAT(output_of(command({"--pid", pid, "vm", "status", "--json"})), ContainsSubstring(R"("state":"paused")"));
  CHECK(output_of(command({"--pid", pid, "vm", "resume"})).empty());
  const std::string picture = folder.path("screen.png").string();
  CHECK(output_of(command({"--pid", pid, "vm", "screenshot", picture})) == picture + ": png\n");
  CHECK(test::read_file(picture).substr(1, 3) == "PNG");
  CHECK(output_of(command({"--pid", pid, "vm", "screenshot", "-"})).substr(1, 3) == "PNG");
  CHECK(output_of(command({"--pid", pid, "vm", "stop", "--timeout", "0"})) == "quit\n");
  CHECK(folder.vms().empty());
}
