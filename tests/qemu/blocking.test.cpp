// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "machine.hpp"
#include "small_vm.hpp"
#include "temp_dir.hpp"

#include <qemuctl/blocking.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <csignal>
#include <future>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

using namespace qemuctl;
using namespace std::chrono_literals;

namespace {

/// What a callback on another thread collects.
template<class Item>
class Collected {
 public:
  void add(const Item& item) {
    const std::lock_guard lock(mutex_);
    items_.push_back(item);
    changed_.notify_all();
  }
  template<class Predicate>
  bool wait_for(Predicate predicate) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 20s, [&] { return std::ranges::any_of(items_, predicate); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Item> items_;
};

} // namespace

QEMU_TEST_CASE("A program without coroutines launches, queries and stops a VM") {
  const test::TempDir dir;
  auto vm = blocking::Instance::launch(test::small_vm(qemu, dir), test::for_test());
  CHECK(vm.state() == State::running);
  CHECK(vm.name() == "vm");
  CHECK(vm.execute("query-name").at("name").as_string() == "vm");
  vm.pause();
  CHECK(vm.query_status().state == State::paused);
  vm.resume();
  CHECK_FALSE(vm.wait_for(10ms));
  CHECK(vm.stop(100ms) == StopResult::quit);
  CHECK(vm.wait().state == State::shutdown);
  CHECK_THROWS_AS(vm.pause(), Error);
}

QEMU_TEST_CASE("A failed blocking launch throws the same error") {
  const test::TempDir dir;
  VmConfig config = test::small_vm(qemu, dir);
  config.extra_args = {"-device", "nosuch-device"};
  try {
    auto vm = blocking::Instance::launch(config, test::for_test());
    FAIL("it launched");
  } catch (const Error& error) {
    CHECK(error.code() == errc::launch_failed);
  }
}

QEMU_TEST_CASE("Callbacks report status changes and events from another thread") {
  const test::TempDir dir;
  Collected<VmStatus> changes;
  Collected<Event> events;
  auto vm = blocking::Instance::launch(test::small_vm(qemu, dir), test::for_test());
  vm.on_status_change([&](const VmStatus& status) { changes.add(status); });
  vm.on_event([&](const Event& event) { events.add(event); });
  vm.pause();
  CHECK(changes.wait_for([](const VmStatus& status) { return status.state == State::paused; }));
  CHECK(events.wait_for([](const Event& event) { return event.name == "STOP"; }));
  vm.quit();
  CHECK(changes.wait_for([](const VmStatus& status) { return !status.process_alive; }));
}

QEMU_TEST_CASE("Many threads may use one VM, and one may stop it while another waits for it to end") {
  const test::TempDir dir;
  auto vm = blocking::Instance::launch(test::small_vm(qemu, dir), test::for_test());
  std::vector<std::thread> threads;
  std::atomic<int> answers = 0;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (int j = 0; j < 25; ++j) {
        vm.execute("query-status");
        (void)vm.status();
        ++answers;
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(answers == 100);

  State end = State::unknown;
  std::thread waiter([&] { end = vm.wait().state; });
  vm.stop(10ms);
  waiter.join();
  CHECK(end == State::shutdown);
}

QEMU_TEST_CASE("A blocking call from a callback is rejected instead of deadlocking, but known values can be read") {
  const test::TempDir dir;
  std::promise<std::string> outcome;
  auto vm = blocking::Instance::launch(test::small_vm(qemu, dir), test::for_test());
  vm.on_event([&](const Event& event) {
    if (event.name != "STOP") return;
    std::string text = vm.name();
    try {
      vm.resume();
      text += " was resumed";
    } catch (const Error& error) {
      text += error.code() == errc::invalid_argument ? std::string(": ") + error.what() : error.what();
    }
    outcome.set_value(text);
  });
  auto answer = outcome.get_future();
  vm.pause();
  REQUIRE(answer.wait_for(20s) == std::future_status::ready);
  CHECK_THAT(answer.get(),
             Catch::Matchers::StartsWith("vm: cannot call a blocking Instance from its own thread: a callback runs"));
}

QEMU_TEST_CASE("An object can be destroyed by its own callback, which is then the last") {
  const test::TempDir dir;
  auto keeper = blocking::Instance::launch(test::small_vm(qemu, dir), test::for_test());
  std::promise<void> destroyed;
  std::atomic<int> calls = 0;
  auto vm = std::make_unique<blocking::Instance>(blocking::Instance::attach(keeper.monitor()));
  vm->on_event([&](const Event&) {
    ++calls;
    keeper.reset(); // more events, which are queued when the callback returns
    keeper.execute("query-status");
    vm.reset();
    destroyed.set_value();
  });
  auto done = destroyed.get_future();
  keeper.pause();
  REQUIRE(done.wait_for(20s) == std::future_status::ready);
  CHECK(keeper.query_status().process_alive);
  CHECK(calls == 1);
}

QEMU_TEST_CASE("An exception from a callback is reported, and later callbacks still run, with signals blocked") {
  const test::TempDir dir;
  Collected<std::string> warnings;
  Collected<std::string> names;
  LaunchOptions options = test::for_test();
  options.on_warning = [&](std::string_view text) { warnings.add(std::string(text)); };
  auto vm = blocking::Instance::launch(test::small_vm(qemu, dir), std::move(options));
  std::atomic<bool> blocked = false;
  vm.on_event([&](const Event& event) {
    sigset_t mask;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &mask);
    blocked = ::sigismember(&mask, SIGTERM) == 1 && ::sigismember(&mask, SIGINT) == 1;
    names.add(event.name);
    if (event.name == "STOP") throw std::runtime_error("the callback failed");
  });
  vm.pause();
  CHECK(warnings.wait_for([](const std::string& text) { return text.ends_with("the callback failed"); }));
  vm.resume();
  CHECK(names.wait_for([](const std::string& name) { return name == "RESUME"; }));
  CHECK(blocked);
}
