// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "discovery.hpp"
#include "machine.hpp"
#include "other_user.hpp"
#include "process.hpp"
#include "run.hpp"
#include "small_vm.hpp"
#include "temp_dir.hpp"

#include <qemuctl/instance.hpp>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <unistd.h>

#include <csignal>
#include <future>
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

/// The port that QEMU's chardev "net" listens on: port 0 lets the kernel choose.
std::uint16_t port_of_net(const Json& chardevs) {
  for (const Json& chardev : chardevs.as_array()) {
    if (chardev.at("label").as_string() != "net") continue;
    const std::string& name = chardev.at("filename").as_string(); // disconnected:tcp:127.0.0.1:PORT,server=on
    return static_cast<std::uint16_t>(std::stoi(name.substr(name.rfind(':') + 1)));
  }
  return 0;
}

const std::vector<std::string> net_monitor = {"-chardev", "socket,id=net,host=127.0.0.1,port=0,server=on,wait=off",
                                              "-mon", "chardev=net,mode=control"};

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

QEMU_TEST_CASE("Releasing an attached VM leaves it alone, and its monitor free") {
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

QEMU_TEST_CASE("Attaching by PID takes the first free monitor") {
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

QEMU_TEST_CASE("A QEMU whose socket was taken over by another one is not mistaken for it") {
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

QEMU_TEST_CASE("A QEMU without a monitor is an error that says how to add one") {
  test::run([&]() -> asio::awaitable<void> {
    ForeignQemu foreign(co_await asio::this_coro::executor, qemu, test::words());
    // A process gets its command line a moment after its PID.
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

TEST_CASE("Attaching to a PID that is not a QEMU, or does not exist, is an error that names it") {
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

QEMU_TEST_CASE("The end of an attached VM is reported with its true cause") {
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
    // And it was never unknown in between.
    while (auto change = co_await changes.next(5s)) CHECK(change->state != State::unknown);
  });
}

QEMU_TEST_CASE("A socket left behind by a killed QEMU is not removed by an attached client") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    ForeignQemu foreign(co_await asio::this_coro::executor, qemu, with_monitors(dir / "a.sock"));
    Instance vm = co_await attach_when_up(UnixPath{(dir / "a.sock").string()});
    co_await vm.force_stop();
    CHECK(std::filesystem::exists(dir / "a.sock"));
  });
}

QEMU_TEST_CASE("A VM that loses its monitor is unknown while it lives, and its end is still noticed") {
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

QEMU_TEST_CASE("A VM behind TCP is followed through its monitor alone, and stopped by QEMU") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    std::vector<std::string> options = with_monitors(dir / "a.sock");
    options.insert(options.end(), net_monitor.begin(), net_monitor.end());
    ForeignQemu foreign(co_await asio::this_coro::executor, qemu, options);
    std::uint16_t port = 0;
    {
      Instance local = co_await attach_when_up(UnixPath{(dir / "a.sock").string()});
      const Json chardevs = co_await local.execute("query-chardev");
      port = port_of_net(chardevs);
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

QEMU_TEST_CASE("A VM behind TCP whose QEMU outlives its guest is not considered gone along with its monitor") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    std::vector<std::string> options = with_monitors(dir / "a.sock");
    options.insert(options.end(), net_monitor.begin(), net_monitor.end());
    options.emplace_back("-action");
    options.emplace_back("shutdown=pause,reboot=shutdown");
    ForeignQemu foreign(co_await asio::this_coro::executor, qemu, options);
    Instance local = co_await attach_when_up(UnixPath{(dir / "a.sock").string()});
    const Json chardevs = co_await local.execute("query-chardev");
    MonitorAddress address = TcpAddress{"127.0.0.1", port_of_net(chardevs)};
    Instance vm = co_await Instance::attach(std::move(address));
    StatusSubscription changes = vm.subscribe_status();
    co_await local.human_monitor_command("o/b 0xcf9 6"); // a reset by the guest, which shuts down here
    co_await status_with(changes, State::shutdown);
    const VmStatus asked = co_await vm.query_status();
    CHECK(asked.state == State::shutdown);
    CHECK(asked.process_alive);
    co_await local.execute("yank", yank_arguments("net"));
    const VmStatus end = co_await vm.wait();
    CHECK(end.state == State::unknown);
    CHECK(end.process_alive);
    try {
      co_await vm.stop(100ms);
      FAIL("a QEMU that lives was stopped");
    } catch (const Error& error) {
      CHECK(error.code() == errc::interrupted);
    }
    CHECK_FALSE(foreign.process().poll());
  });
}

QEMU_TEST_CASE("A VM that lost its monitor is ended by SIGTERM, and its guest is not waited for") {
  const test::TempDir dir;
  const bool stop = GENERATE(true, false);
  test::run([&]() -> asio::awaitable<void> {
    ForeignQemu foreign(co_await asio::this_coro::executor, qemu, with_monitors(dir / "a.sock", dir / "b.sock"));
    Instance vm = co_await attach_when_up(UnixPath{(dir / "a.sock").string()});
    Instance other = co_await Instance::attach(UnixPath{(dir / "b.sock").string()});
    StatusSubscription changes = vm.subscribe_status();
    co_await other.execute("yank", yank_arguments("compat_monitor0"));
    co_await status_with(changes, State::unknown);
    const auto begin = std::chrono::steady_clock::now();
    if (stop) {
      const StopResult result = co_await vm.stop(15s);
      CHECK(result == StopResult::quit);
    } else {
      co_await vm.quit();
    }
    CHECK(std::chrono::steady_clock::now() - begin < 10s);
    const detail::ProcessExit exit = co_await foreign.process().wait();
    CHECK(exit.exit_code == 0);
    const VmStatus end = co_await other.wait();
    CHECK(end.reason == "host-signal");
  });
}

QEMU_TEST_CASE("A QEMU this user may not signal is told to quit, and if that is impossible the error says why") {
  test::need_root();
  const test::TempDir dir;
  const std::filesystem::path a = dir / "a.sock", b = dir / "b.sock";
  asio::io_context context(1);
  ForeignQemu foreign(context.get_executor(), qemu, with_monitors(a, b));
  test::run(context, [&]() -> asio::awaitable<void> { co_await attach_when_up(UnixPath{b.string()}); });
  for (const auto& path : {dir.path(), a, b}) std::filesystem::permissions(path, std::filesystem::perms::all);
  const std::string seen = test::as_nobody([&] {
    std::string text;
    test::run([&]() -> asio::awaitable<void> {
      Instance vm = co_await Instance::attach(UnixPath{a.string()});
      Instance other = co_await Instance::attach(UnixPath{b.string()});
      StatusSubscription changes = vm.subscribe_status();
      co_await other.execute("yank", yank_arguments("compat_monitor0"));
      co_await status_with(changes, State::unknown);
      for (const bool force : {true, false}) {
        try {
          if (force)
            co_await vm.force_stop();
          else
            co_await vm.stop(15s);
          text += "it was stopped; ";
        } catch (const Error& error) {
          text += error.code() == std::errc::operation_not_permitted ? "not permitted; " : error.what();
        }
      }
      co_await other.force_stop();
      text += to_string(other.state());
    });
    return text;
  });
  CHECK(seen == "not permitted; not permitted; shutdown");
  const auto exit = test::run(context, foreign.process().wait());
  CHECK(exit.exit_code == 0);
}

TEST_CASE("Attaching to a thread ID says which process the thread belongs to") {
  std::promise<int> number;
  std::promise<void> done;
  std::thread thread([&] {
    number.set_value(::gettid());
    done.get_future().wait();
  });
  const int tid = number.get_future().get();
  test::run([&]() -> asio::awaitable<void> {
    try {
      Instance vm = co_await Instance::attach_by_pid(tid);
      FAIL("attached to a thread");
    } catch (const Error& error) {
      CHECK(error.code() == errc::not_found);
      CHECK_THAT(error.what(), ContainsSubstring("it is a thread of process " + std::to_string(::getpid())));
    }
  });
  done.set_value();
  thread.join();
}

QEMU_TEST_CASE("A QEMU that ends while its monitors are being tried is reported as gone, not as an unknown error") {
  const test::TempDir dir;
  test::run([&]() -> asio::awaitable<void> {
    const auto executor = co_await asio::this_coro::executor;
    ForeignQemu foreign(executor, qemu, with_monitors(dir / "a.sock", dir / "b.sock"));
    { Instance vm = co_await attach_when_up(UnixPath{(dir / "b.sock").string()}); }
    ::kill(foreign.pid(), SIGSTOP); // it accepts a connection, but stays silent
    asio::co_spawn(
        executor,
        [&]() -> asio::awaitable<void> {
          // Until the attempt below waits for the greeting.
          for (int i = 0; i < 10; ++i) co_await asio::post(executor, asio::use_awaitable);
          ::kill(foreign.pid(), SIGKILL);
          co_await foreign.process().wait();
        },
        asio::detached);
    try {
      Instance vm = co_await Instance::attach_by_pid(foreign.pid());
      FAIL("attached to a QEMU that was killed");
    } catch (const Error& error) {
      CHECK(error.code() == errc::not_found);
      CHECK_THAT(error.what(), ContainsSubstring("it ended while its monitors were being tried"));
    }
  });
}
