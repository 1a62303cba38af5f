// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "display_password.hpp"
#include "expect_error.hpp"
#include "machine.hpp"
#include "run.hpp"
#include "small_vm.hpp"
#include "temp_dir.hpp"

#include <qemuctl/instance.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fstream>
#include <optional>

using namespace qemuctl;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

std::string first_bytes(const std::filesystem::path& file, std::size_t count) {
  std::string bytes(count, '\0');
  std::ifstream(file, std::ios::binary).read(bytes.data(), static_cast<std::streamsize>(count));
  return bytes;
}

/// Whether QEMU still holds a descriptor in one of its sets. (Sets whose descriptor it has used stay, empty, in 7.2.)
bool has_descriptors(const Json& sets) {
  return std::ranges::any_of(sets.as_array(), [](const Json& set) { return set.at("fds").size() > 0; });
}

/// What the server says first, within 10 s.
std::string greeting_of(const FileDescriptor& socket) {
  timeval patience{10, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  char buffer[12];
  const ssize_t size = ::recv(socket.get(), buffer, sizeof buffer, MSG_WAITALL);
  return std::string(buffer, size > 0 ? static_cast<std::size_t>(size) : 0);
}

/// Exactly `size` bytes, fewer when the server closes or says nothing for 10 s.
std::string receive(const FileDescriptor& socket, std::size_t size) {
  timeval patience{10, 0};
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  std::string bytes(size, '\0');
  const ssize_t count = ::recv(socket.get(), bytes.data(), size, MSG_WAITALL);
  bytes.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  return bytes;
}

void send_all(const FileDescriptor& socket, std::string_view bytes) {
  REQUIRE(::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
}

/// Whether a VNC client with this password is let in (RFC 6143, section 7.1).
bool vnc_lets_in(const FileDescriptor& socket, const std::string& password) {
  const std::string version = receive(socket, 12);
  send_all(socket, version);
  const std::string security = receive(socket, 2);
  REQUIRE(security == std::string("\x01\x02")); // one type: VNC authentication
  send_all(socket, "\x02");
  const std::string challenge = receive(socket, 16);
  REQUIRE(challenge.size() == 16);
  send_all(socket, test::vnc_response(challenge, password));
  const std::string result = receive(socket, 4);
  REQUIRE(result.size() == 4);
  return result == std::string(4, '\0');
}

/// Whether a SPICE client with this password is let in (the link stage of the SPICE protocol).
bool spice_lets_in(const FileDescriptor& socket, const std::string& password) {
  // SpiceLinkHeader (magic, version 2.2, size) and SpiceLinkMess for the main channel, without capabilities.
  const std::string message("\0\0\0\0\1\0\0\0\0\0\0\0\0\0\x12\0\0\0", 18);
  send_all(socket, std::string("REDQ\2\0\0\0\2\0\0\0\x12\0\0\0", 16) + message);
  const std::string header = receive(socket, 16);
  REQUIRE(header.substr(0, 12) == std::string("REDQ\2\0\0\0\2\0\0\0", 12));
  std::uint32_t size = 0;
  std::memcpy(&size, header.data() + 12, sizeof size);
  const std::string reply = receive(socket, size); // SpiceLinkReply: error, public key, capabilities
  REQUIRE(reply.substr(0, 4) == std::string(4, '\0'));
  REQUIRE(reply.size() > 4 + 162);
  send_all(socket, test::spice_ticket(reply.substr(4, 162), password));
  const std::string result = receive(socket, 4);
  const std::string denied("\7\0\0\0", 4); // SPICE_LINK_ERR_PERMISSION_DENIED
  REQUIRE((result == denied || result == std::string(4, '\0')));
  return result != denied;
}

std::pair<FileDescriptor, FileDescriptor> socket_pair() {
  int fds[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
  return {FileDescriptor(fds[0]), FileDescriptor(fds[1])};
}

} // namespace

QEMU_TEST_CASE("A VNC client's socket is handed to QEMU, which then speaks VNC on it") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    VmConfig config = test::small_vm(qemu, dir);
    config.display.type = "vnc";
    Instance vm = co_await Instance::launch(config, test::for_test());
    auto [ours, qemus] = socket_pair();
    co_await vm.add_vnc_client(std::move(qemus), true);
    CHECK(greeting_of(ours) == "RFB 003.008\n");
  });
}

