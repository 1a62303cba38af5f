// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "process.hpp"

#include "catch.hpp"
#include "run.hpp"
#include "temp_dir.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <thread>

using namespace qemuctl;
using namespace qemuctl::detail;
using namespace std::chrono_literals;

namespace {

SpawnOptions shell(std::string script) {
  SpawnOptions options;
  options.argv = {"/bin/sh", "-c", std::move(script)};
  return options;
}

/// A file that collects a child's output.
class Output {
 public:
  explicit Output(const std::filesystem::path& path)
      : path_(path), file_(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {
    REQUIRE(file_);
  }
  int fd() const { return file_.get(); }
  std::string text() const {
    std::ifstream in(path_);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  std::filesystem::path path_;
  FileDescriptor file_;
};

ProcessExit run_to_end(asio::io_context& context, const SpawnOptions& options) {
  Process child = Process::spawn(context.get_executor(), options);
  return test::run(context, child.wait());
}

/// What a shell script prints.
std::string output_of(SpawnOptions options) {
  const test::TempDir dir;
  const Output output(dir / "output");
  options.output = output.fd();
  asio::io_context context(1);
  const ProcessExit how = run_to_end(context, options);
  REQUIRE(how.describe() == "exit status 0");
  return output.text();
}

bool is_zombie(int pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text{std::istreambuf_iterator<char>(stat), {}};
  const auto end = text.rfind(") ");
  return end != std::string::npos && text[end + 2] == 'Z';
}

bool exists(int pid) {
  return std::filesystem::exists("/proc/" + std::to_string(pid));
}

std::size_t open_descriptors() {
  return static_cast<std::size_t>(
      std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator()));
}

/// Waits for an end without reaping: what a `Process` that is gone by now cannot do.
void await_zombie(int pid) {
  siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) == 0);
}

/// Children are reaped by the kernel while one exists.
class IgnoreSigchld {
 public:
  IgnoreSigchld() : before_(std::signal(SIGCHLD, SIG_IGN)) {}
  IgnoreSigchld(const IgnoreSigchld&) = delete;
  IgnoreSigchld& operator=(const IgnoreSigchld&) = delete;
  ~IgnoreSigchld() { std::signal(SIGCHLD, before_); }

 private:
  void (*before_)(int);
};

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    read.reset(ends[0]);
    write.reset(ends[1]);
  }
  FileDescriptor read, write;
};

} // namespace

TEST_CASE("A child that exits reports its exit status", "[process]") {
  asio::io_context context(1);
  const ProcessExit how = run_to_end(context, shell("exit 7"));
  CHECK(how.exit_code == 7);
  CHECK_FALSE(how.signal.has_value());
  CHECK(how.describe() == "exit status 7");
}

TEST_CASE("A child that is killed reports the signal", "[process]") {
  asio::io_context context(1);
  Process child = Process::spawn(context.get_executor(), shell("kill -ABRT $$"));
  const ProcessExit how = test::run(context, child.wait());
  CHECK(how.signal == SIGABRT);
  CHECK_FALSE(how.exit_code.has_value());
  CHECK(how.describe() == "killed by signal 6 (Aborted)");
  CHECK(ProcessExit{}.describe() == "gone");
}

TEST_CASE("A child that has ended is reaped and its exit status kept", "[process]") {
  asio::io_context context(1);
  Process child = Process::spawn(context.get_executor(), shell("exit 3"));
  test::run(context, child.wait());
  CHECK_FALSE(exists(child.pid()));
  CHECK(child.poll().value().exit_code == 3);
  CHECK(test::run(context, child.wait()).exit_code == 3);
  CHECK(test::run(context, child.wait_until(std::chrono::steady_clock::now())).value().exit_code == 3);
  CHECK_FALSE(child.send_signal(SIGKILL));
}

