// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What the service costs over a program that only follows udev and writes `device_add`, in the same run, with USB
// devices of umockdev's and a QEMU that answers at once.
#include "bare_follower.hpp"
#include "fake_qemu.hpp"
#include "samples.hpp"
#include "usb_host.hpp"

#include <hotplug/usb_rule.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <re2/re2.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace {

using steady_clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

double microseconds(steady_clock::duration duration) {
  return std::chrono::duration<double, std::micro>(duration).count();
}

/// Another program, ended with the scope.
class Program {
 public:
  Program(std::vector<std::string> argv, const std::filesystem::path& output) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    std::vector<char*> words;
    for (std::string& word : argv) words.push_back(word.data());
    words.push_back(nullptr);
    const int failed = posix_spawn(&pid_, words[0], &actions, nullptr, words.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0) throw std::system_error(failed, std::generic_category(), argv[0]);
  }

  ~Program() {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  int pid() const noexcept { return pid_; }

 private:
  pid_t pid_ = -1;
};

/// The VMs, and the two programs that can serve them.
class Bench {
 public:
  Bench(std::filesystem::path dir, std::string service, std::string self, int vms)
      : dir_(std::move(dir)), service_(std::move(service)), self_(std::move(self)) {
    for (int i = 0; i < vms; ++i) vms_.push_back(std::make_unique<test::FakeQemu>(dir_ / fmt::format("vm{}.sock", i)));
  }

  /// Devices with numbers below `numbers` go to the VM with the number that is the remainder of theirs.
  std::unique_ptr<Program> start_service(std::string_view monitor, std::size_t numbers = 1000) const {
    std::ofstream file(dir_ / "config.json");
    file << R"({"general": {"persistency": false, "maxArrivalsPerMinute": 0}, "vms": [)";
    for (std::size_t i = 0; i < vms_.size(); ++i)
      file << fmt::format(R"({}{{"name": "vm{}", "socket": "{}", "monitor": "{}"}})", i ? ", " : "", i,
                          vms_[i]->socket().string(), monitor);
    file << R"(], "usbPassthrough": [)";
    for (std::size_t i = 0; i < vms_.size(); ++i) {
      file << fmt::format(R"({}{{"targetVm": "vm{}", "allow": [)", i ? ", " : "", i);
      bool first = true;
      for (std::size_t number = i; number < numbers; number += vms_.size())
        if (number > 0)
          file << fmt::format(R"({}{{"vendorId": "046d", "productId": "{:04x}"}})",
                              std::exchange(first, false) ? "" : ", ", number);
      file << "]}";
    }
    file << "]}";
    file.close();
    auto program = std::make_unique<Program>(
        std::vector<std::string>{service_, "-a", "-c", (dir_ / "config.json").string()}, dir_ / "output");
    wait_for("qom-list", 4); // it has looked at what each of them has, and listened to udev before
    return program;
  }

  std::unique_ptr<Program> start_bare() const {
    std::vector<std::string> argv{self_, "--bare"};
    for (const auto& vm : vms_) argv.push_back(vm->socket().string());
    auto program = std::make_unique<Program>(std::move(argv), dir_ / "output");
    wait_for("qmp_capabilities", 1);
    return program;
  }

  std::size_t additions() const {
    std::size_t count = 0;
    for (const auto& vm : vms_) count += static_cast<std::size_t>(vm->count("device_add"));
    return count;
  }

  /// When the last of so many `device_add` came.
  steady_clock::time_point wait_for_additions(std::size_t count) const {
    const auto deadline = steady_clock::now() + 60s;
    while (additions() < count) {
      if (steady_clock::now() > deadline) throw std::runtime_error("devices are missing");
      std::this_thread::sleep_for(100us); // not measured: the servers note the time
    }
    steady_clock::time_point last{};
    for (const auto& vm : vms_) {
      const auto all = vm->additions();
      if (!all.empty()) last = std::max(last, all.back().when);
    }
    return last;
  }

  void wait_until_empty() const {
    const auto deadline = steady_clock::now() + 60s;
    for (const auto& vm : vms_)
      while (!vm->devices().empty()) {
        if (steady_clock::now() > deadline) throw std::runtime_error("devices are left");
        std::this_thread::sleep_for(100us);
      }
  }

 private:
  /// Until each VM has got so many commands of that name.
  void wait_for(const char* command, int count) const {
    const auto deadline = steady_clock::now() + 30s;
    for (const auto& vm : vms_)
      while (vm->count(command) < count) {
        if (steady_clock::now() > deadline) throw std::runtime_error("a program did not begin; see its output");
        std::this_thread::sleep_for(1ms);
      }
  }