QEMU_TEST_CASE("A VNC client for a VM without VNC is rejected, not silently dropped") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(test::small_vm(qemu, dir), test::for_test());
    auto [ours, qemus] = socket_pair();
    try {
      co_await vm.add_vnc_client(std::move(qemus));
      FAIL("a VM without a display took a client");
    } catch (const Error& error) {
      CHECK(error.code() == errc::not_supported);
      CHECK_THAT(error.what(), ContainsSubstring("display.type"));
    }
  });
}

QEMU_TEST_CASE("A SPICE client or password for a VM without SPICE is rejected in QEMU's words") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(test::small_vm(qemu, dir), test::for_test());
    auto [ours, qemus] = socket_pair();
    for (int client = 0; client < 2; ++client) {
      try {
        if (client)
          co_await vm.add_spice_client(std::move(qemus));
        else
          co_await vm.set_spice_password("secret");
        FAIL("a VM without SPICE took it");
      } catch (const Error& error) {
        CHECK(error.code() == errc::command_failed);
        CHECK_THAT(error.what(), ContainsSubstring("SPICE") && !ContainsSubstring("secret"));
      }
    }
  });
}

QEMU_TEST_CASE("A VNC password can be set and made to expire if the display requires one") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    VmConfig config = test::small_vm(qemu, dir);
    config.display.type = "vnc";
    config.display.vnc.emplace().authenticate = true;
    Instance vm = co_await Instance::launch(config, test::for_test());
    co_await vm.set_vnc_password("secret");
    co_await vm.set_vnc_password("secret", PasswordExpiry::in(60s));
    co_await vm.set_vnc_password("secret", PasswordExpiry::at(std::chrono::system_clock::now() + 60s));
    co_await vm.set_vnc_password("secret", PasswordExpiry::never());
    co_await vm.set_vnc_password("secret", PasswordExpiry::now());
    Instance plain = co_await Instance::launch(test::small_vm(qemu, dir, "plain"), test::for_test());
    try {
      co_await plain.set_vnc_password("secret");
      FAIL("a VM without a VNC password took one");
    } catch (const Error& error) {
      CHECK(error.code() == errc::command_failed);
    }
  });
}

QEMU_TEST_CASE("A VNC client is admitted with the password that was set, until that expires") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    VmConfig config = test::small_vm(qemu, dir);
    config.display.type = "vnc";
    config.display.vnc.emplace().authenticate = true;
    Instance vm = co_await Instance::launch(config, test::for_test());
    struct Step {
      const char* set;
      PasswordExpiry expiry;
      const char* given;
      bool let_in;
    };
    const std::vector<Step> steps = [] {
      return std::vector<Step>{{"secret", PasswordExpiry::never(), "secret", true},
                               {"secret", PasswordExpiry::never(), "Secret", false},
                               {"eightletters", PasswordExpiry::in(60s), "eightlet", true},
                               {"other", PasswordExpiry::never(), "secret", false},
                               {"other", PasswordExpiry::now(), "other", false}};
    }();
    for (const Step& step : steps) {
      CAPTURE(step.set, step.given, step.expiry.qmp_value);
      co_await vm.set_vnc_password(step.set, step.expiry);
      auto [ours, qemus] = socket_pair();
      co_await vm.add_vnc_client(std::move(qemus));
      const bool let_in = vnc_lets_in(ours, step.given);
      CHECK(let_in == step.let_in);
    }
    auto [ours, qemus] = socket_pair();
    co_await vm.add_vnc_client(std::move(qemus), true);
    CHECK(receive(ours, 12) == "RFB 003.008\n");
    send_all(ours, "RFB 003.008\n");
    CHECK(receive(ours, 2) == "\x01\x01"); // one type: none, since authentication was skipped
  });
}