TEST_CASE("Any number of waiters are told of the end", "[process]") {
  asio::io_context context(1);
  Process child = Process::spawn(context.get_executor(), shell("exec sleep 60"));
  int told = 0;
  for (int waiter = 0; waiter < 10; ++waiter)
    asio::co_spawn(context, child.wait(), [&](std::exception_ptr failure, ProcessExit how) {
      CHECK_FALSE(failure);
      if (how.signal == SIGKILL) ++told;
    });
  context.poll();
  CHECK(told == 0);
  CHECK(child.send_signal(SIGKILL));
  context.run_for(10s);
  CHECK(told == 10);
}

TEST_CASE("A wait ends at its deadline while the process lives, and the next wait still works", "[process]") {
  asio::io_context context(1);
  Process child = Process::spawn(context.get_executor(), shell("exec sleep 60"));
  CHECK_FALSE(child.poll().has_value());
  const auto start = std::chrono::steady_clock::now();
  CHECK_FALSE(test::run(context, child.wait_until(start + 20ms)).has_value());
  CHECK(std::chrono::steady_clock::now() >= start + 20ms);

  child.send_signal(SIGTERM);
  CHECK(test::run(context, child.wait()).signal == SIGTERM);
}

// The reactor may still have to tell of the end of the one before, which is known already.
TEST_CASE("The end of a process is noticed although its descriptor number was just reused", "[process]") {
  asio::io_context context;
  const auto rounds = [&]() -> asio::awaitable<int> {
    int late = 0;
    for (int round = 0; round < 20; ++round) {
      {
        Process before = Process::spawn(context.get_executor(), shell("exit 0"));
        while (!before.poll()) co_await asio::post(asio::use_awaitable);
      }
      Process child = Process::spawn(context.get_executor(), shell("sleep 0.01"));
      const auto deadline = std::chrono::steady_clock::now() + 2s;
      co_await child.wait_until(deadline);
      if (std::chrono::steady_clock::now() >= deadline) ++late;
    }
    co_return late;
  };
  CHECK(test::run(context, rounds(), 60s) == 0);
}

TEST_CASE("A waiter that leaves does not disturb the others", "[process]") {
  asio::io_context context(1);
  Process child = Process::spawn(context.get_executor(), shell("exec sleep 60"));
  std::optional<ProcessExit> how;
  asio::co_spawn(context, child.wait(), [&](std::exception_ptr, ProcessExit end) { how = end; });
  CHECK_FALSE(test::run(context, child.wait_until(std::chrono::steady_clock::now() + 10ms)).has_value());
  CHECK_FALSE(how.has_value());
  child.send_signal(SIGKILL);
  context.restart();
  context.run_for(10s);
  CHECK(how.value().signal == SIGKILL);
}

TEST_CASE("A wait can be cancelled", "[process]") {
  asio::io_context context(1);
  Process child = Process::spawn(context.get_executor(), shell("exec sleep 60"));
  asio::cancellation_signal cancel;
  std::error_code code;
  asio::co_spawn(context, child.wait(),
                 asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr failure, ProcessExit) {
                   try {
                     if (failure) std::rethrow_exception(failure);
                   } catch (const std::system_error& error) {
                     code = error.code();
                   }
                 }));
  context.poll();
  cancel.emit(asio::cancellation_type::terminal);
  context.run_for(10s);
  CHECK(code == std::errc::operation_canceled);
  child.send_signal(SIGKILL);
  context.restart();
  CHECK(test::run(context, child.wait()).signal == SIGKILL);
}

TEST_CASE("An executor runs out of work when nobody waits for the process", "[process]") {
  asio::io_context context(1);
  Process child = Process::spawn(context.get_executor(), shell("exec sleep 60"));
  test::run(context, child.wait_until(std::chrono::steady_clock::now()));
  context.restart();
  context.run(); // returns
  CHECK(child.send_signal(SIGKILL));
  test::run(context, child.wait());
}

