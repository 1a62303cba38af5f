// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What the device API costs over a socket that answers the same bytes without looking, in the same run: `usb_list` with
// 200 devices for 1 and 64 clients, and an event for 1,000 who listen.
#include "bare_api.hpp"
#include "fake_qemu.hpp"
#include "samples.hpp"
#include "usb_host.hpp"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
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

constexpr int devices = 200, requests = 2'000, listeners = 1'000, events = 40, rounds = 4;

[[noreturn]] void fail(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

/// Another program, ended with the scope.
class Program {
 public:
  explicit Program(std::vector<std::string> argv) {
    std::vector<char*> words;
    for (std::string& word : argv) words.push_back(word.data());
    words.push_back(nullptr);
    if (const int failed = posix_spawn(&pid_, words[0], nullptr, nullptr, words.data(), environ))
      throw std::system_error(failed, std::generic_category(), argv[0]);
  }
  ~Program() {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

 private:
  pid_t pid_ = -1;
};

/// A client: it writes a line and counts those that come.
class Client {
 public:
  explicit Client(const std::filesystem::path& socket) {
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, socket.c_str());
    for (const auto deadline = steady_clock::now() + 30s;
         ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0;) {
      if (steady_clock::now() > deadline) fail("connect");
      std::this_thread::sleep_for(1ms);
    }
  }
  ~Client() {
    if (fd_ >= 0) ::close(fd_);
  }
  Client(Client&& other) noexcept : begin(other.begin), fd_(std::exchange(other.fd_, -1)) {}
  Client& operator=(Client&&) = delete;

  void send(std::string_view line) {
    begin = steady_clock::now();
    if (::send(fd_, line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size())) fail("send");
  }
  /// What there is; how many lines end in it.
  std::ptrdiff_t receive(std::string* text = nullptr) const {
    static std::array<char, 1 << 18> bytes;
    const ssize_t size = ::recv(fd_, bytes.data(), bytes.size(), 0);
    if (size <= 0) throw std::runtime_error("the server has gone");
    if (text) text->append(bytes.data(), static_cast<std::size_t>(size));
    return std::count(bytes.data(), bytes.data() + size, '\n');
  }
  std::string ask(std::string_view line) {
    send(line);
    std::string answer;
    while (receive(&answer) == 0) {
    }
    return answer;
  }
  int fd() const noexcept { return fd_; }

  steady_clock::time_point begin;

 private:
  int fd_ = -1;
};

class Epoll {
 public:
  explicit Epoll(const std::vector<Client>& clients) : fd_(::epoll_create1(EPOLL_CLOEXEC)) {
    for (std::size_t i = 0; i < clients.size(); ++i) {
      epoll_event wanted{};
      wanted.events = EPOLLIN;
      wanted.data.u64 = i;
      if (::epoll_ctl(fd_, EPOLL_CTL_ADD, clients[i].fd(), &wanted) != 0) fail("epoll_ctl");
    }
  }
  ~Epoll() { ::close(fd_); }
  Epoll(const Epoll&) = delete;
  Epoll& operator=(const Epoll&) = delete;

  /// The clients that can read.
  std::vector<std::size_t> wait() const {
    std::array<epoll_event, 256> ready{};
    const int count = ::epoll_wait(fd_, ready.data(), static_cast<int>(ready.size()), 30'000);
    if (count <= 0) throw std::runtime_error("no answer");
    std::vector<std::size_t> indices;
    for (int i = 0; i < count; ++i) indices.push_back(ready[static_cast<std::size_t>(i)].data.u64);
    return indices;
  }

 private:
  int fd_;
};

double microseconds(steady_clock::duration duration) {
  return std::chrono::duration<double, std::micro>(duration).count();
}

/// Each client asks again as soon as it has its answer. How long each answer took, and all of them together.
double ask_often(const std::filesystem::path& socket, int count, std::string_view request,
                 std::vector<double>& latencies) {
  std::vector<Client> clients;
  for (int i = 0; i < count; ++i) clients.emplace_back(socket);
  const Epoll epoll(clients);
  int begun = 0, done = 0;
  const auto begin = steady_clock::now();
  for (Client& client : clients) {
    client.send(request);
    ++begun;
  }
  while (done < requests)
    for (const std::size_t index : epoll.wait()) {
      Client& client = clients[index];
      if (client.receive() == 0) continue;
      latencies.push_back(microseconds(steady_clock::now() - client.begin));
      ++done;
      if (begun < requests) {
        client.send(request);
        ++begun;
      }
    }
  return microseconds(steady_clock::now() - begin);
}

/// From the first listener that has the event to the last.
template<typename Tell>
void tell_many(const std::filesystem::path& socket, std::string_view greeting, const Tell& tell,
               std::vector<double>& durations) {
  std::vector<Client> all;
  for (int i = 0; i < listeners; ++i) {
    all.emplace_back(socket);
    if (!greeting.empty()) all.back().ask(greeting);
  }
  const Epoll epoll(all);
  Client teller(socket);
  for (int i = 0; i < events; ++i) {
    tell(teller, i);
    steady_clock::time_point first{};
    for (std::ptrdiff_t heard = 0; heard < listeners;)
      for (const std::size_t index : epoll.wait()) {
        if (heard == 0) first = steady_clock::now();
        heard += all[index].receive();
      }
    durations.push_back(microseconds(steady_clock::now() - first));
  }
}

double percentile(std::vector<double> values, double part) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(part * static_cast<double>(values.size() - 1))];
}

