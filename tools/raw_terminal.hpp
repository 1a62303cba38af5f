// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <termios.h>

namespace tool {

/// A terminal in raw mode: every key goes to the reader as it is, Ctrl-C too, and output is not touched. The destructor
/// puts the terminal back as it was.
class RawTerminal {
 public:
  /// Throws `std::system_error` when `fd` is no terminal.
  explicit RawTerminal(int fd);
  ~RawTerminal();
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

  /// Once more, after a stopped program was continued: the shell has changed the terminal meanwhile.
  void apply() noexcept;

 private:
  int fd_;
  termios saved_{};
};

} // namespace tool