TEST_CASE("A binary that cannot be executed is an error with the reason, and leaves no child", "[process]") {
  asio::io_context context(1);
  const std::size_t before = open_descriptors();
  const auto error_of = [&](const std::string& binary) -> std::error_code {
    SpawnOptions options;
    options.argv = {binary};
    try {
      Process::spawn(context.get_executor(), options);
    } catch (const std::system_error& error) {
      return error.code();
    }
    return {};
  };
  CHECK(error_of("/nonexistent/qemu") == std::errc::no_such_file_or_directory);
  CHECK(error_of("/etc") == std::errc::permission_denied);
  const test::TempDir dir;
  std::ofstream(dir / "text") << "no program";
  std::filesystem::permissions(dir / "text", std::filesystem::perms::owner_all);
  CHECK(error_of((dir / "text").string()) == std::errc::executable_format_error);
  CHECK(open_descriptors() == before);
  CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
}

TEST_CASE("A child inherits only the given descriptors, from 3 on", "[process]") {
  Pipe first;
  Pipe second;
  const int leaky = ::fcntl(first.read.get(), F_DUPFD, 0); // an embedding program may leak some
  REQUIRE(leaky >= 0);
  const FileDescriptor guard(leaky);

  SpawnOptions options = shell("exec ls /proc/self/fd");
  options.inherited = {first.write.get(), second.write.get()};
  std::istringstream listing(output_of(options));
  const std::set<std::string> numbers{std::istream_iterator<std::string>(listing), {}};
  // The last one is ls's own, for reading the folder.
  CHECK(numbers == std::set<std::string>{"0", "1", "2", "3", "4", "5"});
}

TEST_CASE("Inherited descriptors keep their order even when old and new numbers collide", "[process]") {
  std::array<Pipe, 3> pipes;
  std::array<FileDescriptor, 3> low;
  // Sources 3, 4, 5 (or the lowest that are free) in the opposite order.
  for (std::size_t index = 0; index < low.size(); ++index) low[index] = pipes[index].write.duplicate();

  SpawnOptions options = shell("echo a >&3; echo b >&4; echo c >&5");
  options.inherited = {low[2].get(), low[1].get(), low[0].get()};
  asio::io_context context(1);
  CHECK(run_to_end(context, options).exit_code == 0);

  std::string received;
  for (const Pipe& pipe : pipes) {
    char letter = '?';
    REQUIRE(::read(pipe.read.get(), &letter, 1) == 1);
    received += letter;
  }
  CHECK(received == "cba");
}

