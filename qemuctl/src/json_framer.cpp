// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "json_framer.hpp"

#include "text.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace qemuctl::detail {

namespace {

constexpr std::size_t kept_capacity = std::size_t{1} << 20; // a larger buffer is given back once it is empty

constexpr auto structural = [] {
  std::array<bool, 256> table{};
  for (const char c : {'"', '{', '}', '[', ']'}) table[static_cast<unsigned char>(c)] = true;
  return table;
}();

/// The start of what a peer sent instead of JSON, for people: "SSH-2.0-OpenSSH_9.2p1".
std::string excerpt(std::string_view bytes) {
  constexpr std::size_t enough = 40;
  return printable(bytes.substr(0, bytes.find_first_of("\r\n")).substr(0, enough));
}

} // namespace

void JsonFramer::append(std::string_view bytes) {
  if (!broken_.empty()) return;
  // Bytes are moved to the front when at least as many were consumed, so the moves add up to no more than the input.
  if (start_ >= buffer_.size() - start_) {
    buffer_.erase(0, start_);
    scanned_ -= start_;
    start_ = 0;
    if (buffer_.empty() && buffer_.capacity() > kept_capacity) std::string().swap(buffer_);
  }
  buffer_.append(bytes);
}

std::optional<std::string_view> JsonFramer::next() {
  if (!broken_.empty()) return std::nullopt;
  if (depth_ == 0) {
    start_ = std::min(buffer_.find_first_not_of(" \t\r\n", scanned_), buffer_.size());
    scanned_ = start_;
    if (start_ == buffer_.size()) return std::nullopt;
    if (buffer_[start_] != '{')
      return fail("a message starts with '" + excerpt(std::string_view(buffer_).substr(start_)) +
                  "', which is no JSON object");
  }

  const std::size_t available = buffer_.size() - start_;
  if (scan(start_ + std::min(available, max_bytes_))) {
    const std::size_t begin = std::exchange(start_, scanned_);
    return std::string_view(buffer_).substr(begin, scanned_ - begin);
  }
  if (depth_ > max_depth_) return fail("a message is nested deeper than " + std::to_string(max_depth_) + " levels");
  if (available > max_bytes_) return fail("a message is longer than " + std::to_string(max_bytes_) + " bytes");
  return std::nullopt;
}

/// Goes on from `scanned_`, no further than `limit`; true when the object is complete.
bool JsonFramer::scan(std::size_t limit) {
  const char* at = buffer_.data() + scanned_;
  const char* const end = buffer_.data() + limit;
  bool complete = false;
  while (at != end && !complete && depth_ <= max_depth_) {
    // The two inner loops pass over nearly every byte.
    if (escaped_) {
      escaped_ = false;
      ++at;
    } else if (in_string_) {
      while (at != end && *at != '"' && *at != '\\') ++at;
      if (at == end) break;
      in_string_ = *at != '"';
      escaped_ = in_string_;
      ++at;
    } else {
      while (at != end && !structural[static_cast<unsigned char>(*at)]) ++at;
      if (at == end) break;
      switch (*at++) {
      case '"':
        in_string_ = true;
        break;
      case '{':
      case '[':
        ++depth_;
        break;
      default:
        complete = --depth_ == 0;
        break;
      }
    }
  }
  scanned_ = static_cast<std::size_t>(at - buffer_.data());
  return complete;
}

std::nullopt_t JsonFramer::fail(std::string reason) {
  broken_ = std::move(reason);
  std::string().swap(buffer_);
  start_ = scanned_ = 0;
  return std::nullopt;
}

} // namespace qemuctl::detail
