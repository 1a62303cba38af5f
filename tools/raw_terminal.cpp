// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "raw_terminal.hpp"

#include <cerrno>
#include <system_error>

namespace tool {

RawTerminal::RawTerminal(int fd) : fd_(fd) {
  if (::tcgetattr(fd, &saved_) != 0)
    throw std::system_error(errno, std::generic_category(), "cannot read the terminal's settings");
  apply();
}

RawTerminal::~RawTerminal() {
  // TCSANOW: the other ways wait until the terminal has shown everything, and a stuck one never does.
  ::tcsetattr(fd_, TCSANOW, &saved_);
}

void RawTerminal::apply() noexcept {
  termios raw = saved_;
  ::cfmakeraw(&raw);
  ::tcsetattr(fd_, TCSANOW, &raw);
}

} // namespace tool
