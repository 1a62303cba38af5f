// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Whether the options have their effect: QEMU is asked.
#include "machine.hpp"
#include "run.hpp"
#include "sample_files.hpp"
#include "temp_dir.hpp"

#include <qemuctl/command_line.hpp>
#include <qemuctl/error.hpp>
#include <qemuctl/file_descriptor.hpp>
#include <qemuctl/instance.hpp>
#include <qemuctl/vm_config_json.hpp>

#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;

namespace {

VmConfig describe(const std::string& json, const test::TempDir& dir, const std::filesystem::path& qemu) {
  VmConfig config = parse_vm_config(json, "vm.json", dir.path());
  config.name = "test";
  config.qemu_path = qemu.string();
  config.socket_dir = dir.path().string();
  config.machine.accel = "tcg";
  test::make_files(config);
  return config;
}

struct Question {
  std::string command;
  Json arguments;
};

Question property(const std::string& path, const std::string& name) {
  return {"qom-get", Json::object({{"path", path}, {"property", name}})};
}

Question human(const std::string& command) {
  return {"human-monitor-command", Json::object({{"command-line", command}})};
}

asio::awaitable<std::vector<Json>> launch_and_ask(VmConfig config, std::vector<Question> questions) {
  LaunchOptions options;
  options.paused = true;
  options.kill_on_destruction = true;
  Instance vm = co_await Instance::launch(std::move(config), options);
  std::vector<Json> answers;
  for (const Question& question : questions) {
    Json answer = co_await vm.execute(question.command, question.arguments);
    answers.push_back(std::move(answer));
  }
  co_await vm.force_stop();
  co_return answers;
}

/// What a VM of this description, its CPUs stopped, answers.
std::vector<Json> ask(const VmConfig& config, const std::vector<Question>& questions) {
  return test::run([&] { return launch_and_ask(config, questions); });
}

/// A port of the loopback interface that nobody has at the moment.
int free_tcp_port() {
  const FileDescriptor probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(probe.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(::getsockname(probe.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return ntohs(address.sin_port);
}

} // namespace

QEMU_TEST_CASE("disks are read-only, have serial numbers and boot in their order") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"disks": [
    {"id": "system", "backend": {"type": "file", "path": "a.qcow2"}, "readOnly": true, "serial": "SN,1", "bootIndex": 1},
    {"id": "data", "backend": {"type": "file", "path": "b.img"}, "bootIndex": 0}
  ]})",
                                   dir, qemu);
  const std::vector<Json> answers = ask(config, {{"query-block", {}},
                                                 property("/machine/peripheral/system", "serial"),
                                                 property("/machine/peripheral/system", "bootindex"),
                                                 property("/machine/peripheral/data", "bootindex")});
  const Json& blocks = answers[0];
  REQUIRE(blocks.size() == 2);
  const Json& system = blocks.at(0).at("inserted");
  const Json& data = blocks.at(1).at("inserted");
  CHECK(system.at("ro") == Json(true));
  CHECK(system.at("drv") == Json("qcow2"));
  CHECK(system.at("node-name") == Json("system"));
  CHECK(data.at("ro") == Json(false));
  CHECK(data.at("drv") == Json("raw"));
  CHECK(answers[1] == Json("SN,1"));
  CHECK(answers[2] == Json(1));
  CHECK(answers[3] == Json(0));
}

QEMU_TEST_CASE("a read-only disk needs no right to write") {
  const test::TempDir dir;
  const VmConfig config =
      describe(R"({"disks": [{"backend": {"type": "file", "path": "a.img"}, "readOnly": true}]})", dir, qemu);
  std::filesystem::permissions(dir / "a.img", std::filesystem::perms::owner_read);
  CHECK(ask(config, {{"query-status", {}}})[0].at("status") == Json("prelaunch"));
}

QEMU_TEST_CASE("file names arrive as they are") {
  const test::TempDir dir;
  VmConfig config = describe("{}", dir, qemu);
  std::vector<std::string> paths;
  for (const char* name : {"a,b", "it's", "\"quoted\"", "json:{}", "nbd:x", "b\\n", "\xC3\xBC"}) {
    FileDiskBackend file;
    file.path = paths.emplace_back(dir / name);
    config.disks.emplace_back().backend = file;
  }
  test::make_files(config);
  const Json blocks = ask(config, {{"query-block", {}}})[0];
  REQUIRE(blocks.size() == config.disks.size());
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    INFO(paths[i]);
    const Json& image = blocks.at(i).at("inserted").at("image");
    // QEMU shows some names as options in JSON.
    const std::string shown = image.at("filename").as_string();
    CHECK((shown == paths[i] || shown.starts_with("json:")));
    CHECK(blocks.at(i).at("inserted").at("drv") == Json("raw"));
  }
}

