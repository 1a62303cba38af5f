// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace qemuctl::detail {

/// Splits a stream of bytes into JSON objects by structure, as a monitor in pretty mode spreads a message over many
/// lines. It only finds where an object ends; validating it is up to the parser.
///
/// Every byte is examined once, whatever the size of the pieces it arrives in.
class JsonFramer {
 public:
  JsonFramer(std::size_t max_bytes, std::size_t max_depth) : max_bytes_(max_bytes), max_depth_(max_depth) {}

  /// Takes the next bytes of the stream. Does nothing once the stream is broken.
  void append(std::string_view bytes);

  /// The next whole object, valid until the next call of `append` or `next`; nullopt when more bytes are needed or the
  /// stream is broken.
  std::optional<std::string_view> next();

  /// Why the stream is broken, as a phrase; empty if it is not.
  const std::string& broken() const noexcept { return broken_; }

  /// Whether the stream is inside an object, so that ending now would truncate it.
  /// Only after `next` has returned nullopt.
  bool inside() const noexcept { return start_ < buffer_.size(); }

 private:
  std::nullopt_t fail(std::string reason);
  bool scan(std::size_t limit);

  std::size_t max_bytes_;
  std::size_t max_depth_;
  std::string buffer_;
  std::size_t start_ = 0;   ///< of the object, or of the whitespace before it
  std::size_t scanned_ = 0; ///< never examined again
  std::size_t depth_ = 0;   ///< open braces and brackets; 0 between two objects
  bool in_string_ = false;
  bool escaped_ = false; ///< the last byte was a backslash in a string
  std::string broken_;
};

} // namespace qemuctl::detail
