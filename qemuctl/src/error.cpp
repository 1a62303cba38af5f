// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include <qemuctl/error.hpp>

#include <string_view>
#include <utility>

namespace qemuctl {

namespace {

class Category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "qemuctl"; }

  std::string message(int code) const override {
    switch (static_cast<errc>(code)) {
    case errc::invalid_argument:
      return "a value is not valid";
    case errc::not_found:
      return "it was not found";
    case errc::not_supported:
      return "it is not supported";
    case errc::already_running:
      return "it is running already";
    case errc::launch_failed:
      return "QEMU did not start";
    case errc::connect_failed:
      return "the monitor cannot be reached";
    case errc::monitor_in_use:
      return "another client holds the monitor";
    case errc::protocol_error:
      return "the peer broke the QMP protocol";
    case errc::command_failed:
      return "QEMU refused";
    case errc::interrupted:
      return "the command was sent, but its outcome is unknown";
    case errc::disconnected:
      return "there is no connection to the monitor";
    case errc::timed_out:
      return "the deadline passed";
    case errc::overloaded:
      return "too much is waiting already";
    case errc::not_running:
      return "the VM does not run";
    case errc::aborted:
      return "it was given up before it was done";
    }
    return "unknown error " + std::to_string(code);
  }

  std::error_condition default_error_condition(int code) const noexcept override {
    if (static_cast<errc>(code) == errc::timed_out) return std::make_error_condition(std::errc::timed_out);
    return {code, *this};
  }
};

/// Strips what reads badly before ": " or ". ": surrounding whitespace (QEMU's stderr ends its lines with a
/// newline) and the final full stop.
std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r\n";
  const auto first = text.find_first_not_of(space);
  if (first == std::string_view::npos) return {};
  text = text.substr(first, text.find_last_not_of(space) - first + 1);
  if (text.ends_with('.') && !text.ends_with("..")) text.remove_suffix(1);
  return text;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string sentence(const std::error_code& code, const Diagnostics& parts) {
  const auto operation = trimmed(parts.operation);
  const auto subject = trimmed(parts.subject);
  const auto server_text = trimmed(parts.server_text);

  const std::string code_message = code.message();
  std::string_view cause = trimmed(parts.detail);
  if (cause.empty()) cause = trimmed(code_message);

  std::string text;
  if (!operation.empty()) text.append("cannot ").append(operation);
  if (!subject.empty() && !contains(operation, subject)) {
    if (text.empty())
      text.append(subject);
    else
      text.append(" (").append(subject).append(")");
  }
  const auto add = [&text](std::string_view part) {
    if (!text.empty()) text.append(": ");
    text.append(part);
  };
  // When one of the two quotes the other, it says it all.
  if (!server_text.empty() && contains(server_text, cause)) {
    add(server_text);
  } else {
    add(cause);
    if (!contains(cause, server_text)) add(server_text);
  }
  if (!parts.advice.empty()) text.append(". ").append(parts.advice);
  return text;
}

} // namespace

const std::error_category& error_category() noexcept {
  static const Category category;
  return category;
}

std::error_code make_error_code(errc code) noexcept {
  return {static_cast<int>(code), error_category()};
}

Error::Error(std::error_code code, Diagnostics diagnostics)
    : std::system_error(code), diagnostics_(std::move(diagnostics)), message_(sentence(code, diagnostics_)) {}

} // namespace qemuctl