  std::filesystem::path dir_;
  std::string service_, self_;
  std::vector<std::unique_ptr<test::FakeQemu>> vms_;
};

struct Places {
  std::filesystem::path dir;
  std::string service, self;
  int folders = 0;
  Bench bench(int vms) {
    const auto folder = dir / std::to_string(folders++);
    std::filesystem::create_directory(folder);
    return Bench(folder, service, self, vms);
  }
};

/// A number of a process's in a file of /proc, after `key`; the sum over its threads where `threads` is set.
long proc_value(int pid, const char* file, std::string_view key, bool threads = false) {
  std::vector<std::filesystem::path> files;
  const std::filesystem::path process = "/proc/" + std::to_string(pid);
  if (threads)
    for (const auto& thread : std::filesystem::directory_iterator(process / "task"))
      files.push_back(thread.path() / file);
  else
    files.push_back(process / file);
  long sum = 0;
  for (const auto& path : files) {
    std::ifstream lines(path);
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with(key)) sum += std::strtol(line.c_str() + key.size(), nullptr, 10);
  }
  return sum;
}

/// From the event to the `device_add` that the VM gets.
bench::Samples measure_latency(bench::UsbHost& host, Places& places, std::string_view monitor, int count) {
  bench::Samples samples;
  samples.name = fmt::format("event to device_add, monitor \"{}\"", monitor);
  constexpr int batch = 50;
  for (int round = 0; round < count / batch; ++round)
    for (const bool bare : {round % 2 == 0, round % 2 != 0}) {
      const Bench bench = places.bench(1);
      const auto program = bare ? bench.start_bare() : bench.start_service(monitor);
      for (int i = 1; i <= batch + 5; ++i) {
        const std::string path = host.add(i);
        const auto begin = steady_clock::now();
        host.tell(path, "add");
        const auto end = bench.wait_for_additions(static_cast<std::size_t>(i));
        if (i > 5) (bare ? samples.bare : samples.library).push_back(microseconds(end - begin));
        host.tell(path, "remove");
        host.remove(path);
        if (!bare) bench.wait_until_empty();
        if (!bare && monitor == "yield") std::this_thread::sleep_for(400ms); // until it has let go
      }
    }
  return samples;
}

/// umockdev's socket takes no more events that nobody has read.
constexpr std::size_t most_unread = 8;

/// From the first of many events to the last `device_add`.
bench::Samples measure_storm(bench::UsbHost& host, Places& places, int devices, int vms, int rounds) {
  bench::Samples samples;
  samples.name = fmt::format("{} devices in a row, {} VMs", devices, vms);
  for (int round = 0; round < rounds; ++round)
    for (const bool bare : {round % 2 == 0, round % 2 != 0}) {
      const Bench bench = places.bench(vms);
      const auto program = bare ? bench.start_bare() : bench.start_service("hold");
      std::vector<std::string> paths;
      for (int number = 1; number <= devices; ++number) paths.push_back(host.add(number));
      const auto begin = steady_clock::now();
      for (std::size_t told = 0; told < paths.size(); ++told) {
        while (told >= bench.additions() + most_unread) std::this_thread::yield();
        host.tell(paths[told], "add");
      }
      const auto end = bench.wait_for_additions(static_cast<std::size_t>(devices));
      (bare ? samples.bare : samples.library).push_back(microseconds(end - begin));
      for (const std::string& path : paths) host.remove(path);
    }
  return samples;
}

/// What the service takes when it has nothing to do.
void measure_rest(bench::UsbHost& host, Places& places, int devices, int vms) {
  std::vector<std::string> paths;
  for (int number = 1; number <= devices; ++number) paths.push_back(host.add(number));
  for (const std::string_view monitor : {"hold", "yield"}) {
    const Bench bench = places.bench(vms);
    const auto service = bench.start_service(monitor, static_cast<std::size_t>(devices) + 1);
    bench.wait_for_additions(static_cast<std::size_t>(devices));
    std::this_thread::sleep_for(2s); // until all is done, monitors are given back
    const long switches = proc_value(service->pid(), "status", "voluntary_ctxt_switches:", true);
    std::this_thread::sleep_for(30s);
    fmt::print("rest | {} VMs, {} devices, monitor \"{}\" | VmRSS {} kB | VmHWM {} kB | RssAnon {} kB | "
               "voluntary context switches in 30 s: {}\n",
               vms, devices, monitor, proc_value(service->pid(), "status", "VmRSS:"),
               proc_value(service->pid(), "status", "VmHWM:"), proc_value(service->pid(), "status", "RssAnon:"),
               proc_value(service->pid(), "status", "voluntary_ctxt_switches:", true) - switches);
  }
  for (const std::string& path : paths) host.remove(path);
}

