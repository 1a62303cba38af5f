// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "process.hpp"

#include "text.hpp"
#include "wakeup.hpp"

#include <asio/error.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <string_view>
#include <system_error>
#include <utility>

extern char** environ;

namespace qemuctl::detail {

namespace {

std::system_error system_failure(int error, const std::string& what) {
  return {std::error_code(error, std::system_category()), what};
}

FileDescriptor pidfd_of(int pid) noexcept {
  return FileDescriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

bool has_ended(int pidfd) noexcept {
  pollfd entry{pidfd, POLLIN, 0};
  return ::poll(&entry, 1, 0) > 0;
}

enum class Reap { no, yes };

/// How the process behind a pidfd ended; empty if the status is not available, because it is not our child or the
/// program ignores SIGCHLD. Without `reap` the status is left to whoever forked it.
/// nullopt: it cannot be reaped yet, because a debugger holds its status back.
std::optional<ProcessExit> collect(int pidfd, Reap reap) noexcept {
  siginfo_t info{};
  const int options = WEXITED | WNOHANG | (reap == Reap::yes ? 0 : WNOWAIT);
  int result = 0;
  do result = ::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, options);
  while (result < 0 && errno == EINTR);
  ProcessExit how;
  if (result < 0) return how;
  if (info.si_pid == 0) return std::nullopt;
  if (info.si_code == CLD_EXITED)
    how.exit_code = info.si_status;
  else
    how.signal = info.si_status;
  return how;
}

/// Children whose `Process` is gone. Kept by pidfd and not by PID, which may belong to another process by now.
class Orphans {
 public:
  static Orphans& instance() {
    static auto& orphans = *new Orphans; // never destroyed: a `Process` in static storage may come here at exit
    return orphans;
  }

  void adopt(FileDescriptor pidfd) {
    const std::lock_guard lock(mutex_);
    children_.push_back(std::move(pidfd));
  }

  void reap() {
    const std::lock_guard lock(mutex_);
    std::erase_if(children_, [](const FileDescriptor& pidfd) {
      return has_ended(pidfd.get()) && collect(pidfd.get(), Reap::yes).has_value();
    });
  }

 private:
  std::mutex mutex_;
  std::vector<FileDescriptor> children_;
};

/// The two objects `posix_spawn` is told about the child with.
class SpawnPlan {
 public:
  SpawnPlan() {
    check(::posix_spawn_file_actions_init(&actions_));
    if (const int error = ::posix_spawnattr_init(&attributes_)) {
      ::posix_spawn_file_actions_destroy(&actions_);
      check(error);
    }
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;
  ~SpawnPlan() {
    ::posix_spawnattr_destroy(&attributes_);
    ::posix_spawn_file_actions_destroy(&actions_);
  }

  void duplicate(int from, int to) { check(::posix_spawn_file_actions_adddup2(&actions_, from, to)); }
  void close_from(int first) { check(::posix_spawn_file_actions_addclosefrom_np(&actions_, first)); }

  /// The child starts with no signal blocked or ignored, whatever this program does with its own.
  void reset_signals_and(short flags) {
    sigset_t none;
    sigset_t all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    check(::posix_spawnattr_setsigmask(&attributes_, &none));
    check(::posix_spawnattr_setsigdefault(&attributes_, &all));
    check(::posix_spawnattr_setflags(&attributes_,
                                     static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | flags)));
  }

  int run(const std::vector<std::string>& command) {
    std::vector<char*> argv;
    for (const std::string& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    pid_t pid = -1;
    if (const int error = ::posix_spawn(&pid, argv[0], &actions_, &attributes_, argv.data(), environ))
      throw system_failure(error, fmt::format("cannot execute {}", command[0]));
    return pid;
  }

 private:
  static void check(int error) {
    if (error) throw system_failure(error, "cannot prepare the start of a process");
  }

  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

/// A copy of `fd` that `dup2` onto the numbers below `first` cannot overwrite.
FileDescriptor copy_above(int fd, int first) {
  FileDescriptor copy(::fcntl(fd, F_DUPFD_CLOEXEC, first));
  if (!copy) throw system_failure(errno, fmt::format("cannot duplicate descriptor {}", fd));
  return copy;
}

int start_child(const SpawnOptions& options) {
  if (options.argv.empty()) throw system_failure(EINVAL, "cannot start a process without a command");

  const FileDescriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) throw system_failure(errno, "cannot open /dev/null");

  const int end = first_inherited_fd + static_cast<int>(options.inherited.size());
  std::vector<FileDescriptor> copies;
  SpawnPlan plan;
  const auto give = [&](int fd, int number) {
    copies.push_back(copy_above(fd, end));
    plan.duplicate(copies.back().get(), number);
  };
  give(null.get(), STDIN_FILENO);
  give(options.output >= 0 ? options.output : null.get(), STDOUT_FILENO);
  plan.duplicate(STDOUT_FILENO, STDERR_FILENO);
  for (int number = first_inherited_fd; const int fd : options.inherited) give(fd, number++);
  plan.close_from(end);
  plan.reset_signals_and(options.new_session ? POSIX_SPAWN_SETSID : 0);
  return plan.run(options.argv);
}

} // namespace

std::string ProcessExit::describe() const {
  if (exit_code) return fmt::format("exit status {}", *exit_code);
  if (!signal) return "gone";
  const char* name = ::sigdescr_np(*signal);
  return name ? fmt::format("killed by signal {} ({})", *signal, name) : fmt::format("killed by signal {}", *signal);
}

struct Process::Impl : std::enable_shared_from_this<Process::Impl> {
  Impl(const asio::any_io_executor& executor, int process, Reap reap_it)
      : pid(process), reap(reap_it), pidfd(executor), wakeup(executor) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  ~Impl() {
    poll();
    if (reap == Reap::no || collected || !pidfd.is_open()) return;
    try {
      Orphans::instance().adopt(FileDescriptor(pidfd.release()));
    } catch (...) { // out of memory: its zombie stays until this program ends
    }
  }

