// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "discovery.hpp"
#include "machine.hpp"
#include "process.hpp"
#include "run.hpp"
#include "small_vm.hpp"
#include "temp_dir.hpp"

#include <qemuctl/instance.hpp>

#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <unistd.h>

#include <csignal>
#include <thread>

using namespace qemuctl;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
using test::status_with;

namespace {

/// A QEMU somebody else started, by hand; killed at the end.
class ForeignQemu {
 public:
  ForeignQemu(asio::any_io_executor executor, const std::filesystem::path& qemu, std::vector<std::string> options) {
    detail::SpawnOptions spawn;
    spawn.argv = {qemu.string(), "-machine", "q35", "-accel", "tcg", "-m", "64", "-nodefaults", "-display", "none"};
    spawn.argv.insert(spawn.argv.end(), options.begin(), options.end());
    process_ = detail::Process::spawn(executor, spawn);
  }
  ~ForeignQemu() { process_->send_signal(SIGKILL); }
  int pid() const { return process_->pid(); }
  detail::Process& process() { return *process_; }

 private:
  std::optional<detail::Process> process_;
};

/// Until QEMU listens: it is another's process, so there is nothing to be told by.
asio::awaitable<Instance> attach_when_up(MonitorAddress address) {
  asio::steady_timer retry(co_await asio::this_coro::executor);
  for (int attempt = 0;; ++attempt) {
    bool again = false;
    try {
      Instance vm = co_await Instance::attach(address);
      co_return vm;
    } catch (const Error& error) {
      if (attempt == 1'000 || error.code() != errc::connect_failed) throw;
      again = true;
    }
    if (again) {
      retry.expires_after(10ms);
      co_await retry.async_wait(asio::use_awaitable);
    }
  }
}

Json yank_arguments(const std::string& chardev) {
  return Json::object({{"instances", Json::array({Json::object({{"type", "chardev"}, {"id", chardev}})})}});
}

template<class... Paths>
std::vector<std::string> with_monitors(const Paths&... paths) {
  std::vector<std::string> options;
  ((options.emplace_back("-qmp"), options.push_back("unix:" + paths.string() + ",server=on,wait=off")), ...);
  return options;
}

} // namespace

QEMU_TEST_CASE("A VM attached to by its socket is the same VM") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    std::vector<std::string> options = with_monitors(dir / "a.sock");
    options.emplace_back("-name");
    options.emplace_back("byhand");
    ForeignQemu foreign(co_await asio::this_coro::executor, qemu, options);
    Instance vm = co_await attach_when_up(UnixPath{(dir / "a.sock").string()});
    CHECK(vm.name() == "byhand");
    CHECK(vm.pid() == foreign.pid());
    CHECK(vm.state() == State::running);
    CHECK(vm.log_file().empty());
    CHECK_FALSE(vm.command_line().empty());
    const StopResult result = co_await vm.stop(100ms);
    CHECK(result == StopResult::quit);
    CHECK(foreign.process().poll());
  });
}

QEMU_TEST_CASE("Letting go of an attached VM leaves it alone, and its monitor free") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    ForeignQemu foreign(co_await asio::this_coro::executor, qemu, with_monitors(dir / "a.sock"));
    for (int i = 0; i < 3; ++i) {
      Instance vm = co_await attach_when_up(UnixPath{(dir / "a.sock").string()});
      CHECK(vm.state() == State::running);
    }
    CHECK_FALSE(foreign.process().poll());
  });
}

QEMU_TEST_CASE("Attaching by PID takes the first monitor that is free") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    ForeignQemu foreign(co_await asio::this_coro::executor, qemu, with_monitors(dir / "a.sock", dir / "b.sock"));
    Instance first = co_await attach_when_up(UnixPath{(dir / "a.sock").string()});
    Instance second = co_await Instance::attach_by_pid(foreign.pid());
    CHECK(to_string(second.monitor()) == (dir / "b.sock").string());
    try {
      Instance third = co_await Instance::attach_by_pid(foreign.pid());
      FAIL("a monitor served two clients");
    } catch (const Error& error) {
      CHECK(error.code() == errc::monitor_in_use);
      CHECK_THAT(error.what(), ContainsSubstring("a.sock") && ContainsSubstring("b.sock") &&
                                   ContainsSubstring(std::to_string(::getpid())));
    }
  });
}

QEMU_TEST_CASE("A QEMU whose socket another one has taken over is not mistaken for that one") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    const auto executor = co_await asio::this_coro::executor;
    const UnixPath path((dir / "a.sock").string());
    ForeignQemu first(executor, qemu, with_monitors(dir / "a.sock"));
    {
      Instance vm = co_await attach_when_up(path);
      CHECK(vm.pid() == first.pid());
    }
    ForeignQemu second(executor, qemu, with_monitors(dir / "a.sock"));
    bool taken = false;
    while (!taken) {
      Instance vm = co_await attach_when_up(path);
      taken = vm.pid() == second.pid();
    }
    try {
      Instance vm = co_await Instance::attach_by_pid(first.pid());
      FAIL("attached to the other VM");
    } catch (const Error& error) {
      CHECK(error.code() == errc::connect_failed);
      CHECK_THAT(error.what(), ContainsSubstring(std::to_string(second.pid())));
    }
  });
}

