// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "outbox.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace qemuctl::detail {

namespace {

ssize_t send_once(int socket, const char* data, std::size_t size, const std::vector<FileDescriptor>& descriptors) {
  iovec bytes{const_cast<char*>(data), size};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;

  alignas(cmsghdr) char control[CMSG_SPACE(Outbox::max_descriptors * sizeof(int))];
  if (!descriptors.empty()) {
    const std::size_t payload = descriptors.size() * sizeof(int);
    std::memset(control, 0, sizeof control);
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(payload);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(payload);
    int numbers[Outbox::max_descriptors];
    std::transform(descriptors.begin(), descriptors.end(), numbers, [](const auto& fd) { return fd.get(); });
    std::memcpy(CMSG_DATA(header), numbers, payload);
  }

  ssize_t sent = 0;
  do sent = ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent;
}

bool is_connection_error(const std::error_code& error) {
  return error == std::errc::broken_pipe || error == std::errc::connection_reset || error == std::errc::not_connected;
}

} // namespace

void Outbox::push(Id id, std::string bytes, std::vector<FileDescriptor> descriptors) {
  messages_.push_back({id, std::move(bytes), std::move(descriptors)});
}

Outbox::Flushed Outbox::flush(int socket) {
  Flushed result;
  while (!messages_.empty()) {
    Message& message = messages_.front();
    const auto sent = send_once(socket, message.bytes.data() + message.written, message.bytes.size() - message.written,
                                message.descriptors);
    if (sent >= 0) {
      message.descriptors.clear(); // they went with the first byte; the peer has its own now
      message.written += static_cast<std::size_t>(sent);
      if (message.written == message.bytes.size()) messages_.pop_front();
      continue;
    }
    const std::error_code error(errno, std::generic_category());
    if (error == std::errc::operation_would_block || error == std::errc::resource_unavailable_try_again) break;
    if (message.descriptors.empty() || is_connection_error(error)) {
      result.broken = error;
      break;
    }
    result.refused.emplace_back(message.id, error);
    messages_.pop_front();
  }
  return result;
}

bool Outbox::take_back(Id id) {
  const auto message =
      std::find_if(messages_.begin(), messages_.end(), [id](const Message& candidate) { return candidate.id == id; });
  if (message == messages_.end() || message->written > 0) return false;
  messages_.erase(message);
  return true;
}

} // namespace qemuctl::detail