QEMU_TEST_CASE("memory, CPUs and their topology are those described") {
  const test::TempDir dir;
  const VmConfig config =
      describe(R"({"memory": "192M", "cpu": {"model": "qemu64", "sockets": 2, "cores": 3}})", dir, qemu);
  const std::vector<Json> answers =
      ask(config, {{"query-memory-size-summary", {}}, {"query-hotpluggable-cpus", {}}, {"query-cpus-fast", {}}});
  CHECK(answers[0].at("base-memory") == Json(std::uint64_t{192} << 20));
  CHECK(answers[2].size() == 6);
  std::int64_t sockets = 0, cores = 0;
  for (const Json& cpu : answers[1].as_array()) {
    sockets = std::max(sockets, cpu.at("props").at("socket-id").as_int() + 1);
    cores = std::max(cores, cpu.at("props").at("core-id").as_int() + 1);
  }
  CHECK(sockets == 2);
  CHECK(cores == 3);
}

QEMU_TEST_CASE("six USB devices all have ports of the controller itself") {
  const test::TempDir dir;
  const VmConfig config =
      describe(R"({"usbDevices": ["usb-tablet", "usb-tablet", "usb-tablet", "usb-tablet", "usb-kbd", "usb-tablet"]})",
               dir, qemu);
  const std::vector<Json> answers = ask(config, {human("info usb"), property("/machine/peripheral/usb", "p2")});
  const std::string text = answers[0].as_string();
  INFO(text);
  for (int port = 1; port <= 6; ++port)
    CHECK_THAT(text, ContainsSubstring(fmt::format("Port {}, Speed 480 Mb/s", port)));
  CHECK(text.find("Hub") == std::string::npos);
  CHECK(answers[1] == Json(15));
}

QEMU_TEST_CASE("user networks have their MAC address and their forwards") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"networks": [
    {"id": "lan", "backend": {"type": "user", "hostfwd": ["tcp:127.0.0.1:0-:22"]}, "macAddr": "52:54:00:aa:bb:cc"}, {}
  ]})",
                                   dir, qemu);
  const std::vector<Json> answers =
      ask(config, {property("/machine/peripheral/lan", "mac"), human("info usernet"), human("info network")});
  CHECK(answers[0] == Json("52:54:00:aa:bb:cc"));
  CHECK_THAT(answers[1].as_string(), ContainsSubstring("HOST_FORWARD"));
  CHECK_THAT(answers[2].as_string(), ContainsSubstring("net1-netdev"));
}

QEMU_TEST_CASE("a VNC address means a TCP port") {
  const int port = free_tcp_port();
  const test::TempDir dir;
  const VmConfig config = describe(
      fmt::format(R"({{"display": {{"type": "vnc", "vnc": {{"listen": "127.0.0.1:{}"}}, "video": "vga"}}}})", port),
      dir, qemu);
  const std::vector<Json> answers = ask(config, {{"query-vnc", {}}, property("/machine/peripheral/video", "type")});
  CHECK(answers[0].at("enabled") == Json(true));
  CHECK(answers[0].at("service") == Json(std::to_string(port)));
  CHECK(answers[1] == Json("VGA"));
}

QEMU_TEST_CASE("a serial port writes to its file") {
  const test::TempDir dir;
  VmConfig config = describe(R"({"serials": [{"type": "null"}, {"type": "file", "path": "a,b.log"}]})", dir, qemu);
  const std::vector<Json> answers =
      ask(config, {{"query-chardev", {}}, property("/machine/peripheral/serial1", "index")});
  CHECK(answers[1] == Json(1));
  CHECK(std::filesystem::exists(dir / "a,b.log"));
}

QEMU_TEST_CASE("what this QEMU does not have is refused before anything is started") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"networks": [{"model": "virtio-net-pcii"}]})", dir, qemu);
  try {
    ask(config, {});
    FAIL("nothing was thrown");
  } catch (const Error& error) {
    CHECK(error.code() == errc::not_supported);
    CHECK_THAT(error.what(), ContainsSubstring("networks[0].model") && ContainsSubstring("\"virtio-net-pci\""));
  }
}
