// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "line_buffer.hpp"

namespace hotplug::detail {

void LineBuffer::append(std::string_view bytes) {
  buffer_.erase(0, start_);
  scanned_ -= start_;
  start_ = 0;
  constexpr std::size_t kept_capacity = 16 << 10;
  if (buffer_.empty() && buffer_.capacity() > kept_capacity) std::string().swap(buffer_);
  buffer_.append(bytes);
}

std::optional<LineBuffer::Line> LineBuffer::next() {
  const std::size_t end = buffer_.find('\n', scanned_);
  if (end == buffer_.npos) {
    scanned_ = buffer_.size();
    if (skipping_ || scanned_ - start_ > max_line_) {
      skipping_ = true;
      start_ = scanned_;
    }
    return std::nullopt;
  }
  Line line;
  line.too_long = skipping_ || end - start_ > max_line_;
  if (!line.too_long) line.text = std::string_view(buffer_).substr(start_, end - start_);
  skipping_ = false;
  start_ = scanned_ = end + 1;
  return line;
}

} // namespace hotplug::detail
