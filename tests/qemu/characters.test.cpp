// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Serial ports and character devices, as QEMU has them.
#include "ask.hpp"
#include "free_port.hpp"
#include "machine.hpp"
#include "temp_dir.hpp"
#include "unix_socket.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/file_descriptor.hpp>

#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <filesystem>
#include <string>
#include <vector>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using detail::connect_unix;
using test::ask;
using test::describe;
using test::PausedVm;
using test::property;

namespace {

/// What QEMU says of a character device; throws when it has none of this id.
Json chardev(PausedVm& vm, const std::string& id) {
  const Json all = vm({"query-chardev", {}});
  for (const Json& one : all.as_array())
    if (one.at("label") == Json(id)) return one;
  throw std::runtime_error("there is no character device " + id);
}

std::string file_of(PausedVm& vm, const std::string& id) {
  return chardev(vm, id).at("filename").as_string();
}

std::string refusal(const VmConfig& config) {
  try {
    PausedVm vm(config);
  } catch (const Error& error) {
    return error.what();
  }
  return "it was launched";
}

/// A socket that somebody else has made and listens on.
FileDescriptor listen_on(const std::filesystem::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.native().copy(address.sun_path, sizeof address.sun_path - 1);
  FileDescriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(fd.get(), 4) == 0);
  return fd;
}

/// Waits for a client, 20 s at most.
FileDescriptor accept_on(const FileDescriptor& listener) {
  pollfd event{listener.get(), POLLIN, 0};
  REQUIRE(::poll(&event, 1, 20'000) == 1);
  return FileDescriptor(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
}

FileDescriptor connect_tcp(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  FileDescriptor fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  return fd;
}

} // namespace

QEMU_TEST_CASE("a serial port writes to its file") {
  const test::TempDir dir;
  VmConfig config = describe(R"({"serials": [{"type": "null"}, {"type": "file", "path": "a,b.log"}]})", dir, qemu);
  const std::vector<Json> answers =
      ask(config, {{"query-chardev", {}}, property("/machine/peripheral/serial1", "index")});
  CHECK(answers[1] == Json(1));
  CHECK(std::filesystem::exists(dir / "a,b.log"));
}

QEMU_TEST_CASE("every type of serial port has the right device and chardev") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({"serials": [
    {}, {"type": "pty"}, {"type": "null", "device": "pci-serial"}, {"type": "pty", "device": "usb-serial"},
    {"type": "null", "device": "virtio-serial"}, {"type": "null", "device": "isa-serial"}]})",
                                   dir, qemu);
  PausedVm vm(config);
  std::vector<std::string> types;
  for (std::size_t i = 0; i < 6; ++i) {
    const std::string id = fmt::format("serial{}", i);
    types.push_back(vm(property("/machine/peripheral/" + id, "type")).as_string());
    CHECK(vm(property("/machine/peripheral/" + id, "chardev")) == Json(id));
  }
  CHECK(types ==
        std::vector<std::string>{"isa-serial", "isa-serial", "pci-serial", "usb-serial", "virtconsole", "isa-serial"});
  CHECK(vm(property("/machine/peripheral/serial5", "index")) == Json(2));
  CHECK_THAT(file_of(vm, "serial0"), ContainsSubstring("test.serial0,server=on"));
  CHECK_THAT(file_of(vm, "serial1"), StartsWith("pty:/dev/pts/"));
  CHECK_THAT(file_of(vm, "serial2"), StartsWith("null"));
}

QEMU_TEST_CASE("a serial port listens on its socket, or connects to another") {
  const test::TempDir dir;
  const FileDescriptor listener = listen_on(dir / "theirs,1");
  const VmConfig config = describe(R"({"serials": [
    {"path": "ours,1"}, {"path": "theirs,1", "server": false}]})",
                                   dir, qemu);
  PausedVm vm(config);
  const FileDescriptor client = connect_unix(dir / "ours,1");
  CHECK(accept_on(listener));
  CHECK_THAT(file_of(vm, "serial0"), ContainsSubstring((dir / "ours,1").string()));
  CHECK_THAT(file_of(vm, "serial1"), ContainsSubstring((dir / "theirs,1").string()));
}

