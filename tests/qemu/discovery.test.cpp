// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "discovery.hpp"

#include "environment.hpp"
#include "machine.hpp"
#include "other_user.hpp"
#include "process.hpp"
#include "run.hpp"
#include "skip.hpp"
#include "temp_dir.hpp"

#include <qemuctl/qmp_client.hpp>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <vector>

using namespace qemuctl;
using namespace qemuctl::detail;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

/// The working folder while this exists.
class WorkingFolder {
 public:
  explicit WorkingFolder(const fs::path& folder) : before_(fs::current_path()) { fs::current_path(folder); }
  ~WorkingFolder() { fs::current_path(before_); }
  WorkingFolder(const WorkingFolder&) = delete;
  WorkingFolder& operator=(const WorkingFolder&) = delete;

 private:
  fs::path before_;
};

/// A QEMU without a guest that has made all of its monitors. Its descriptor 3 is a private one, and the others it
/// inherits follow.
class RunningQemu {
 public:
  RunningQemu(const fs::path& binary, std::vector<std::string> arguments, std::vector<int> inherited = {}) {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    FileDescriptor ours(ends[0]);
    FileDescriptor its(ends[1]);
    SpawnOptions options;
    options.argv = {binary.native(), "-machine", "none", "-nodefaults", "-display", "none", "-S"};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    for (const char* argument : {"-chardev", "socket,id=private,fd=3", "-mon", "private,mode=control"})
      options.argv.emplace_back(argument);
    options.inherited = std::move(inherited);
    options.inherited.insert(options.inherited.begin(), its.get());
    options.output = STDERR_FILENO;
    process_.emplace(Process::spawn(context_.get_executor(), options));
    its.reset();
    // Its main loop responds once everything on the command line exists.
    test::run(context_, qmp_.connect(std::move(ours)));
  }
  ~RunningQemu() {
    process_->send_signal(SIGKILL);
    test::run(context_, process_->wait());
  }
  RunningQemu(const RunningQemu&) = delete;
  RunningQemu& operator=(const RunningQemu&) = delete;

  int pid() const { return process_->pid(); }

  /// Its first monitor as discovery finds it. The private one is the last.
  QemuProcess::Monitor monitor() const {
    const QemuProcess process = inspect_qemu_process(pid());
    CHECK(process.pid == pid());
    REQUIRE(process.monitors.size() == 2);
    CHECK_FALSE(process.monitors[1].address.has_value());
    CHECK(process.monitors[1].description ==
          "-chardev socket,id=private,fd=3 -mon private,mode=control: it is a socket that is connected to the program "
          "that started QEMU");
    return process.monitors[0];
  }

  /// The address of that monitor, after checking that it leads to this very process.
  MonitorAddress checked_address() {
    const QemuProcess::Monitor found = monitor();
    INFO(found.description);
    REQUIRE(found.address.has_value());
    QmpClient qmp(context_.get_executor());
    test::run(context_, qmp.connect(*found.address));
    if (!std::holds_alternative<TcpAddress>(*found.address)) CHECK(qmp.peer_pid() == pid());
    test::run(context_, qmp.execute("query-version"));
    return *found.address;
  }

 private:
  asio::io_context context_{1};
  QmpClient qmp_{context_.get_executor()};
  std::optional<Process> process_;
};