QEMU_TEST_CASE("A QEMU without a monitor is told how to have one") {
  test::run([&]() -> asio::awaitable<void> {
    ForeignQemu foreign(co_await asio::this_coro::executor, qemu, test::words());
    // A process has its command line a moment after it has its PID.
    while (detail::read_command_line(foreign.pid()).empty()) std::this_thread::yield();
    try {
      Instance vm = co_await Instance::attach_by_pid(foreign.pid());
      FAIL("there is nothing to attach to");
    } catch (const Error& error) {
      CHECK(error.code() == errc::not_found);
      CHECK_THAT(error.what(), ContainsSubstring("-qmp unix:"));
    }
  });
}

TEST_CASE("Attaching to a PID that is no QEMU, or nobody's, is an error that says which") {
  const int pid = GENERATE(::getpid(), 0x3fffff, 0, -5);
  test::run([&]() -> asio::awaitable<void> {
    try {
      Instance vm = co_await Instance::attach_by_pid(pid);
      FAIL("attached to process " << pid);
    } catch (const Error& error) {
      CHECK(error.code() == errc::not_found);
      CHECK_THAT(error.what(), ContainsSubstring(std::to_string(pid)));
    }
  });
}

QEMU_TEST_CASE("The end of an attached VM is seen for what it was") {
  const test::TempDir dir;
  const int signal = GENERATE(SIGTERM, SIGKILL);
  test::run([&]() -> asio::awaitable<void> {
    ForeignQemu foreign(co_await asio::this_coro::executor, qemu, with_monitors(dir / "a.sock"));
    Instance vm = co_await attach_when_up(UnixPath{(dir / "a.sock").string()});
    StatusSubscription changes = vm.subscribe_status();
    ::kill(foreign.pid(), signal);
    const VmStatus end = co_await vm.wait();
    CHECK(end.state == (signal == SIGTERM ? State::shutdown : State::crashed));
    CHECK_FALSE(end.process_alive);
    // And it was never unknown on the way.
    while (auto change = co_await changes.next(5s)) CHECK(change->state != State::unknown);
  });
}

QEMU_TEST_CASE("A socket that is left behind by a killed QEMU is not removed by those who were attached") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    ForeignQemu foreign(co_await asio::this_coro::executor, qemu, with_monitors(dir / "a.sock"));
    Instance vm = co_await attach_when_up(UnixPath{(dir / "a.sock").string()});
    co_await vm.force_stop();
    CHECK(std::filesystem::exists(dir / "a.sock"));
  });
}

QEMU_TEST_CASE("A VM whose monitor is taken away is unknown while it lives, and its end is still seen") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    ForeignQemu foreign(co_await asio::this_coro::executor, qemu, with_monitors(dir / "a.sock", dir / "b.sock"));
    Instance vm = co_await attach_when_up(UnixPath{(dir / "a.sock").string()});
    Instance other = co_await Instance::attach(UnixPath{(dir / "b.sock").string()});
    StatusSubscription changes = vm.subscribe_status();
    // `yank` is QEMU's own way to cut a connection that hangs.
    co_await other.execute("yank", yank_arguments("compat_monitor0"));
    const VmStatus unknown = co_await status_with(changes, State::unknown);
    CHECK(unknown.process_alive);
    CHECK_FALSE(vm.pid() == std::nullopt);
    co_await other.quit();
    const VmStatus end = co_await vm.wait();
    CHECK_FALSE(end.process_alive);
  });
}

QEMU_TEST_CASE("A VM behind TCP is followed by its monitor alone, and stopped by QEMU") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    // Port 0 lets the kernel choose; QEMU tells which on another monitor.
    std::vector<std::string> options = with_monitors(dir / "a.sock");
    options.emplace_back("-chardev");
    options.emplace_back("socket,id=net,host=127.0.0.1,port=0,server=on,wait=off");
    options.emplace_back("-mon");
    options.emplace_back("chardev=net,mode=control");
    ForeignQemu foreign(co_await asio::this_coro::executor, qemu, options);
    std::uint16_t port = 0;
    {
      Instance local = co_await attach_when_up(UnixPath{(dir / "a.sock").string()});
      const Json chardevs = co_await local.execute("query-chardev");
      for (const Json& chardev : chardevs.as_array()) {
        if (chardev.at("label").as_string() != "net") continue;
        const std::string& name = chardev.at("filename").as_string(); // disconnected:tcp:127.0.0.1:PORT,server=on
        const auto colon = name.rfind(':');
        port = static_cast<std::uint16_t>(std::stoi(name.substr(colon + 1)));
      }
    }
    Instance vm = co_await Instance::attach(TcpAddress{"127.0.0.1", port});
    CHECK_FALSE(vm.pid());
    CHECK(vm.state() == State::running);
    const StopResult result = co_await vm.stop(100ms);
    CHECK(result == StopResult::quit);
    CHECK(vm.state() == State::shutdown);
    const auto exit = co_await foreign.process().wait_until(std::chrono::steady_clock::now() + 10s);
    CHECK(exit);
  });
}
