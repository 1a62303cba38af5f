// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "output_queue.hpp"
#include "standard_stream.hpp"

#include <asio/any_io_executor.hpp>

#include <cstdint>
#include <string_view>

namespace tool {

/// stdout or stderr, written line by line and never waited for. Lines that nobody reads are dropped in the end, and
/// counted.
class LineWriter {
 public:
  LineWriter(const asio::any_io_executor& executor, int fd) : stream_(executor, fd), queue_(stream_.descriptor()) {}

  /// Writes `text` (one or more lines, without the last newline). `before` comes first; with `raw_terminal` the lines
  /// end as a terminal in raw mode needs it.
  void write_lines(std::string_view text, std::string_view before = {}, bool raw_terminal = false);

  bool is_terminal() const noexcept { return stream_.is_terminal(); }
  OutputQueue& queue() noexcept { return queue_; }

 private:
  StandardStream stream_;
  OutputQueue queue_;
  std::uint64_t dropped_ = 0;
};

} // namespace tool