/// A socket that listens; none when the machine has no IPv6.
FileDescriptor listen_on(const sockaddr* address, socklen_t size) {
  FileDescriptor socket(::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (address->sa_family == AF_INET6 && (!socket || ::bind(socket.get(), address, size) != 0)) return {};
  if (address->sa_family != AF_INET6) REQUIRE((socket && ::bind(socket.get(), address, size) == 0));
  REQUIRE(::listen(socket.get(), 1) == 0);
  return socket;
}

FileDescriptor listen_on_unix(const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  REQUIRE(name.size() < sizeof address.sun_path);
  std::memcpy(address.sun_path, name.data(), name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  return listen_on(reinterpret_cast<const sockaddr*>(&address), size);
}

/// The port is chosen by the kernel.
FileDescriptor listen_on_tcp(int family) {
  sockaddr_storage address{};
  address.ss_family = static_cast<sa_family_t>(family);
  if (family == AF_INET) reinterpret_cast<sockaddr_in&>(address).sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (family == AF_INET6) reinterpret_cast<sockaddr_in6&>(address).sin6_addr = in6addr_loopback;
  return listen_on(reinterpret_cast<const sockaddr*>(&address),
                   family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
}

std::uint16_t port_of(const FileDescriptor& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  REQUIRE(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  return ntohs(address.ss_family == AF_INET ? reinterpret_cast<sockaddr_in&>(address).sin_port
                                            : reinterpret_cast<sockaddr_in6&>(address).sin6_port);
}

/// A script that runs QEMU in another way; it plays QEMU's binary.
fs::path make_launcher(const test::TempDir& dir, const std::string& script) {
  const fs::path path = dir / "qemu-launcher";
  std::ofstream(path) << "#!/bin/sh\n" << script << "\n";
  fs::permissions(path, fs::perms::owner_all);
  return path;
}

std::string quoted(const fs::path& path) {
  return "'" + path.native() + "'";
}

} // namespace

QEMU_TEST_CASE("The monitors of a running QEMU are found however they are configured", "[discovery]") {
  const test::TempDir dir;
  const std::string path = dir / "qmp.sock";
  const std::string server = ",server=on,wait=off";
  const MonitorAddress expected = UnixPath{path};

  CHECK(RunningQemu(qemu, {"-qmp", "unix:" + path + server}).checked_address() == expected);
  CHECK(RunningQemu(qemu, {"--qmp-pretty", "unix:" + path + ",server,nowait"}).checked_address() == expected);
  CHECK(RunningQemu(qemu, {"-mon", "c,mode=control", "-chardev", "socket,id=c,path=" + path + server})
            .checked_address() == expected);
  CHECK(RunningQemu(qemu, {"-chardev", "socket,id=c,path=" + path + server, "-qmp", "chardev:c"}).checked_address() ==
        expected);

  const std::string comma = dir / "a,b.sock";
  CHECK(RunningQemu(qemu, {"-qmp", "unix:" + (dir / "a,,b.sock").native() + server}).checked_address() ==
        MonitorAddress(UnixPath{comma}));
  CHECK(RunningQemu(qemu, {"-qmp", "unix:path=" + (dir / "a=b.sock").native() + server}).checked_address() ==
        MonitorAddress(UnixPath{dir / "a=b.sock"}));
}

QEMU_TEST_CASE("A monitor in the abstract namespace is found, padded or not", "[discovery]") {
  const std::string name = "qemuctl-test-" + std::to_string(::getpid());
  CHECK(RunningQemu(qemu, {"-qmp", "unix:" + name + ",abstract=on,server=on,wait=off"}).checked_address() ==
        MonitorAddress(UnixAbstract{name, true}));
  CHECK(RunningQemu(qemu, {"-qmp", "unix:" + name + ",abstract=on,tight=off,server=on,wait=off"}).checked_address() ==
        MonitorAddress(UnixAbstract{name, false}));
}

QEMU_TEST_CASE("A TCP monitor is found", "[discovery]") {
  FileDescriptor reserved = listen_on_tcp(AF_INET);
  const std::uint16_t port = port_of(reserved);
  reserved.reset();
  const std::string number = std::to_string(port);
  CHECK(RunningQemu(qemu, {"-qmp", "tcp:127.0.0.1:" + number + ",server=on,wait=off"}).checked_address() ==
        MonitorAddress(TcpAddress{"127.0.0.1", port}));
  CHECK(RunningQemu(qemu, {"-qmp", "tcp:127.0.0.1:0,server=on,wait=off"}).monitor().description ==
        "-qmp tcp:127.0.0.1:0,server=on,wait=off: QEMU chose its port when it started");
}

QEMU_TEST_CASE("A relative path is resolved against QEMU's working directory", "[discovery]") {
  const test::TempDir dir;
  std::optional<RunningQemu> running;
  {
    const WorkingFolder folder(dir.path());
    running.emplace(qemu, std::vector<std::string>{"-qmp", "unix:./qmp.sock,server=on,wait=off"});
  }
  CHECK(running->checked_address() == MonitorAddress(UnixPath{dir / "qmp.sock"}));
}

QEMU_TEST_CASE("A relative path of a daemonized QEMU is resolved where it was started", "[discovery]") {
  const test::TempDir dir;
  asio::io_context context(1);
  {
    const WorkingFolder folder(dir.path());
    const test::Environment pwd("PWD", dir.path().native()); // as a shell sets it
    SpawnOptions options;
    options.argv = {qemu.native(), "-machine", "none",
                    "-nodefaults", "-display", "none",
                    "-S",          "-qmp",     "unix:q.sock,server=on,wait=off",
                    "-pidfile",    "pid",      "-daemonize"};
    options.output = STDERR_FILENO;
    Process starter = Process::spawn(context.get_executor(), options);
    REQUIRE(test::run(context, starter.wait()).exit_code == 0);
  }
  int pid = 0;
  REQUIRE(std::ifstream(dir / "pid") >> pid);
  Process daemon = Process::watch(context.get_executor(), pid);
  const QemuProcess process = inspect_qemu_process(pid);
  REQUIRE(process.monitors.size() == 1);
  CHECK(process.monitors[0].address == MonitorAddress(UnixPath{dir / "q.sock"}));
  daemon.send_signal(SIGKILL);
  test::run(context, daemon.wait());
}

QEMU_TEST_CASE("A listening socket that QEMU inherited is found through the kernel's socket tables", "[discovery]") {
  const test::TempDir dir;
  const std::vector<std::string> arguments{"-chardev", "socket,id=c,fd=4,server=on,wait=off", "-mon",
                                           "chardev=c,mode=control"};
  {
    const FileDescriptor socket = listen_on_unix(dir / "with space.sock");
    CHECK(RunningQemu(qemu, arguments, {socket.get()}).checked_address() ==
          MonitorAddress(UnixPath{dir / "with space.sock"}));
  }
  {
    const std::string name = "qemuctl-test-inherited-" + std::to_string(::getpid());
    const FileDescriptor socket = listen_on_unix(std::string(1, '\0') + name);
    CHECK(RunningQemu(qemu, arguments, {socket.get()}).checked_address() == MonitorAddress(UnixAbstract{name, true}));
  }
  {
    std::string name = "qemuctl-test-inherited-" + std::to_string(::getpid());
    const std::string padded = std::string(1, '\0') + name + std::string(107 - name.size(), '\0');
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, padded.data(), padded.size());
    const FileDescriptor socket = listen_on(reinterpret_cast<const sockaddr*>(&address), sizeof address);
    CHECK(RunningQemu(qemu, arguments, {socket.get()}).checked_address() == MonitorAddress(UnixAbstract{name, false}));
  }
  {
    const FileDescriptor socket = listen_on_tcp(AF_INET);
    CHECK(RunningQemu(qemu, arguments, {socket.get()}).checked_address() ==
          MonitorAddress(TcpAddress{"127.0.0.1", port_of(socket)}));
  }
  if (const FileDescriptor socket = listen_on_tcp(AF_INET6))
    CHECK(RunningQemu(qemu, arguments, {socket.get()}).checked_address() ==
          MonitorAddress(TcpAddress{"::1", port_of(socket)}));
}

QEMU_TEST_CASE("The name and the arguments of a running QEMU are read", "[discovery]") {
  const RunningQemu running(qemu, {"-name", "guest=a,,b,process=something-else"});
  const QemuProcess process = inspect_qemu_process(running.pid());
  CHECK(process.name == "a,b");
  REQUIRE(process.argv.size() > 3);
  CHECK(process.argv[0] == qemu.native());
  CHECK(process.argv[1] == "-machine");
}

QEMU_TEST_CASE("A monitor whose socket has been deleted is listed with the reason", "[discovery]") {
  const test::TempDir dir;
  const RunningQemu running(qemu, {"-qmp", "unix:" + (dir / "q.sock").native() + ",server=on,wait=off"});
  fs::remove(dir / "q.sock");
  const QemuProcess::Monitor monitor = running.monitor();
  CHECK_FALSE(monitor.address.has_value());
  CHECK(monitor.description == "-qmp unix:" + (dir / "q.sock").native() +
                                   ",server=on,wait=off: there is no socket at " + (dir / "q.sock").native() +
                                   " (any more)");
}

QEMU_TEST_CASE("A QEMU that is stopped by a signal can be inspected", "[discovery]") {
  const test::TempDir dir;
  const RunningQemu running(qemu, {"-qmp", "unix:" + (dir / "q.sock").native() + ",server=on,wait=off"});
  REQUIRE(::kill(running.pid(), SIGSTOP) == 0);
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(running.pid()), &info, WSTOPPED | WNOWAIT) == 0);
  CHECK(running.monitor().address == MonitorAddress(UnixPath{dir / "q.sock"}));
  CHECK(process_state(running.pid()) == 'T');
}

