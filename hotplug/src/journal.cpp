// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "journal.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/file_descriptor.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <system_error>

namespace hotplug::detail {

namespace fs = std::filesystem;
using qemuctl::FileDescriptor;

namespace {

constexpr std::string_view unfinished = ".new";
constexpr std::size_t max_size = 4096;

[[noreturn]] void fail(const char* operation, const fs::path& file, int error) {
  qemuctl::Diagnostics diagnostics;
  diagnostics.operation = operation;
  diagnostics.subject = file.string();
  diagnostics.detail = std::generic_category().message(error);
  throw qemuctl::Error(std::error_code(error, std::generic_category()), std::move(diagnostics));
}

} // namespace

std::vector<std::string> JournalFolder::names() const {
  std::vector<std::string> names;
  std::error_code ec;
  for (fs::directory_iterator file(folder_, ec), end; !ec && file != end; file.increment(ec))
    if (std::string name = file->path().filename().string(); !name.ends_with(unfinished))
      names.push_back(std::move(name));
  std::ranges::sort(names);
  return names;
}

std::optional<std::string> JournalFolder::read(const std::string& name) const {
  const FileDescriptor file(::open((folder_ / name).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  std::array<char, max_size + 1> text{};
  const ssize_t size = file ? ::read(file.get(), text.data(), text.size()) : -1;
  if (size < 0 || static_cast<std::size_t>(size) > max_size) return std::nullopt;
  return std::string(text.data(), static_cast<std::size_t>(size));
}

void JournalFolder::write(const std::string& name, const std::string& text) const {
  std::error_code ec;
  fs::create_directories(folder_, ec);
  if (ec) fail(operation_, folder_, ec.value());
  const fs::path path = folder_ / name, fresh = path.string().append(unfinished);
  FileDescriptor file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file) fail(operation_, fresh, errno);
  const ssize_t written = ::write(file.get(), text.data(), text.size());
  if (written != static_cast<ssize_t>(text.size())) fail(operation_, fresh, written < 0 ? errno : ENOSPC);
  file.reset();
  if (::rename(fresh.c_str(), path.c_str()) != 0) fail(operation_, path, errno);
}

void JournalFolder::remove(const std::string& name) const {
  std::error_code ec;
  fs::remove(folder_ / name, ec);
}

} // namespace hotplug::detail