QEMU_TEST_CASE("the VM starts once the client that its serial port waits for has connected") {
  const test::TempDir dir;
  VmConfig config = describe(R"({"serials": [{"wait": true}]})", dir, qemu);
  config.serials[0].path = dir / "console";
  LaunchOptions options;
  options.kill_on_destruction = true;
  options.connect_serials = true; // the client
  asio::io_context context(1);
  Instance vm = test::run(context, Instance::launch(config, options));
  CHECK(vm.take_serial(0));
  test::run(context, vm.force_stop());
}

QEMU_TEST_CASE("character devices act as servers and clients on Unix sockets and TCP") {
  const int port = test::free_tcp_port();
  const test::TempDir dir;
  const FileDescriptor listener = listen_on(dir / "theirs");
  const VmConfig config = describe(fmt::format(R"({{"chardevs": [
    {{"id": "a", "backend": "socket", "path": "ours", "server": true}},
    {{"id": "b", "backend": "socket", "path": "theirs"}},
    {{"id": "c", "backend": "socket", "host": "127.0.0.1", "port": {}, "server": true}}]}})",
                                               port),
                                   dir, qemu);
  PausedVm vm(config);
  const FileDescriptor unix_client = connect_unix(dir / "ours"), tcp_client = connect_tcp(port);
  CHECK(accept_on(listener));
  CHECK_THAT(file_of(vm, "a"), ContainsSubstring((dir / "ours").string()));
  CHECK_THAT(file_of(vm, "b"), ContainsSubstring((dir / "theirs").string()));
  CHECK_THAT(file_of(vm, "c"), ContainsSubstring(fmt::format("127.0.0.1:{}", port)));
}

QEMU_TEST_CASE("a reconnecting character device finds a server that starts later") {
  const test::TempDir dir;
  const VmConfig config =
      describe(R"({"chardevs": [{"id": "a", "backend": "socket", "path": "later", "reconnect": 1}]})", dir, qemu);
  PausedVm vm(config);
  const FileDescriptor listener = listen_on(dir / "later");
  // QEMU's main loop runs its timers between replies.
  pollfd event{listener.get(), POLLIN, 0};
  REQUIRE(::poll(&event, 1, 20'000) == 1);
  CHECK(accept_on(listener));
}

QEMU_TEST_CASE("the remaining chardev backends work") {
  const test::TempDir dir;
  REQUIRE(::mkfifo((dir / "two.in").c_str(), 0600) == 0);
  REQUIRE(::mkfifo((dir / "two.out").c_str(), 0600) == 0);
  const VmConfig config = describe(R"({"chardevs": [
    {"id": "a", "backend": "file", "path": "out,1"}, {"id": "b", "backend": "pty"},
    {"id": "c", "backend": "pipe", "path": "two"}, {"id": "d", "backend": "pipe", "path": "one"},
    {"id": "e", "backend": "null"}, {"id": "f", "backend": "ringbuf"}]})",
                                   dir, qemu);
  std::filesystem::remove(dir / "two");
  PausedVm vm(config);
  CHECK(file_of(vm, "a") == "file");
  CHECK(std::filesystem::exists(dir / "out,1"));
  CHECK_THAT(file_of(vm, "b"), StartsWith("pty:/dev/pts/"));
  CHECK(file_of(vm, "c") == "pipe");
  CHECK(file_of(vm, "d") == "pipe");
  CHECK(file_of(vm, "e") == "null");
  const auto ring = [&](const char* command, const char* name, Json value) {
    return vm({command, Json::object({{"device", "f"}, {name, std::move(value)}})});
  };
  ring("ringbuf-write", "data", "hello");
  CHECK(ring("ringbuf-read", "size", 5) == Json("hello"));
}

QEMU_TEST_CASE("virtio-serial ports have their names and chardevs") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({
    "chardevs": [{"id": "a", "backend": "null"}, {"id": "b", "backend": "null"}],
    "virtioSerial": {"maxPorts": 4, "ports": [
      {"chardev": "a", "name": "org.example, \"1\""}, {"chardev": "b", "type": "virtconsole"}]}})",
                                   dir, qemu);
  PausedVm vm(config);
  const auto value = [&](const char* id, const char* name) {
    return vm(property(std::string("/machine/peripheral/") + id, name));
  };
  CHECK(value("virtio-serial", "max_ports") == Json(4));
  CHECK(value("virtio-serial-port0", "type") == Json("virtserialport"));
  CHECK(value("virtio-serial-port0", "name") == Json("org.example, \"1\""));
  CHECK(value("virtio-serial-port0", "chardev") == Json("a"));
  CHECK(value("virtio-serial-port0", "nr") == Json(1));
  CHECK(value("virtio-serial-port1", "type") == Json("virtconsole"));
  CHECK(value("virtio-serial-port1", "nr") == Json(0));
}