QEMU_TEST_CASE("A monitor in another mount namespace is reached through the root of its process", "[discovery]") {
  test::need_root();
  const test::TempDir dir;
  const fs::path hidden = dir / "hidden";
  fs::create_directory(hidden);
  const std::string path = hidden / "q.sock";
  const fs::path launcher =
      make_launcher(dir, "exec unshare --mount sh -c 'mount -t tmpfs none \"$0\" && exec \"$@\"' " + quoted(hidden) +
                             " " + quoted(qemu) + " \"$@\"");
  {
    RunningQemu running(launcher, {"-qmp", "unix:" + path + ",server=on,wait=off"});
    CHECK_FALSE(fs::exists(path));
    CHECK(running.checked_address() ==
          MonitorAddress(UnixPath{"/proc/" + std::to_string(running.pid()) + "/root" + path}));
  }
  {
    const fs::path inside = make_launcher(dir, "exec unshare --mount sh -c 'mount -t tmpfs none \"$0\" && cd \"$0\" && "
                                               "exec \"$@\"' " +
                                                   quoted(hidden) + " " + quoted(qemu) + " \"$@\"");
    RunningQemu running(inside, {"-qmp", "unix:q.sock,server=on,wait=off"});
    CHECK(running.checked_address() ==
          MonitorAddress(UnixPath{"/proc/" + std::to_string(running.pid()) + "/cwd/q.sock"}));
  }
}

