// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "discovery.hpp"

#include "catch.hpp"
#include "process.hpp"
#include "run.hpp"
#include "temp_dir.hpp"

#include <qemuctl/error.hpp>

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <future>
#include <string>
#include <thread>

using namespace qemuctl;
using namespace qemuctl::detail;
using Catch::Matchers::ContainsSubstring;

namespace {

/// What is wrong with taking `pid` for a QEMU.
Diagnostics refusal(int pid) {
  try {
    inspect_qemu_process(pid);
  } catch (const Error& error) {
    CHECK(error.code() == errc::not_found);
    return error.diagnostics();
  }
  FAIL("it was taken for a QEMU");
  return {};
}

/// A shell, under any name, that has stopped itself: the kernel lets the parent of a new program go on before it has
/// set up its arguments.
class StoppedShell {
 public:
  explicit StoppedShell(std::vector<std::string> argv) {
    SpawnOptions options;
    options.argv = std::move(argv);
    for (const char* argument : {"-c", "kill -STOP $$; :", "", "with space", ""}) options.argv.emplace_back(argument);
    process_.emplace(Process::spawn(context_.get_executor(), options));
    siginfo_t info{};
    REQUIRE(::waitid(P_PID, static_cast<id_t>(pid()), &info, WSTOPPED | WNOWAIT) == 0);
  }
  ~StoppedShell() {
    process_->send_signal(SIGKILL);
    test::run(context_, process_->wait());
  }
  StoppedShell(const StoppedShell&) = delete;
  StoppedShell& operator=(const StoppedShell&) = delete;
  int pid() const { return process_->pid(); }

 private:
  asio::io_context context_{1};
  std::optional<Process> process_;
};

} // namespace

TEST_CASE("The command line of a process is read exactly as given", "[discovery]") {
  const StoppedShell shell({"/bin/sh"});
  CHECK(read_command_line(shell.pid()) ==
        std::vector<std::string>{"/bin/sh", "-c", "kill -STOP $$; :", "", "with space", ""});
  CHECK(read_command_line(0x7fffffff).empty());
}

TEST_CASE("The state of a process distinguishes running, stopped and gone", "[discovery]") {
  CHECK(process_state(::getpid()) == 'R');
  CHECK(process_state(0x7fffffff) == '\0');
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    ::raise(SIGSTOP);
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(pid, &status, WUNTRACED) == pid);
  CHECK(process_state(pid) == 'T');
  ::kill(pid, SIGKILL);
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) == 0);
  CHECK(process_state(pid) == 'Z');
  CHECK_THAT(refusal(pid).detail, ContainsSubstring("it has ended"));
  ::waitpid(pid, &status, 0);
  CHECK(process_state(pid) == '\0');
}

TEST_CASE("A process that is not a QEMU is rejected, and the error says what it is", "[discovery]") {
  CHECK(refusal(0x7fffffff).detail == "there is no such process");
  CHECK(refusal(0).detail == "there is no such process");
  CHECK(refusal(-1).detail == "there is no such process");
  const StoppedShell shell({"/bin/sh"});
  CHECK(refusal(shell.pid()).detail == "it is no QEMU but /bin/sh");
  CHECK(refusal(shell.pid()).subject == "process " + std::to_string(shell.pid()));
}

TEST_CASE("A thread ID is rejected, and the error names its process", "[discovery]") {
  std::promise<int> number;
  std::promise<void> end;
  std::jthread thread([&] {
    number.set_value(static_cast<int>(::syscall(SYS_gettid)));
    end.get_future().wait();
  });
  const int id = number.get_future().get();
  CHECK(refusal(id).detail == "it is a thread of process " + std::to_string(::getpid()));
  end.set_value();
}

TEST_CASE("A kernel thread is rejected as such", "[discovery]") {
  if (process_state(2) == '\0' || !read_command_line(2).empty()) return; // not visible in a container
  CHECK_THAT(refusal(2).detail, ContainsSubstring("it is a thread of the kernel"));
}

TEST_CASE("A QEMU started through the dynamic loader is recognised", "[discovery]") {
  // The loader is the program here, and a shell stands in for QEMU.
  const test::TempDir dir;
  const std::string qemu = dir / "qemu-system-x86_64";
  std::filesystem::create_symlink("/bin/sh", qemu);
  std::string loader = "/lib64/ld-linux-x86-64.so.2";
  if (!std::filesystem::exists(loader)) loader = "/lib/ld-linux-aarch64.so.1";
  const StoppedShell shell(
      {loader, "--inhibit-cache", "--library-path", "/usr/lib/x86_64-linux-gnu:/usr/lib/aarch64-linux-gnu", qemu});
  const QemuProcess process = inspect_qemu_process(shell.pid());
  CHECK(process.pid == shell.pid());
  CHECK(process.argv == std::vector<std::string>{qemu, "-c", "kill -STOP $$; :", "", "with space", ""});
  CHECK(process.monitors.empty());
}
