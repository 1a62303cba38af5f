// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "service_manager.hpp"

#include "text.hpp"

#include <fmt/core.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

namespace tool {

namespace {

/// Whether stderr is the journal (systemd.exec(5), JOURNAL_STREAM).
bool stderr_is_journal() {
  const char* stream = std::getenv("JOURNAL_STREAM");
  struct stat file {};
  return stream && ::fstat(STDERR_FILENO, &file) == 0 && fmt::format("{}:{}", file.st_dev, file.st_ino) == stream;
}

const char* journal_prefix(hotplug::LogLevel level) {
  switch (level) {
  case hotplug::LogLevel::debug:
    return SD_DEBUG;
  case hotplug::LogLevel::info:
    return SD_INFO;
  case hotplug::LogLevel::warning:
    return SD_WARNING;
  case hotplug::LogLevel::error:
    return SD_ERR;
  }
  return "";
}

const char* plain_prefix(hotplug::LogLevel level) {
  switch (level) {
  case hotplug::LogLevel::debug:
    return "debug: ";
  case hotplug::LogLevel::info:
    return "";
  case hotplug::LogLevel::warning:
    return "warning: ";
  case hotplug::LogLevel::error:
    return "error: ";
  }
  return "";
}

/// "2 problems: a is wrong; b is wrong" of a list with an indented line for each.
std::string in_one_line(std::string text) {
  constexpr std::string_view item = "\n  ";
  for (std::size_t at = text.find(item); at != text.npos; at = text.find(item, at))
    text.replace(at, item.size(), at > 0 && text[at - 1] == ':' ? " " : "; ");
  return text;
}

} // namespace

ServiceManager::ServiceManager() : journal_(stderr_is_journal()) {
  std::uint64_t limit = 0;
  if (::sd_watchdog_enabled(0, &limit) > 0) watchdog_ = std::chrono::microseconds(limit / 2);
}

void ServiceManager::start(asio::any_io_executor executor) {
  if (watchdog_.count() == 0) return;
  timer_.emplace(executor);
  feed_watchdog();
}

void ServiceManager::feed_watchdog() {
  ::sd_notify(0, "WATCHDOG=1");
  timer_->expires_after(watchdog_);
  timer_->async_wait([this](std::error_code ec) {
    if (!ec) feed_watchdog();
  });
}

void ServiceManager::stop() {
  if (timer_) timer_->cancel();
}

void ServiceManager::ready() const {
  ::sd_notify(0, "READY=1");
}

void ServiceManager::stopping() const {
  ::sd_notify(0, "STOPPING=1");
}

void ServiceManager::log(hotplug::LogLevel level, std::string_view text) const {
  // Names that devices, guests and clients choose are in it, and must not look like lines of their own.
  const std::string line = fmt::format("{}{}\n", journal_ ? journal_prefix(level) : plain_prefix(level),
                                       qemuctl::detail::printable(in_one_line(std::string(text))));
  std::fwrite(line.data(), 1, line.size(), stderr);
}

} // namespace tool