TEST_CASE("Inherited descriptors keep their order when their numbers are reversed", "[process]") {
  // In a child, because those numbers are in use in the test program.
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    int ends[3][2];
    for (int number = 3; number < 64; ++number) ::close(number);
    for (auto& pair : ends)
      if (::pipe2(pair, O_CLOEXEC) != 0) ::_exit(10); // 3/4, 5/6, 7/8
    try {
      asio::io_context context(1);
      SpawnOptions options = shell("echo a >&3; echo b >&4; echo c >&5");
      options.inherited = {8, 6, 4};
      Process child = Process::spawn(context.get_executor(), options);
      test::run(context, child.wait());
      for (const auto& [end, letter] : {std::pair{ends[0][0], 'c'}, {ends[1][0], 'b'}, {ends[2][0], 'a'}}) {
        char got = '?';
        if (::read(end, &got, 1) != 1 || got != letter) ::_exit(11);
      }
    } catch (...) {
      ::_exit(12);
    }
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("A child reads nothing and writes stdout and stderr to the given file", "[process]") {
  CHECK(output_of(shell("cat; echo out; echo error >&2")) == "out\nerror\n");
  asio::io_context context(1);
  CHECK(run_to_end(context, shell("echo nowhere; echo nowhere >&2")).exit_code == 0);
}

TEST_CASE("A child gets its own session unless told otherwise", "[process]") {
  const auto session_of = [](bool new_session) {
    // The sixth field of /proc/PID/stat; the name of the program holds no space.
    SpawnOptions options = shell("read -r pid name state parent group session rest < /proc/self/stat; echo $session");
    options.new_session = new_session;
    return std::stoi(output_of(options));
  };
  CHECK(session_of(true) != ::getsid(0));
  CHECK(session_of(false) == ::getsid(0));
}

TEST_CASE("A child starts with default signal dispositions, whatever the parent's are", "[process]") {
  sigset_t blocked;
  sigset_t before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
  const auto pipe_handler = std::signal(SIGPIPE, SIG_IGN);
  const auto quit_handler = std::signal(SIGQUIT, SIG_IGN);
  const std::string status = output_of(shell("exec grep -E 'SigBlk|SigIgn' /proc/self/status"));
  std::signal(SIGQUIT, quit_handler);
  std::signal(SIGPIPE, pipe_handler);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  // 32 and 33 are the C library's own, and ignored.
  CHECK_THAT(status, Catch::Matchers::Matches("SigBlk:\t0+\nSigIgn:\t0+[01]80000000\n|SigBlk:\t0+\nSigIgn:\t0+\n"));
}

TEST_CASE("Everything but the exit status works in a program that ignores SIGCHLD", "[process]") {
  const IgnoreSigchld ignore;
  asio::io_context context(1);

  Process sleeper = Process::spawn(context.get_executor(), shell("exec sleep 60"));
  CHECK_FALSE(sleeper.poll().has_value());
  CHECK(sleeper.send_signal(SIGKILL));
  const ProcessExit how = test::run(context, sleeper.wait());
  CHECK(how.describe() == "gone");

  for (int round = 0; round < 20; ++round)
    CHECK(run_to_end(context, shell("exit 1")).describe() == "gone"); // some are gone before they can be watched
}

TEST_CASE("200 children leave no descriptor and no zombie behind", "[process]") {
  asio::io_context context(1);
  run_to_end(context, shell("true")); // the context now has all of its own descriptors
  const std::size_t before = open_descriptors();
  for (int round = 0; round < 200; ++round) {
    SpawnOptions options;
    options.argv = {"/bin/true"};
    CHECK(run_to_end(context, options).exit_code == 0);
  }
  CHECK(open_descriptors() == before);
  CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
}

TEST_CASE("A child that outlives its object is reaped by the next spawn", "[process]") {
  asio::io_context context(1);
  run_to_end(context, shell("true")); // the context now has all of its own descriptors
  const std::size_t before = open_descriptors();
  std::vector<int> pids;
  for (int round = 0; round < 5; ++round)
    pids.push_back(Process::spawn(context.get_executor(), shell("exec sleep 60")).pid());
  CHECK(open_descriptors() == before + pids.size());
  for (const int pid : pids) {
    CHECK_FALSE(is_zombie(pid)); // destroying the object killed nothing
    ::kill(pid, SIGKILL);
    await_zombie(pid);
  }

  run_to_end(context, shell("true"));
  for (const int pid : pids) CHECK_FALSE(exists(pid));
  CHECK(open_descriptors() == before);
}

TEST_CASE("Several threads can start children at once", "[process]") {
  std::atomic<int> good = 0;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread)
      threads.emplace_back([&] {
        asio::io_context context(1);
        for (int round = 0; round < 25; ++round) {
          Process::spawn(context.get_executor(), shell("true")); // abandoned
          if (run_to_end(context, shell("exit 5")).exit_code == 5) ++good;
        }
      });
  }
  CHECK(good == 100);
  while (::waitpid(-1, nullptr, 0) > 0) {
  } // those that no later spawn has reaped
  asio::io_context context(1);
  run_to_end(context, shell("true"));
}

