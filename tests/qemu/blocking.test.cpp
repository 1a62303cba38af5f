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
#include <mutex>
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

QEMU_TEST_CASE("A program without coroutines launches, asks and stops a VM") {
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

QEMU_TEST_CASE("A blocking launch that fails throws the same error") {
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

QEMU_TEST_CASE("Callbacks tell of status changes and events from another thread") {
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

QEMU_TEST_CASE("Many threads may use one VM, and one may stop it while another waits for its end") {
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
