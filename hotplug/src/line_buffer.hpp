// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace hotplug::detail {

/// Splits a stream of bytes into lines. A line that is too long is discarded, and the stream continues after it.
///
/// Every byte is examined once, whatever the size of the pieces it arrives in.
class LineBuffer {
 public:
  /// `max_line`: the longest line in bytes, without its end.
  explicit LineBuffer(std::size_t max_line) : max_line_(max_line) {}

  void append(std::string_view bytes);

  struct Line {
    std::string_view text; ///< without its end; valid until the next call of `append`
    bool too_long = false; ///< then there is no text
  };
  /// The next whole line; nullopt: more bytes are needed.
  std::optional<Line> next();

 private:
  std::size_t max_line_;
  std::string buffer_;
  std::size_t start_ = 0;   ///< of the line
  std::size_t scanned_ = 0; ///< up to here there is no end of it
  bool skipping_ = false;   ///< the beginning of this line was too much already
};

} // namespace hotplug::detail