TEST_CASE("A process that is not a child can be watched and signalled", "[process]") {
  asio::io_context context(1);
  const test::TempDir dir;
  // A grandchild: the shell in between ends, so it is somebody else's child.
  const Output output(dir / "pid");
  SpawnOptions options = shell("sleep 60 & echo $!");
  options.output = output.fd();
  CHECK(run_to_end(context, options).exit_code == 0);
  const int pid = std::stoi(output.text());

  Process watched = Process::watch(context.get_executor(), pid);
  CHECK(watched.pid() == pid);
  CHECK_FALSE(watched.poll().has_value());
  CHECK(watched.send_signal(SIGKILL));
  CHECK(test::run(context, watched.wait()).describe() == "gone");
}

TEST_CASE("Watching a child started by other code does not reap it", "[process]") {
  const pid_t pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    ::pause();
    ::_exit(0);
  }
  {
    asio::io_context context(1);
    Process watched = Process::watch(context.get_executor(), pid);
    CHECK(watched.send_signal(SIGKILL));
    CHECK(test::run(context, watched.wait()).signal == SIGKILL); // its parent can still reap it
    run_to_end(context, shell("true"));
  }
  int status = 0;
  CHECK(::waitpid(pid, &status, 0) == pid);
  CHECK(WIFSIGNALED(status));
}

TEST_CASE("Watching a process that does not exist is an error", "[process]") {
  asio::io_context context(1);
  try {
    Process::watch(context.get_executor(), 0x7fffffff);
    FAIL("it was found");
  } catch (const std::system_error& error) {
    CHECK(error.code() == std::errc::no_such_process);
  }
}

TEST_CASE("Destroying the executor during a wait leaves the child to the next spawn", "[process]") {
  int pid = 0;
  {
    asio::io_context context(1);
    Process child = Process::spawn(context.get_executor(), shell("exec sleep 60"));
    pid = child.pid();
    asio::co_spawn(context, child.wait(), asio::detached);
    context.poll();
  }
  CHECK(::kill(pid, SIGKILL) == 0);
  await_zombie(pid);
  asio::io_context context(1);
  run_to_end(context, shell("true"));
  CHECK_FALSE(exists(pid));
}

TEST_CASE("The last lines of a log are those written since an offset", "[process][log]") {
  const test::TempDir dir;
  const auto file = dir / "log";
  const auto write = [&](const std::string& text) { std::ofstream(file, std::ios::binary) << text; };

  CHECK(last_lines(file, 0).empty());
  CHECK(last_lines(dir.path(), 0).empty());
  write("one\ntwo\nthree\n");
  CHECK(last_lines(file, 0) == "one\ntwo\nthree");
  CHECK(last_lines(file, 4) == "two\nthree");
  CHECK(last_lines(file, 0, 2) == "two\nthree");
  CHECK(last_lines(file, 14).empty());
  CHECK(last_lines(file, 1'000).empty());

  write("\n\nbegin\r\n\n  \nno newline at the end");
  CHECK(last_lines(file, 0) == "begin\nno newline at the end");

  write("a\x1b[31mred\ttab\x7f \xff\xc3\xa4 \xc2\x9b \xe2\x80\xa8\n");
  CHECK(last_lines(file, 0) == "a?[31mred tab? \xef\xbf\xbd\xc3\xa4 ? ?");
}

TEST_CASE("The last lines of a long log start with a whole line and stay below 4 KiB", "[process][log]") {
  const test::TempDir dir;
  const auto file = dir / "log";
  std::string text;
  for (int line = 0; line < 1'000; ++line) text += "line " + std::to_string(line) + "\n";
  std::ofstream(file) << text;
  CHECK(last_lines(file, 0, 3) == "line 997\nline 998\nline 999");
  const std::string most = last_lines(file, 0, 100'000);
  CHECK(most.size() <= 4'096);
  CHECK(most.starts_with("line "));

  std::ofstream(file) << std::string(10'000, 'x');
  CHECK(last_lines(file, 0) == std::string(4'096, 'x'));
}
