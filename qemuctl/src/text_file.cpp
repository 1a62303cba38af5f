// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "text_file.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/file_descriptor.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace qemuctl::detail {

std::string read_text_file(const std::filesystem::path& file, std::size_t max_size, const char* operation) {
  const auto fail = [&](errc code, std::string detail) {
    Diagnostics diagnostics;
    diagnostics.operation = operation;
    diagnostics.subject = file.string();
    diagnostics.detail = std::move(detail);
    throw Error(code, std::move(diagnostics));
  };
  // Not blocking: opening a FIFO that nobody writes to would wait for ever.
  const FileDescriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0) fail(errc::not_found, std::generic_category().message(errno));
  if (!S_ISREG(status.st_mode))
    fail(errc::not_found, S_ISDIR(status.st_mode) ? "it is a folder" : "it is not a regular file");
  std::string text;
  std::array<char, 16384> buffer;
  while (true) {
    const ssize_t size = ::read(fd.get(), buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) fail(errc::not_found, std::generic_category().message(errno));
    if (size == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(size));
    if (text.size() > max_size)
      fail(errc::invalid_argument, fmt::format("the file is larger than {} MiB", max_size >> 20));
  }
}

} // namespace qemuctl::detail
