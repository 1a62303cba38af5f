// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Displays, video devices and sound, as QEMU has them.
#include "ask.hpp"
#include "free_port.hpp"
#include "golden.hpp"
#include "machine.hpp"
#include "run.hpp"
#include "small_vm.hpp"
#include "temp_dir.hpp"

#include <qemuctl/instance.hpp>

#include <fmt/format.h>

#include <filesystem>
#include <string>
#include <vector>

using namespace qemuctl;
using test::ask;
using test::describe;
using test::property;

namespace {

const std::string video = "/machine/peripheral/video";

} // namespace

QEMU_TEST_CASE("a VNC address selects a TCP port") {
  const int port = test::free_tcp_port();
  const test::TempDir dir;
  const VmConfig config = describe(
      fmt::format(R"({{"display": {{"type": "vnc", "vnc": {{"listen": "127.0.0.1:{}"}}, "video": "vga"}}}})", port),
      dir, qemu);
  const std::vector<Json> answers = ask(config, {{"query-vnc", {}}, property(video, "type")});
  CHECK(answers[0].at("enabled") == Json(true));
  CHECK(answers[0].at("service") == Json(std::to_string(port)));
  CHECK(answers[0].at("auth") == Json("none"));
  CHECK(answers[1] == Json("VGA"));
}

QEMU_TEST_CASE("a VNC display asks for its password, from whatever source, and has a WebSocket port") {
  const int port = test::free_tcp_port(), websocket = test::free_tcp_port();
  for (const char* password : {R"("password": "a,b")", R"("passwordSecret": "pw")", R"("password": true)"}) {
    const test::TempDir dir;
    const VmConfig config = describe(fmt::format(R"({{"secrets": [{{"id": "pw", "data": "x"}}],
                         "vnc": {{"listen": "127.0.0.1:{}", {}, "websocket": {}}}}})",
                                                 port, password, websocket),
                                     dir, qemu);
    const Json servers = ask(config, {{"query-vnc-servers", {}}})[0].at(0);
    CHECK(servers.at("auth") == Json("vnc"));
    CHECK(servers.at("server").size() == 2);
    bool found = false;
    for (const Json& server : servers.at("server").as_array())
      if (server.at("websocket") == Json(true)) found = server.at("service") == Json(std::to_string(websocket));
    CHECK(found);
  }
}

QEMU_TEST_CASE("SPICE listens on its TCP port and asks for a ticket unless told otherwise") {
  const int port = test::free_tcp_port();
  for (const char* ticket : {R"("password": "secret, and long")", R"("disableTicketing": true)"}) {
    const test::TempDir dir;
    const VmConfig config = describe(fmt::format(R"({{"spice": {{"port": {}, {}}}}})", port, ticket), dir, qemu);
    const Json spice = ask(config, {{"query-spice", {}}})[0];
    CHECK(spice.at("enabled") == Json(true));
    CHECK(spice.at("host") == Json("127.0.0.1"));
    CHECK(spice.at("port") == Json(port));
    CHECK(spice.at("auth") ==
          Json(std::string_view(ticket).find("disable") == std::string_view::npos ? "spice" : "none"));
  }
}

QEMU_TEST_CASE("a SPICE Unix socket exists as long as the VM, and without a port there is no socket") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"spice": {"unix": true, "disableTicketing": true}})", dir, qemu);
  const std::filesystem::path socket = dir / "test.spice";
  test::while_running(config, [&](const test::Answers&) { CHECK(std::filesystem::is_socket(socket)); });
  CHECK_FALSE(std::filesystem::exists(socket));

  const VmConfig none = describe(R"({"display": "spice"})", dir, qemu);
  const Json spice = ask(none, {{"query-spice", {}}})[0];
  CHECK(spice.at("enabled") == Json(true));
  CHECK_FALSE(spice.contains("port"));
}

QEMU_TEST_CASE("video devices have the configured memory and outputs") {
  const test::TempDir dir;
  const auto answer = [&](const std::string& description, const std::vector<const char*>& names) {
    std::vector<test::Question> questions;
    for (const char* name : names) questions.push_back(property(video, name));
    return ask(describe(R"({"display": {"video": )" + description + "}}", dir, qemu), questions);
  };
  using Answers = std::vector<Json>;
  CHECK(answer(R"({"type": "vga", "vgaMem": 64})", {"type", "vgamem_mb"}) == Answers{"VGA", 64});
  CHECK(answer(R"({"type": "cirrus", "vgaMem": "8M"})", {"type", "vgamem_mb"}) == Answers{"cirrus-vga", 8});
  CHECK(answer(R"({"type": "qxl", "vgaMem": 32, "ram": "128M", "vram": 33554432, "maxOutputs": 3})",
               {"type", "vgamem_mb", "ram_size", "vram_size", "max_outputs"}) ==
        Answers{"qxl-vga", 32, 128 << 20, 32 << 20, 3});
  CHECK(answer(R"({"type": "virtio", "vgaMem": 64, "maxOutputs": 2})", {"type", "max_hostmem", "max_outputs"}) ==
        Answers{"virtio-vga", 64 << 20, 2});
}

QEMU_TEST_CASE("sound cards play to the configured backend") {
  const test::TempDir dir;
  const auto audio_device = [&](const std::string& audio, const std::string& id) {
    return ask(describe(R"({"audio": )" + audio + "}", dir, qemu),
               {property("/machine/peripheral/" + id, "audiodev"), property("/machine/peripheral/" + id, "type")});
  };
  using Answers = std::vector<Json>;
  CHECK(audio_device(R"({"device": "ac97"})", "sound0") == Answers{"audio0", "AC97"});
  CHECK(audio_device(R"({"device": "usb-audio"})", "sound0") == Answers{"audio0", "usb-audio"});
  CHECK(audio_device(R"({"device": "intel-hda"})", "sound0-codec") == Answers{"audio0", "hda-duplex"});
  CHECK(audio_device(R"({"device": "ich9-intel-hda", "codec": "hda-micro"})", "sound0-codec") ==
        Answers{"audio0", "hda-micro"});
}

QEMU_TEST_CASE("no password ever appears in the command line, the log or a printed plan") {
  const test::TempDir dir;
  VmConfig config = describe(R"({
    "secrets": [{"id": "s", "data": "Geheimnis1"}], "vnc": {"password": "Geheim2"}, "spice": {"password": "Geheimnis3"}
  })",
                             dir, qemu);
  test::run([&]() -> asio::awaitable<void> {
    LaunchPlan plan = co_await plan_launch(config);
    for (const std::string& word : plan.command_line) CHECK(word.find("Geheim") == std::string::npos);
    Instance vm = co_await Instance::launch(std::move(plan), test::for_test());
    for (const std::string& word : vm.command_line()) CHECK(word.find("Geheim") == std::string::npos);
    const std::string words = test::read_file(fmt::format("/proc/{}/cmdline", *vm.pid()));
    CHECK(words.find("vnc-password") != std::string::npos);
    CHECK(words.find("Geheim") == std::string::npos);
    CHECK(test::read_file(fmt::format("/proc/{}/environ", *vm.pid())).find("Geheim") == std::string::npos);
    CHECK(test::read_file(vm.log_file()).find("Geheim") == std::string::npos);
  });
}
