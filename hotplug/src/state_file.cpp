// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "state_file.hpp"

#include "text_file.hpp"

#include <qemuctl/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

namespace hotplug::detail {

namespace fs = std::filesystem;
using qemuctl::Diagnostics;
using qemuctl::errc;
using qemuctl::Error;
using qemuctl::FileDescriptor;

namespace {

constexpr std::size_t max_size = 16 << 20;
constexpr const char* reading = "read the state file";

[[noreturn]] void fail(const char* operation, const fs::path& file, int error) {
  Diagnostics diagnostics;
  diagnostics.operation = operation;
  diagnostics.subject = file.string();
  diagnostics.detail = std::generic_category().message(error);
  diagnostics.advice = "See general.statePath; general.persistency: false does without the file.";
  throw Error(std::error_code(error, std::generic_category()), std::move(diagnostics));
}

void write_all(const FileDescriptor& file, std::string_view text, const fs::path& path) {
  while (!text.empty()) {
    const ssize_t size = ::write(file.get(), text.data(), text.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) fail("write the state file", path, errno);
    text.remove_prefix(static_cast<std::size_t>(size));
  }
}

} // namespace

StateFile::StateFile(fs::path path) : path_(std::move(path)) {
  constexpr const char* operation = "lock the state file";
  std::error_code ec;
  if (path_.has_parent_path()) fs::create_directories(path_.parent_path(), ec);
  if (ec) fail(operation, path_, ec.value());
  // Not the file itself, which is replaced each time.
  const fs::path lock = path_.string() + ".lock";
  lock_.reset(::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!lock_) fail(operation, lock, errno);
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) fail(operation, lock, errno);
    std::array<char, 32> text{};
    const ssize_t size = ::pread(lock_.get(), text.data(), text.size(), 0);
    Diagnostics diagnostics;
    diagnostics.operation = operation;
    diagnostics.subject = path_.string();
    diagnostics.detail =
        fmt::format("process {} has it", size > 1 ? std::string(text.data(), static_cast<std::size_t>(size - 1))
                                                  : std::string("of an unknown number"));
    diagnostics.advice = "End that one first, or give this one another general.statePath.";
    throw Error(errc::already_running, std::move(diagnostics));
  }
  if (::ftruncate(lock_.get(), 0) != 0) fail(operation, lock, errno);
  write_all(lock_, fmt::format("{}\n", ::getpid()), lock);
}

Choices StateFile::load(std::string& warning) const {
  std::error_code ec;
  if (!fs::exists(path_, ec) && !ec) return {};
  const std::string text = qemuctl::detail::read_text_file(path_, max_size, reading);
  try {
    return Choices::from_json(qemuctl::parse_json(text));
  } catch (const Error& error) {
    const fs::path aside =
        fmt::format("{}.damaged-{}", path_.string(), std::chrono::system_clock::now().time_since_epoch().count());
    fs::rename(path_, aside, ec);
    if (ec) fail(reading, path_, ec.value());
    warning = fmt::format("the state file {} is damaged and now at {}; people's choices are forgotten: {}",
                          path_.string(), aside.string(), error.diagnostics().detail);
    return {};
  }
}

void StateFile::save(const Choices& choices) const {
  constexpr const char* operation = "write the state file";
  const fs::path fresh = path_.string() + ".new";
  FileDescriptor file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) fail(operation, fresh, errno);
  write_all(file, choices.to_json().pretty() + "\n", fresh);
  if (::fsync(file.get()) != 0) fail(operation, fresh, errno);
  file.reset();
  if (::rename(fresh.c_str(), path_.c_str()) != 0) fail(operation, path_, errno);
  const fs::path folder = path_.has_parent_path() ? path_.parent_path() : fs::path(".");
  const FileDescriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory || ::fsync(directory.get()) != 0) fail(operation, folder, errno);
}

} // namespace hotplug::detail