void run(const std::filesystem::path& dir, const std::string& service, const std::string& self) {
  bench::UsbHost host;
  for (int number = 1; number <= devices; ++number) host.add(number);
  const std::filesystem::path ours = dir / "api.sock", bare = dir / "bare.sock", vm = dir / "vm.sock";
  const test::FakeQemu qemu(vm);
  std::ofstream(dir / "config.json") << fmt::format(
      R"({{"vms": [{{"name": "a", "socket": "{}", "monitor": "hold"}}], "usbPassthrough": [{{"targetVm": "a", "allow": [{{"productId": "0001"}}]}}],)"
      R"( "general": {{"persistency": false, "maxArrivalsPerMinute": 0, "api": {{"enable": true, "transports": ["unix"], "unixSocket": "{}",)"
      R"( "maxConnectionsPerPeer": 4096}}}}}})",
      vm.string(), ours.string());
  const Program served({service, "-c", (dir / "config.json").string()});

  const std::string list = "{\"action\":\"usb_list\"}\n",
                    attach = "{\"action\":\"usb_attach\",\"pid\":\"0001\",\"vid\":\"046d\"}\n",
                    detach = "{\"action\":\"usb_detach\",\"pid\":\"0001\",\"vid\":\"046d\"}\n",
                    hear = "{\"action\":\"enable_notifications\"}\n";
  std::string answer, event;
  {
    Client client(ours), listener(ours);
    listener.ask(hear);
    for (const auto deadline = steady_clock::now() + 30s;; std::this_thread::sleep_for(10ms)) {
      answer = client.ask(list);
      const auto there = static_cast<int>(answer.size()) > devices * 100;
      if (there && client.ask(attach).find("ok") != std::string::npos) break;
      if (steady_clock::now() > deadline) throw std::runtime_error("the service does not see the devices: " + answer);
    }
    while (event.find("usb_attached") == std::string::npos || !event.ends_with('\n')) listener.receive(&event);
    event = event.substr(event.find("{\"event\":\"usb_attached\""));
    answer = client.ask(list);
    client.ask(detach);
  }
  std::ofstream(dir / "answer") << answer;
  std::ofstream(dir / "event") << event;
  const Program echo({self, "--bare", bare.string(), (dir / "answer").string(), (dir / "event").string()});

  std::vector<bench::Samples> all;
  for (const int clients : {1, 64}) {
    bench::Samples& samples = all.emplace_back();
    samples.name = fmt::format("usb_list with {} devices, {} clients", devices, clients);
    double wall_bare = 0, wall_ours = 0;
    for (int round = 0; round < rounds; ++round)
      for (const bool of_bare : {round % 2 == 0, round % 2 != 0})
        (of_bare ? wall_bare : wall_ours) +=
            ask_often(of_bare ? bare : ours, clients, list, of_bare ? samples.bare : samples.library);
    const double total = requests * rounds * 1e6;
    fmt::print("requests | {} | {} bytes each | bare {:.0f}/s p99 {:.0f} us | qemuctl {:.0f}/s p99 {:.0f} us | ratio "
               "of rates {:.3f}\n",
               samples.name, answer.size(), total / wall_bare, percentile(samples.bare, 0.99), total / wall_ours,
               percentile(samples.library, 0.99), wall_ours / wall_bare);
  }
  bench::Samples& samples = all.emplace_back();
  samples.name = fmt::format("an event for {} listeners, first to last", listeners);
  tell_many(
      bare, {}, [](Client& teller, int) { teller.send("tell\n"); }, samples.bare);
  tell_many(
      ours, hear, [&](Client& teller, int i) { teller.ask(i % 2 == 0 ? attach : detach); }, samples.library);
  for (const bench::Samples& each : all) bench::print_raw(each);
  bench::print_table(all);
}

std::string contents(const char* file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

} // namespace

int main(int argc, char** argv) {
  if (argc == 5 && std::string_view(argv[1]) == "--bare")
    bench::serve_bare(argv[2], contents(argv[3]), contents(argv[4]));
  if (argc != 2) {
    fmt::print(stderr, "usage: umockdev-wrapper {} QEMUCTL-HOTPLUGD\n", argv[0]);
    return 2;
  }
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 16'384);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  std::string pattern = (std::filesystem::temp_directory_path() / "qemuctl-bench-XXXXXX").string();
  if (!::mkdtemp(pattern.data())) {
    std::perror(pattern.c_str());
    return 1;
  }
  int status = 0;
  try {
    run(pattern, argv[1], std::filesystem::read_symlink("/proc/self/exe"));
  } catch (const std::exception& error) {
    fmt::print(stderr, "api_bench: {}\n", error.what());
    status = 1;
  }
  std::filesystem::remove_all(pattern);
  return status;
}