QEMU_TEST_CASE("a virtio-serial controller takes exactly as many ports as it has") {
  for (const int max : {2, 31}) {
    INFO(max);
    const test::TempDir dir;
    VmConfig config = describe("{}", dir, qemu);
    config.virtio_serial.emplace().max_ports = max;
    const auto add = [&] {
      const std::string id = fmt::format("c{}", config.chardevs.size());
      ChardevConfig& chardev = config.chardevs.emplace_back();
      chardev.id = id;
      chardev.backend = "null";
      config.virtio_serial->ports.emplace_back().chardev = id;
    };
    for (int port = 1; port < max; ++port) add(); // port 0 is reserved for a console
    add();
    config.virtio_serial->ports.back().type = "virtconsole";
    CHECK(ask(config, {test::status()})[0].at("status") == Json("prelaunch"));
    add();
    CHECK_THAT(refusal(config), ContainsSubstring("virtioSerial.maxPorts"));
  }
}

QEMU_TEST_CASE("the guest agent is reachable through its socket") {
  const test::TempDir dir;
  PausedVm vm(describe(R"({"guestAgent": "agent,1.sock"})", dir, qemu));
  const FileDescriptor client = connect_unix(dir / "agent,1.sock");
  CHECK(vm(property("/machine/peripheral/guest-agent", "name")) == Json("org.qemu.guest_agent.0"));
  CHECK(vm(property("/machine/peripheral/guest-agent", "type")) == Json("virtserialport"));
  CHECK_THAT(file_of(vm, "guest-agent-chardev"), ContainsSubstring((dir / "agent,1.sock").string()));
}

QEMU_TEST_CASE("the SPICE agent and USB redirection are channels of the SPICE server") {
  const test::TempDir dir;
  PausedVm vm(describe(R"({
    "display": {"type": "spice", "spice": {"unix": true, "disableTicketing": true, "path": "spice.sock"}},
    "spiceAgent": true,
    "chardevs": [{"id": "redir", "backend": "spicevmc", "name": "usbredir"},
                 {"id": "port", "backend": "spiceport", "name": "org.example.port"}],
    "virtioSerial": {"ports": [{"chardev": "port", "name": "org.example.port"}]},
    "usbDevices": [{"type": "usb-redir", "chardev": "redir"}]})",
                       dir, qemu));
  CHECK(vm(property("/machine/peripheral/spice-agent", "name")) == Json("com.redhat.spice.0"));
  CHECK(file_of(vm, "spice-agent-chardev") == "spicevmc");
  CHECK(file_of(vm, "redir") == "spicevmc");
  CHECK_THAT(file_of(vm, "port"), StartsWith("spiceport"));
  CHECK(vm(property("/machine/peripheral/usb-device0", "chardev")) == Json("redir"));
}

QEMU_TEST_CASE("a chardev file or socket that cannot exist is reported before QEMU starts") {
  const test::TempDir dir;
  const VmConfig config = describe(R"({
    "serials": [{"type": "file", "path": "nowhere/log"}, {"path": "nobody", "server": false}],
    "chardevs": [{"id": "a", "backend": "pipe", "path": "fifo"},
                 {"id": "b", "backend": "socket", "path": "nobody"}]})",
                                   dir, qemu);
  std::filesystem::remove(dir / "fifo");
  const std::string text = refusal(config);
  CHECK_THAT(text, ContainsSubstring("serials[0].path: " + (dir / "nowhere").string() + ": No such file"));
  CHECK_THAT(text, ContainsSubstring("serials[1].path: " + (dir / "nobody").string() + ": No such file"));
  CHECK_THAT(text, ContainsSubstring("chardevs[0].path: " + (dir / "fifo").string() + ": No such file"));
  CHECK_THAT(text, ContainsSubstring("chardevs[1].path: " + (dir / "nobody").string() + ": No such file"));
}
