// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "leaks.hpp"

#include "descendants.hpp"
#include "listener.hpp"
#include "proc.hpp"
#include "process.hpp"

#include <unistd.h>

#include <charconv>
#include <chrono>
#include <iostream>
#include <string_view>
#include <thread>

namespace {

using namespace std::chrono_literals;
using test::read_proc_file;

/// Joined threads and reaped processes may stay in /proc for a moment.
constexpr auto settle_time = 1s;
bool leaked = false;

std::string first_line(std::string text) {
  return text.substr(0, text.find('\n'));
}

/// The state letter and the parent, from /proc/PID/stat; the name before them may contain anything, so its end is
/// searched from the back.
std::pair<char, int> state_and_parent(int pid) {
  const auto stat = read_proc_file("/proc/" + std::to_string(pid) + "/stat");
  const auto name_end = stat.rfind(')');
  if (name_end == std::string::npos || name_end + 4 >= stat.size()) return {'X', 0};
  int parent = 0;
  std::from_chars(stat.data() + name_end + 4, stat.data() + stat.size(), parent);
  return {stat[name_end + 2], parent};
}

std::string describe_process(int pid, char state) {
  auto words = read_proc_file("/proc/" + std::to_string(pid) + "/cmdline");
  for (auto& c : words)
    if (c == '\0') c = ' ';
  if (words.empty()) words = first_line(read_proc_file("/proc/" + std::to_string(pid) + "/comm"));
  return words.substr(0, 200) + (state == 'Z' ? " (a zombie: nobody waited for it)" : "");
}

class LeakListener : public test::Listener {
 public:
  using test::Listener::Listener;

  void testCaseStarting(const Catch::TestCaseInfo& info) override {
    name_ = info.name;
    before_ = test::holdings();
  }

  void testCaseEnded(const Catch::TestCaseStats&) override {
    const auto deadline = std::chrono::steady_clock::now() + settle_time;
    auto left = new_holdings();
    while (!left.empty() && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(5ms);
      left = new_holdings();
    }
    if (left.empty()) return;
    leaked = true;
    std::cerr << "\nFAILED: the case \"" << name_ << "\" left behind:\n";
    for (const auto& [what, detail] : left) std::cerr << "  " << what << ": " << detail << '\n';
  }

 private:
  test::Holdings new_holdings() const {
    // A VM killed with its Instance is reaped by the next launch, which this case may not have.
    qemuctl::detail::reap_orphans();
    auto now = test::holdings();
    for (const auto& entry : before_) {
      const auto same = now.find(entry.first);
      // A thread names itself, some time after it starts.
      if (same != now.end() && (*same == entry || entry.first.starts_with("thread "))) now.erase(same);
    }
    return now;
  }

  std::string name_;
  test::Holdings before_;
};

} // namespace

CATCH_REGISTER_LISTENER(LeakListener)

namespace test {

Holdings holdings() {
  Holdings found;
  each_number_in("/proc/self/fd", [&](int fd) {
    char target[512];
    const auto length = readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target, sizeof target);
    if (length >= 0) found["descriptor " + std::to_string(fd)] = std::string(target, static_cast<std::size_t>(length));
  });
  each_number_in("/proc/self/task", [&](int tid) {
    const auto name = first_line(read_proc_file("/proc/self/task/" + std::to_string(tid) + "/comm"));
    found["thread " + std::to_string(tid)] = name;
  });
  const int self = getpid();
  each_number_in("/proc", [&](int pid) {
    if (pid == self) return;
    const auto [state, parent] = state_and_parent(pid);
    if (parent == self || descends_from(self, pid))
      found["process " + std::to_string(pid)] = describe_process(pid, state);
  });
  return found;
}

bool any_leaked() noexcept {
  return leaked;
}

} // namespace test
