// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/file_descriptor.hpp>

#include <termios.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace test {

/// A program run as a user runs it: with pipes as stdin, stdout and stderr, or with a terminal of its own.
///
/// Every wait has a deadline, at which it fails the case and shows all output. The destructor kills the program.
class Program {
 public:
  enum class Io { pipes, terminal };
  using Duration = std::chrono::milliseconds;

  explicit Program(std::vector<std::string> argv, Io io = Io::pipes);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  int pid() const noexcept { return pid_; }

  /// Waits until `text` appears on stdout (or the terminal), after the text found by an earlier call, and returns what
  /// came before it.
  std::string wait_for(std::string_view text, Duration timeout = std::chrono::seconds(60));
  /// The same on stderr; with a terminal there is only one stream.
  std::string wait_for_error(std::string_view text, Duration timeout = std::chrono::seconds(60));
  /// The rest of the current line on stdout, after the text found by the last call.
  std::string read_line() { return wait_for("\n"); }
  std::string read_error_line() { return wait_for_error("\n"); } ///< the same on stderr

  void type(std::string_view keys); ///< to stdin; never blocks for long, as the programs read it
  void close_input();               ///< not with a terminal
  void close_output();              ///< the reader goes away
  /// From now on the reader of stdout is stuck; returns when the pipe is full.
  void stop_reading(Duration timeout = std::chrono::seconds(60));
  void send_signal(int signal);

  /// Waits for the end and returns the exit status, or minus the signal that killed it.
  int wait_for_end(Duration timeout = std::chrono::seconds(60));

  /// Everything written so far.
  const std::string& output() const noexcept { return output_.text; }
  const std::string& errors() const noexcept { return errors_.text; }

  /// The terminal's settings, as the program sees them.
  termios terminal_settings() const;
  void change_terminal_settings(const termios& settings);
  /// Waits until the terminal is in raw mode, or is not.
  void wait_for_raw_mode(bool raw, Duration timeout = std::chrono::seconds(60));

 private:
  struct Stream {
    qemuctl::FileDescriptor fd;
    std::string text;
    std::size_t found = 0;
    bool receive();
  };
  using Deadline = std::chrono::steady_clock::time_point;

  std::string wait_for(Stream& stream, std::string_view text, Duration timeout);
  /// Waits for output or the end; false at `deadline`.
  bool receive_some(Deadline deadline);
  bool reap();
  [[noreturn]] void fail(const std::string& what) const;

  std::string name_;
  qemuctl::FileDescriptor input_; ///< for a terminal, its other side is `output_.fd`
  Stream output_, errors_;
  qemuctl::FileDescriptor terminal_; ///< the program's side, kept open for inspection afterwards
  qemuctl::FileDescriptor process_;
  int pid_ = -1;
  bool reads_output_ = true;
  bool ended_ = false;
  int status_ = 0;
};

} // namespace test