QEMU_TEST_CASE("A monitor in another network namespace is listed with how to reach it, unless it has a path",
               "[discovery]") {
  test::need_root();
  const test::TempDir dir;
  const fs::path launcher = make_launcher(dir, "exec unshare --net " + quoted(qemu) + " \"$@\"");
  const std::string server = ",server=on,wait=off";
  for (const std::string& address : {std::string("tcp:0.0.0.0:4444"), std::string("unix:name,abstract=on")}) {
    const RunningQemu running(launcher, {"-qmp", address + server});
    const QemuProcess::Monitor monitor = running.monitor();
    CHECK_FALSE(monitor.address.has_value());
    CHECK(monitor.description == "-qmp " + address + server +
                                     ": it listens in another network namespace; run this there: nsenter --net=/proc/" +
                                     std::to_string(running.pid()) + "/ns/net ...");
  }
  RunningQemu running(launcher, {"-qmp", "unix:" + (dir / "q.sock").native() + server});
  CHECK(running.checked_address() == MonitorAddress(UnixPath{dir / "q.sock"}));
}

QEMU_TEST_CASE("What is hidden because QEMU belongs to another user is reported, with advice", "[discovery]") {
  test::need_root();
  const test::TempDir dir;
  const FileDescriptor socket = listen_on_unix(dir / "inherited.sock");
  const WorkingFolder folder(dir.path());
  const RunningQemu running(qemu,
                            {"-qmp", "unix:" + (dir / "a.sock").native() + ",server=on,wait=off", "-qmp",
                             "unix:relative.sock,server=on,wait=off", "-chardev", "socket,id=c,fd=4,server=on,wait=off",
                             "-mon", "c,mode=control"},
                            {socket.get()});
  const std::string seen = test::as_nobody([&] {
    std::string text;
    for (const QemuProcess::Monitor& monitor : inspect_qemu_process(running.pid()).monitors)
      text += monitor.address ? to_string(*monitor.address) + "\n" : monitor.description + "\n";
    return text;
  });
  CHECK_THAT(seen, ContainsSubstring((dir / "a.sock").native() + "\n"));
  CHECK_THAT(seen, ContainsSubstring("its path is relative to QEMU's working folder, which cannot be read; run this as "
                                     "root or as QEMU's user\n"));
  CHECK_THAT(seen, ContainsSubstring("QEMU inherited its socket, and its descriptors cannot be read; run this as root "
                                     "or as QEMU's user\n"));
}

QEMU_TEST_CASE("A monitor of a QEMU with another root directory is reached through that root", "[discovery]") {
  test::need_root();
  const fs::path root = qemu.parent_path().parent_path().parent_path();
  const fs::path loader = "usr/lib64/ld-linux-x86-64.so.2";
  if (root == "/" || !fs::exists(root / loader)) return; // only a QEMU with all of its libraries can run in a chroot
  const test::TempDir dir;
  const std::string socket = "/qemuctl-test-" + std::to_string(::getpid()) + ".sock";
  const fs::path launcher =
      make_launcher(dir, "exec chroot " + quoted(root) + " /" + loader.native() +
                             " --library-path /usr/lib/x86_64-linux-gnu /usr/bin/qemu-system-x86_64 \"$@\"");
  {
    RunningQemu running(launcher, {"-qmp", "unix:" + socket + ",server=on,wait=off"});
    CHECK(running.checked_address() ==
          MonitorAddress(UnixPath{"/proc/" + std::to_string(running.pid()) + "/root" + socket}));
    CHECK(inspect_qemu_process(running.pid()).argv[0] == "/usr/bin/qemu-system-x86_64");
  }
  fs::remove(root / socket.substr(1));
}