QEMU_TEST_CASE("A SPICE client whose socket is handed to QEMU is admitted with the latest password") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    VmConfig config = test::small_vm(qemu, dir);
    config.display.type = "spice";
    config.display.spice.emplace().password = "at first";
    Instance vm = co_await Instance::launch(config, test::for_test());
    const auto lets_in = [&](std::string password) -> asio::awaitable<bool> {
      auto [ours, qemus] = socket_pair();
      co_await vm.add_spice_client(std::move(qemus));
      co_return spice_lets_in(ours, password);
    };
    CHECK(co_await lets_in("at first"));
    CHECK_FALSE(co_await lets_in("secret"));
    co_await vm.set_spice_password("secret");
    CHECK(co_await lets_in("secret"));
    CHECK_FALSE(co_await lets_in("at first"));
    co_await vm.set_spice_password("secret", PasswordExpiry::in(60s));
    CHECK(co_await lets_in("secret"));
    co_await vm.set_spice_password("secret", PasswordExpiry::now());
    CHECK_FALSE(co_await lets_in("secret"));
  });
}

QEMU_TEST_CASE("The screen is written as PNG or PPM, replacing the file as a whole") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    VmConfig config = test::small_vm(qemu, dir);
    config.display.video.type = "VGA";
    Instance vm = co_await Instance::launch(config, test::for_test());
    std::ofstream(dir / "screen.png") << "what was there before";
    const ScreenshotFormat png = co_await vm.screendump(dir / "screen.png");
    CHECK(png == ScreenshotFormat::png);
    CHECK(first_bytes(dir / "screen.png", 4) == "\x89PNG");
    const ScreenshotFormat ppm = co_await vm.screendump(dir / "screen.ppm", ScreenshotFormat::ppm);
    CHECK(ppm == ScreenshotFormat::ppm);
    CHECK(first_bytes(dir / "screen.ppm", 2) == "P6");
    const Json sets = co_await vm.execute("query-fdsets");
    CHECK_FALSE(has_descriptors(sets));
  });
}

QEMU_TEST_CASE("A failed screenshot leaves the file unchanged and nothing beside it") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(test::small_vm(qemu, dir), test::for_test());
    std::filesystem::create_directory(dir / "shots");
    std::ofstream(dir / "shots" / "screen.png") << "before";
    try {
      co_await vm.screendump(dir / "shots" / "screen.png");
      FAIL("there is no screen");
    } catch (const Error& error) {
      CHECK(error.code() == errc::command_failed);
    }
    CHECK(first_bytes(dir / "shots" / "screen.png", 6) == "before");
    const auto files = std::filesystem::directory_iterator(dir / "shots");
    CHECK(std::distance(begin(files), end(files)) == 1);
    const Json sets = co_await vm.execute("query-fdsets");
    CHECK_FALSE(has_descriptors(sets));
  });
}

QEMU_TEST_CASE("A cancelled screenshot leaves no descriptor in QEMU and no file") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    const auto executor = co_await asio::this_coro::executor;
    VmConfig config = test::small_vm(qemu, dir);
    config.display.video.type = "VGA";
    Instance vm = co_await Instance::launch(config, test::for_test());
    std::filesystem::create_directory(dir / "shots");
    ::kill(*vm.pid(), SIGSTOP);
    asio::cancellation_signal cancel;
    std::optional<bool> cancelled;
    asio::co_spawn(
        executor, test::is_cancelled(vm.screendump(dir / "shots" / "screen.png")),
        asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr, bool result) { cancelled = result; }));
    for (int i = 0; i < 10; ++i) co_await asio::post(executor, asio::use_awaitable); // until it waits for QEMU
    REQUIRE_FALSE(cancelled);
    cancel.emit(asio::cancellation_type::terminal);
    while (!cancelled) co_await asio::post(executor, asio::use_awaitable);
    CHECK(*cancelled);
    ::kill(*vm.pid(), SIGCONT);
    const Json sets = co_await vm.execute("query-fdsets");
    CHECK_FALSE(has_descriptors(sets));
    CHECK(std::filesystem::is_empty(dir / "shots"));
  });
}

