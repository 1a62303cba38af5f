// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace qemuctl::detail {

/// Cuts a stream of bytes into JSON objects, by their structure: a monitor in pretty mode spreads a message over many
/// lines. It finds where an object ends; whether it is valid is for the parser to say.
///
/// Every byte is looked at once, whatever the size of the pieces it comes in.
class JsonFramer {
 public:
  JsonFramer(std::size_t max_bytes, std::size_t max_depth) : max_bytes_(max_bytes), max_depth_(max_depth) {}

  /// Takes the next bytes of the stream. Does nothing once the stream is broken.
  void append(std::string_view bytes);

  /// The next whole object, valid until the next call of `append` or `next`; nullopt when more bytes are needed or the
  /// stream is broken.
  std::optional<std::string_view> next();

  /// Why nothing more can come: a phrase; empty while all is well.
  const std::string& broken() const noexcept { return broken_; }

  /// Whether the stream stands inside an object, so that its end now would cut something off.
  /// Only after `next` has returned nullopt.
  bool inside() const noexcept { return start_ < buffer_.size(); }

 private:
  std::nullopt_t fail(std::string reason);
  bool scan(std::size_t limit);

  std::size_t max_bytes_;
  std::size_t max_depth_;
  std::string buffer_;
  std::size_t start_ = 0;   ///< of the object, or of the white space before it
  std::size_t scanned_ = 0; ///< never looked at again
  std::size_t depth_ = 0;   ///< open braces and brackets; 0 between two objects
  bool in_string_ = false;
  bool escaped_ = false; ///< the last byte was a backslash in a string
  std::string broken_;
};

} // namespace qemuctl::detail