/// All rules for all devices; one rule in ten has a regular expression. The last rule is the one that matches.
bench::Samples measure_rules(int rule_count, int device_count, int rounds) {
  bench::Samples samples;
  samples.name = fmt::format("{} rules for {} devices", rule_count, device_count);
  std::vector<hotplug::UsbRule> rules;
  struct Bare {
    int vendor, product;
    std::unique_ptr<RE2> name;
  };
  std::vector<Bare> bare;
  for (int i = 0; i < rule_count; ++i) {
    hotplug::UsbMatch match;
    const bool last = i == rule_count - 1;
    match.vendor_id = static_cast<std::uint16_t>(last ? 0x046d : 0x1000 + i);
    if (i % 10 == 9) match.product_name = fmt::format("(?:Stick|Disk) {}.*", last ? "" : std::to_string(i));
    bare.push_back({*match.vendor_id, -1, nullptr});
    if (match.product_name) {
      RE2::Options options;
      options.set_case_sensitive(false);
      bare.back().name = std::make_unique<RE2>("(?:" + *match.product_name + ")", options);
      if (!last) match.vendor_id = 0x046d;
      bare.back().vendor = 0x046d;
    }
    hotplug::UsbRule rule;
    rule.vms.push_back("a");
    rule.allow.push_back(std::move(match));
    rules.push_back(std::move(rule));
  }
  const hotplug::UsbRules ready(rules);
  std::vector<hotplug::UsbDevice> devices;
  for (int i = 0; i < device_count; ++i) {
    hotplug::UsbDevice device;
    device.vendor_id = 0x046d;
    device.product_id = static_cast<std::uint16_t>(i);
    device.product_name = fmt::format("Stick  of number {}", i);
    devices.push_back(std::move(device));
  }
  for (int round = 0; round < rounds; ++round) {
    std::size_t found = 0;
    auto begin = steady_clock::now();
    for (const auto& device : devices) found += ready.evaluate(device).rule.value_or(0);
    samples.library.push_back(microseconds(steady_clock::now() - begin));
    begin = steady_clock::now();
    for (const auto& device : devices)
      for (std::size_t i = 0; i < bare.size(); ++i)
        if (bare[i].vendor == device.vendor_id &&
            (!bare[i].name ||
             bare[i].name->Match(device.product_name, 0, device.product_name.size(), RE2::ANCHOR_START, nullptr, 0))) {
          found -= i;
          break;
        }
    samples.bare.push_back(microseconds(steady_clock::now() - begin));
    if (found != 0) throw std::runtime_error("the two sides found different rules");
  }
  return samples;
}

double percentile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
}

void run(Places places) {
  std::vector<bench::Samples> all;
  bench::UsbHost host;
  all.push_back(measure_latency(host, places, "hold", 500));
  all.push_back(measure_latency(host, places, "yield", 100));
  all.push_back(measure_storm(host, places, 500, 50, 6));
  all.push_back(measure_rules(1000, 500, 20));
  for (const bench::Samples& samples : all) bench::print_raw(samples);
  for (const bench::Samples& samples : all)
    fmt::print("percentiles | {} | bare p50 {:.1f} p99 {:.1f} | qemuctl p50 {:.1f} p99 {:.1f}\n", samples.name,
               percentile(samples.bare, 0.5), percentile(samples.bare, 0.99), percentile(samples.library, 0.5),
               percentile(samples.library, 0.99));
  measure_rest(host, places, 4, 2);
  measure_rest(host, places, 500, 100);
  bench::print_table(all);
}

} // namespace

int main(int argc, char** argv) {
  if (argc > 2 && std::string_view(argv[1]) == "--bare") bench::follow_bare({argv + 2, argv + argc});
  if (argc != 2) {
    fmt::print(stderr, "usage: umockdev-wrapper {} QEMUCTL-HOTPLUGD\n", argv[0]);
    return 2;
  }
  std::string pattern = (std::filesystem::temp_directory_path() / "qemuctl-bench-XXXXXX").string();
  if (!::mkdtemp(pattern.data())) {
    std::perror(pattern.c_str());
    return 1;
  }
  int status = 0;
  try {
    Places places;
    places.dir = pattern;
    places.service = argv[1];
    places.self = std::filesystem::read_symlink("/proc/self/exe");
    run(std::move(places));
  } catch (const std::exception& error) {
    fmt::print(stderr, "hotplug_bench: {}\n", error.what());
    status = 1;
  }
  std::filesystem::remove_all(pattern);
  return status;
}