QEMU_TEST_CASE("A client handed over without a server leaves no descriptor in QEMU") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    const auto executor = co_await asio::this_coro::executor;
    VmConfig config = test::small_vm(qemu, dir);
    config.display.type = "vnc";
    Instance vm = co_await Instance::launch(config, test::for_test());
    auto [ours, qemus] = socket_pair();
    ::kill(*vm.pid(), SIGSTOP);
    asio::cancellation_signal cancel;
    std::optional<bool> cancelled;
    asio::co_spawn(
        executor, test::is_cancelled(vm.add_spice_client(std::move(qemus))),
        asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr, bool result) { cancelled = result; }));
    for (int i = 0; i < 10; ++i) co_await asio::post(executor, asio::use_awaitable);
    REQUIRE_FALSE(cancelled);
    cancel.emit(asio::cancellation_type::terminal);
    while (!cancelled) co_await asio::post(executor, asio::use_awaitable);
    CHECK(*cancelled);
    ::kill(*vm.pid(), SIGCONT);
    CHECK(greeting_of(ours).empty()); // the other end was closed
    char byte = 0;
    CHECK(::recv(ours.get(), &byte, 1, MSG_DONTWAIT) == 0);
  });
}

QEMU_TEST_CASE("A screenshot has the mode the umask gives, and one that cannot be written is an error that says why") {
  const test::TempDir dir;
  const mode_t before = ::umask(0027);
  test::run([&]() -> asio::awaitable<void> {
    VmConfig config = test::small_vm(qemu, dir);
    config.display.video.type = "VGA";
    Instance vm = co_await Instance::launch(config, test::for_test());
    co_await vm.screendump(dir / "screen.png");
    CHECK(std::filesystem::status(dir / "screen.png").permissions() == std::filesystem::perms(0640));
    try {
      co_await vm.screendump(dir / "no" / "screen.png");
      FAIL("it was written into a folder that is not there");
    } catch (const Error& error) {
      CHECK(error.code() == std::errc::no_such_file_or_directory);
      CHECK_THAT(error.what(), ContainsSubstring("cannot take a screenshot (VM vm): " + (dir / "no").string()));
    }
    std::filesystem::create_directory(dir / "folder.png");
    try {
      co_await vm.screendump(dir / "folder.png");
      FAIL("it replaced a folder");
    } catch (const Error& error) {
      CHECK(error.code() == std::errc::is_a_directory);
    }
    int left = 0;
    for (const auto& file : std::filesystem::directory_iterator(dir.path()))
      left += file.path().filename().string().starts_with("folder.png.");
    CHECK(left == 0);
  });
  ::umask(before);
}

QEMU_TEST_CASE("A disk is identified and limited by its configured id") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    std::filesystem::resize_file((std::ofstream(dir / "disk.img"), dir / "disk.img"), 1 << 20);
    VmConfig config = test::small_vm(qemu, dir);
    DiskConfig disk;
    disk.id = "system";
    std::get<FileDiskBackend>(disk.backend).path = (dir / "disk.img").string();
    config.disks.push_back(disk);
    Instance vm = co_await Instance::launch(config, test::for_test());

    std::vector<BlockDevice> devices = co_await vm.query_block();
    REQUIRE(devices.size() == 1);
    CHECK(devices[0].id == "system");
    CHECK(devices[0].driver == "raw");
    CHECK(devices[0].inserted);
    CHECK_FALSE(devices[0].read_only);
    CHECK(devices[0].throttle == IoThrottle{});

    IoThrottle limits;
    limits.bps = 100 << 20;
    limits.iops_read = 100;
    limits.iops_write = 200;
    co_await vm.set_io_throttle("system", limits);
    devices = co_await vm.query_block();
    CHECK(devices[0].throttle == limits);
    co_await vm.set_io_throttle(devices[0].qdev, IoThrottle{});
    devices = co_await vm.query_block();
    CHECK(devices[0].throttle == IoThrottle{});

    try {
      co_await vm.set_io_throttle("drive0", limits);
      FAIL("a disk that is not there was limited");
    } catch (const Error& error) {
      CHECK(error.code() == errc::not_found);
      CHECK_THAT(error.what(), ContainsSubstring("system"));
    }
    limits.bps_read = 1;
    try {
      co_await vm.set_io_throttle("system", limits);
      FAIL("a total and a part were set at once");
    } catch (const Error& error) {
      CHECK(error.code() == errc::command_failed);
    }
  });
}