  void follow(FileDescriptor descriptor) {
    pidfd.assign(descriptor.get());
    static_cast<void>(descriptor.release());
  }

  std::optional<ProcessExit> poll() noexcept {
    if (!ended && has_ended(pidfd.native_handle())) {
      const auto how = collect(pidfd.native_handle(), reap);
      collected = how.has_value();
      ended = how.value_or(ProcessExit{});
    }
    return ended;
  }

  /// The descriptor is only waited on while somebody waits for the process, so that an executor without other work runs
  /// out of work.
  void listen() {
    pidfd.async_wait(asio::posix::stream_descriptor::wait_read, [self = shared_from_this()](std::error_code ec) {
      if (ec || self->waiters == 0) return; // the last waiter has left
      // Asio's reactor may mean a descriptor that had this number a moment ago.
      if (!self->poll()) return self->listen();
      self->wakeup.notify();
    });
  }

  struct Waiting {
    explicit Waiting(Impl& process) : process_(process) {
      if (process_.waiters == 0) process_.listen();
      ++process_.waiters;
    }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;
    ~Waiting() {
      if (--process_.waiters > 0) return;
      try {
        process_.pidfd.cancel();
      } catch (...) { // never thrown for a descriptor that epoll watches
      }
    }

   private:
    Impl& process_;
  };

  const int pid;
  const Reap reap;
  asio::posix::stream_descriptor pidfd;
  Wakeup wakeup;
  std::size_t waiters = 0;
  std::optional<ProcessExit> ended;
  bool collected = false; ///< it needs no more reaping
};

namespace {

asio::awaitable<std::optional<ProcessExit>> await_end(std::shared_ptr<Process::Impl> process,
                                                      std::chrono::steady_clock::time_point deadline) {
  if (process->poll()) co_return process->ended;
  const Process::Impl::Waiting waiting(*process);
  while (!process->poll()) {
    if (std::chrono::steady_clock::now() >= deadline) co_return std::nullopt;
    co_await process->wakeup.wait_until(deadline);
  }
  co_return process->ended;
}

asio::awaitable<ProcessExit> await_end(std::shared_ptr<Process::Impl> process) {
  const std::optional<ProcessExit> how =
      co_await await_end(std::move(process), std::chrono::steady_clock::time_point::max());
  co_return how.value();
}

} // namespace

Process::Process(std::shared_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
Process::Process(Process&&) noexcept = default;
Process& Process::operator=(Process&&) noexcept = default;
Process::~Process() = default;

void reap_orphans() {
  Orphans::instance().reap();
}

Process Process::spawn(asio::any_io_executor executor, const SpawnOptions& options) {
  reap_orphans();

  return adopt(executor, start_child(options));
}

Process Process::adopt(asio::any_io_executor executor, int pid) {
  FileDescriptor pidfd = pidfd_of(pid);
  const int error = errno;
  try {
    auto impl = std::make_shared<Impl>(executor, pid, Reap::yes);
    // In a program that ignores SIGCHLD a child that ends at once leaves nothing behind to open.
    if (!pidfd && error == ESRCH)
      impl->ended = ProcessExit{};
    else if (!pidfd)
      throw system_failure(error, "cannot watch the process that was started (pidfd_open)");
    else
      impl->follow(std::move(pidfd));
    return Process(std::move(impl));
  } catch (...) {
    // Nobody could ever stop or reap it.
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    throw;
  }
}

Process Process::watch(asio::any_io_executor executor, int pid) {
  FileDescriptor pidfd = pidfd_of(pid);
  if (!pidfd) throw system_failure(errno, fmt::format("cannot watch process {}", pid));
  auto impl = std::make_shared<Impl>(executor, pid, Reap::no);
  impl->follow(std::move(pidfd));
  return Process(std::move(impl));
}

int Process::pid() const noexcept {
  return impl_->pid;
}

asio::awaitable<ProcessExit> Process::wait() {
  return await_end(impl_);
}

asio::awaitable<std::optional<ProcessExit>> Process::wait_until(std::chrono::steady_clock::time_point deadline) {
  return await_end(impl_, deadline);
}

std::optional<ProcessExit> Process::poll() {
  return impl_->poll();
}

bool Process::send_signal(int signal) noexcept {
  if (impl_->poll()) return false;
  return ::syscall(SYS_pidfd_send_signal, impl_->pidfd.native_handle(), signal, nullptr, 0) == 0;
}

std::string last_lines(const std::filesystem::path& file, std::uint64_t offset, std::size_t max_lines) {
  constexpr std::uint64_t max_bytes = 4'096;

  const FileDescriptor log(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat info {};
  if (!log || ::fstat(log.get(), &info) != 0 || !S_ISREG(info.st_mode)) return {};
  const auto size = static_cast<std::uint64_t>(info.st_size);
  if (size <= offset) return {};

  const std::uint64_t start = std::max(offset, size > max_bytes ? size - max_bytes : 0);
  std::string buffer(static_cast<std::size_t>(size - start), '\0');
  const ssize_t count = ::pread(log.get(), buffer.data(), buffer.size(), static_cast<off_t>(start));
  if (count <= 0) return {};
  std::string_view text(buffer.data(), static_cast<std::size_t>(count));
  if (start > offset) // begins in the middle of a line, unless that line is all there is
    if (const auto newline = text.find('\n'); newline + 1 < text.size()) text.remove_prefix(newline + 1);

  return tail_of(text, max_lines);
}

} // namespace qemuctl::detail
