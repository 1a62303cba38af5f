// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "program.hpp"

#include "catch.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

using qemuctl::FileDescriptor;

namespace {

[[noreturn]] void throw_errno(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

struct Pipe {
  FileDescriptor read, write;
};

Pipe make_pipe() {
  std::array<int, 2> fds{};
  if (::pipe2(fds.data(), O_CLOEXEC) != 0) throw_errno("pipe2");
  return {FileDescriptor(fds[0]), FileDescriptor(fds[1])};
}

FileDescriptor open_terminal(std::string& other_side) {
  FileDescriptor terminal(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  std::array<char, 64> path{};
  if (!terminal || ::grantpt(terminal.get()) != 0 || ::unlockpt(terminal.get()) != 0 ||
      ::ptsname_r(terminal.get(), path.data(), path.size()) != 0)
    throw_errno("posix_openpt");
  other_side = path.data();
  return terminal;
}

class SpawnActions {
 public:
  SpawnActions() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    sigset_t all;
    sigfillset(&all);
    posix_spawnattr_setsigdefault(&attributes, &all);
  }
  ~SpawnActions() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;

  posix_spawn_file_actions_t actions{};
  posix_spawnattr_t attributes{};
};

int pidfd_open(int pid) {
  return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

} // namespace

namespace test {

Program::Program(std::vector<std::string> argv, Io io) : name_(argv.at(0)) {
  SpawnActions spawn;
  short flags = POSIX_SPAWN_SETSIGDEF;
  Pipe in, out, err;
  if (io == Io::terminal) {
    std::string path;
    output_.fd = open_terminal(path);
    input_ = output_.fd.duplicate();
    terminal_.reset(::open(path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (!terminal_) throw_errno("open a terminal");
    // The first terminal a session leader opens becomes its controlling one, so Ctrl-C reaches the program as a signal.
    flags |= POSIX_SPAWN_SETSID;
    posix_spawn_file_actions_addopen(&spawn.actions, 0, path.c_str(), O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&spawn.actions, 0, 1);
    posix_spawn_file_actions_adddup2(&spawn.actions, 0, 2);
  } else {
    in = make_pipe();
    out = make_pipe();
    err = make_pipe();
    posix_spawn_file_actions_adddup2(&spawn.actions, in.read.get(), 0);
    posix_spawn_file_actions_adddup2(&spawn.actions, out.write.get(), 1);
    posix_spawn_file_actions_adddup2(&spawn.actions, err.write.get(), 2);
    input_ = std::move(in.write);
    output_.fd = std::move(out.read);
    errors_.fd = std::move(err.read);
  }
  posix_spawnattr_setflags(&spawn.attributes, flags);

  std::vector<char*> words;
  words.reserve(argv.size() + 1);
  for (std::string& word : argv) words.push_back(word.data());
  words.push_back(nullptr);
  const int error = posix_spawn(&pid_, words[0], &spawn.actions, &spawn.attributes, words.data(), environ);
  if (error != 0) throw std::system_error(error, std::generic_category(), "cannot start " + name_);
  process_.reset(pidfd_open(pid_));
  if (!process_) throw_errno("pidfd_open");
}

Program::~Program() {
  if (ended_) return;
  ::kill(pid_, SIGKILL); // not reaped yet, so the PID is still its own
  ::waitpid(pid_, nullptr, 0);
}

bool Program::Stream::receive() {
  std::array<char, 65'536> buffer;
  const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
  if (n < 0 && errno == EINTR) return true;
  if (n <= 0) { // a terminal without a program reports an error
    fd.reset();
    return false;
  }
  text.append(buffer.data(), static_cast<std::size_t>(n));
  return true;
}

bool Program::receive_some(Deadline deadline) {
  const auto left = std::chrono::ceil<Duration>(deadline - std::chrono::steady_clock::now());
  if (left.count() <= 0) return false;
  std::array<pollfd, 3> waits{pollfd{reads_output_ ? output_.fd.get() : -1, POLLIN, 0},
                              pollfd{errors_.fd.get(), POLLIN, 0}, pollfd{ended_ ? -1 : process_.get(), POLLIN, 0}};
  if (::poll(waits.data(), waits.size(), static_cast<int>(left.count())) <= 0) return errno == EINTR;
  if (waits[0].revents != 0) output_.receive();
  if (waits[1].revents != 0) errors_.receive();
  if (waits[2].revents != 0) reap();
  return true;
}

bool Program::reap() {
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) != pid_) return false;
  ended_ = true;
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return true;
}

std::string Program::wait_for(std::string_view text, Duration timeout) {
  return wait_for(output_, text, timeout);
}

std::string Program::wait_for_error(std::string_view text, Duration timeout) {
  return wait_for(terminal_ ? output_ : errors_, text, timeout);
}

std::string Program::wait_for(Stream& stream, std::string_view text, Duration timeout) {
  const Deadline deadline = std::chrono::steady_clock::now() + timeout;
  for (;;) {
    const std::size_t at = stream.text.find(text, stream.found);
    if (at != std::string::npos) {
      std::string before = stream.text.substr(stream.found, at - stream.found);
      stream.found = at + text.size();
      return before;
    }
    if (ended_) { // its last output may still be in the pipe
      pollfd more{stream.fd.get(), POLLIN, 0};
      if (!stream.fd || ::poll(&more, 1, 0) <= 0 || !stream.receive())
        fail(fmt::format("ended with status {} without \"{}\"", status_, text));
      continue;
    }
    if (!stream.fd) fail(fmt::format("closed its output without \"{}\"", text));
    if (!receive_some(deadline)) fail(fmt::format("did not write \"{}\" in time", text));
  }
}

int Program::wait_for_end(Duration timeout) {
  const Deadline deadline = std::chrono::steady_clock::now() + timeout;
  while (!ended_)
    if (!receive_some(deadline)) fail("did not end in time");
  for (Stream* stream : {&output_, &errors_}) {
    pollfd more{stream->fd.get(), POLLIN, 0};
    while (stream->fd && ::poll(&more, 1, 0) > 0 && stream->receive()) {
    }
  }
  return status_;
}

void Program::type(std::string_view keys) {
  while (!keys.empty()) {
    const ssize_t n = ::write(input_.get(), keys.data(), keys.size());
    if (n < 0 && errno != EINTR) throw_errno("write to a program");
    if (n > 0) keys.remove_prefix(static_cast<std::size_t>(n));
  }
}

void Program::close_input() {
  input_.reset();
}

void Program::close_output() {
  output_.fd.reset();
}

void Program::stop_reading(Duration timeout) {
  reads_output_ = false;
  const std::string path = fmt::format("/proc/{}/fd/1", pid_);
  const FileDescriptor writer(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (!writer) throw_errno("open the program's stdout");
  pollfd can_write{writer.get(), POLLOUT, 0};
  const Deadline deadline = std::chrono::steady_clock::now() + timeout;
  while (::poll(&can_write, 1, 0) != 0) {
    if (std::chrono::steady_clock::now() > deadline) fail("did not fill its pipe in time");
    receive_some(std::min(deadline, std::chrono::steady_clock::now() + Duration(10)));
  }
}

void Program::send_signal(int signal) {
  if (!ended_) ::syscall(SYS_pidfd_send_signal, process_.get(), signal, nullptr, 0);
}

termios Program::terminal_settings() const {
  termios settings{};
  if (::tcgetattr(terminal_.get(), &settings) != 0) throw_errno("tcgetattr");
  return settings;
}

void Program::change_terminal_settings(const termios& settings) {
  if (::tcsetattr(terminal_.get(), TCSANOW, &settings) != 0) throw_errno("tcsetattr");
}

void Program::wait_for_raw_mode(bool raw, Duration timeout) {
  // The kernel does not announce changes of a terminal's settings, so poll.
  const Deadline deadline = std::chrono::steady_clock::now() + timeout;
  while (((terminal_settings().c_lflag & ICANON) == 0) != raw) {
    if (std::chrono::steady_clock::now() > deadline) fail("did not change the terminal's mode in time");
    receive_some(std::min(deadline, std::chrono::steady_clock::now() + Duration(10)));
  }
}

void Program::fail(const std::string& what) const {
  FAIL(name_ << ' ' << what << "\n--- its output:\n" << output_.text << "\n--- its errors:\n" << errors_.text);
  throw std::logic_error("FAIL returned");
}

} // namespace test