QEMU_TEST_CASE("A USB device is unplugged once DEVICE_DELETED arrives, and its id is free again") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    VmConfig config = test::small_vm(qemu, dir);
    config.usb.emplace();
    Instance vm = co_await Instance::launch(config, test::for_test());
    const Json tablet = parse_json(R"({"driver": "usb-tablet", "id": "pen"})");
    for (int i = 0; i < 20; ++i) {
      co_await vm.device_add(tablet);
      const UnplugResult result = co_await vm.device_del("pen");
      REQUIRE(result == UnplugResult::deleted);
    }
    try {
      co_await vm.device_del("pen");
      FAIL("a device that is not there was unplugged");
    } catch (const Error& error) {
      CHECK(error.code() == errc::command_failed);
      CHECK(error.diagnostics().qmp_class == "DeviceNotFound");
    }
  });
}

QEMU_TEST_CASE("A guest that never releases a PCI device makes the unplug time out, not hang") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    VmConfig config = test::small_vm(qemu, dir);
    config.extra_args = test::words("-device", R"({"driver":"pcie-root-port","id":"rp0","chassis":1,"slot":1})");
    LaunchOptions options = test::for_test();
    options.paused = true; // nobody in the guest to respond
    Instance vm = co_await Instance::launch(config, std::move(options));
    co_await vm.device_add(parse_json(R"({"driver": "e1000e", "id": "nic", "bus": "rp0", "addr": "0x0"})"));
    const UnplugResult first = co_await vm.device_del("nic", 200ms);
    CHECK(first == UnplugResult::timed_out);
    // Asking again waits for the same response instead of failing on "already in the process of unplug".
    const UnplugResult second = co_await vm.device_del("nic", 200ms);
    CHECK(second == UnplugResult::timed_out);
    // A reset completes what is pending.
    Instance other = co_await Instance::attach(vm.monitor());
    EventSubscription deleted = vm.subscribe_events(events_named(test::words("DEVICE_DELETED")));
    co_await other.reset();
    const auto event = co_await deleted.next(10s);
    REQUIRE(event);
    CHECK(event->data.at("device").as_string() == "nic");
  });
}

QEMU_TEST_CASE("Keys are sent by QEMU's names, and an unknown one is rejected") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(test::small_vm(qemu, dir), test::for_test());
    co_await vm.send_key(test::words("ctrl", "alt", "delete"));
    std::vector<std::vector<std::string>> wrong(3);
    wrong[0].push_back("any-key");
    wrong[1].resize(17, "a");
    for (const auto& keys : wrong) {
      try {
        co_await vm.send_key(keys);
        FAIL("a wrong key was sent");
      } catch (const Error& error) {
        CHECK((error.code() == errc::command_failed || error.code() == errc::invalid_argument));
      }
    }
  });
}

QEMU_TEST_CASE("The human monitor answers in text") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    Instance vm = co_await Instance::launch(test::small_vm(qemu, dir), test::for_test());
    const std::string status = co_await vm.human_monitor_command("info status");
    CHECK_THAT(status, ContainsSubstring("running"));
    const std::string unknown = co_await vm.human_monitor_command("no-such-command");
    CHECK_THAT(unknown, ContainsSubstring("unknown command"));
  });
}
