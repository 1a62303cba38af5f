// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "line_writer.hpp"

#include <fmt/core.h>

#include <string>

namespace tool {

void LineWriter::write_lines(std::string_view text, std::string_view before, bool raw_terminal) {
  const std::string_view newline = raw_terminal ? "\r\n" : "\n";
  std::string lines(before);
  if (dropped_ > 0)
    lines += fmt::format("qemuctl-run: {} messages are missing here: nobody read them{}", dropped_, newline);
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    lines += text.substr(begin, end - begin);
    lines += newline;
    begin = end + 1;
  }
  if (queue_.offer(lines))
    dropped_ = 0;
  else
    ++dropped_;
}

} // namespace tool
