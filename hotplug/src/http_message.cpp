// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "http_message.hpp"

#include <qemuctl/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

namespace hotplug::detail {

using qemuctl::errc;
using qemuctl::Json;

namespace {

constexpr std::size_t max_parameters = 64;

/// The digit's value; -1: it is none.
int hexadecimal(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

std::optional<std::string> decoded(std::string_view text, bool plus_is_blank) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      const int high = i + 2 < text.size() ? hexadecimal(text[i + 1]) : -1;
      const int low = i + 2 < text.size() ? hexadecimal(text[i + 2]) : -1;
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_blank) {
      c = ' ';
    }
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return std::nullopt;
    result += c;
  }
  return result;
}

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

bool same_name(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

struct Meaning {
  int status;
  std::string_view name;
};

Meaning meaning_of(const std::error_code& code) {
  if (code == std::errc::permission_denied) return {403, "not-permitted"};
  if (code == errc::invalid_argument) return {422, "not-possible"};
  if (code == errc::not_found) return {404, "not-found"};
  if (code == errc::not_supported) return {409, "not-supported"};
  if (code == errc::already_running) return {409, "already-running"};
  if (code == errc::not_running) return {409, "not-running"};
  if (code == errc::aborted) return {409, "aborted"};
  if (code == errc::command_failed) return {502, "refused"};
  if (code == errc::launch_failed) return {502, "launch-failed"};
  if (code == errc::timed_out) return {504, "timed-out"};
  if (code == errc::monitor_in_use) return {503, "monitor-in-use"};
  if (code == errc::connect_failed || code == errc::disconnected) return {503, "not-connected"};
  if (code == errc::interrupted) return {503, "outcome-unknown"};
  if (code == errc::overloaded) return {503, "overloaded"};
  return {500, "failed"};
}

} // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

HttpResponse::HttpResponse(int code, std::string type, std::string content) : status(code), body(std::move(content)) {
  set("Content-Type", std::move(type));
}

HttpResponse& HttpResponse::set(std::string name, std::string value) {
  for (auto& [known, old] : headers)
    if (same_name(known, name)) {
      old = std::move(value);
      return *this;
    }
  headers.emplace_back(std::move(name), std::move(value));
  return *this;
}

const std::string* HttpResponse::find(std::string_view name) const {
  for (const auto& [known, value] : headers)
    if (same_name(known, name)) return &value;
  return nullptr;
}

std::string_view reason_phrase(int status) {
  switch (status) {
  case 200:
    return "OK";
  case 201:
    return "Created";
  case 202:
    return "Accepted";
  case 204:
    return "No Content";
  case 304:
    return "Not Modified";
  case 400:
    return "Bad Request";
  case 401:
    return "Unauthorized";
  case 403:
    return "Forbidden";
  case 404:
    return "Not Found";
  case 405:
    return "Method Not Allowed";
  case 408:
    return "Request Timeout";
  case 409:
    return "Conflict";
  case 412:
    return "Precondition Failed";
  case 413:
    return "Content Too Large";
  case 414:
    return "URI Too Long";
  case 415:
    return "Unsupported Media Type";
  case 421:
    return "Misdirected Request";
  case 422:
    return "Unprocessable Content";
  case 431:
    return "Request Header Fields Too Large";
  case 502:
    return "Bad Gateway";
  case 503:
    return "Service Unavailable";
  case 504:
    return "Gateway Timeout";
  default:
    return "Internal Server Error";
  }
}

HttpResponse json_response(const Json& json, int status) {
  return HttpResponse(status, "application/json", json.dump());
}

HttpResponse problem(int status, std::string_view code, std::string_view detail) {
  Json json;
  json.set("type", fmt::format("urn:qemuctl:{}", code));
  json.set("title", reason_phrase(status));
  json.set("status", status);
  json.set("detail", detail);
  HttpResponse response(status, "application/problem+json", json.dump());
  response.failure = code;
  return response;
}

HttpResponse problem(const std::error_code& code, std::string_view detail) {
  const Meaning meaning = meaning_of(code);
  return problem(meaning.status, meaning.name, detail);
}

std::optional<std::vector<std::string>> path_of(std::string_view target) {
  std::string_view path = target.substr(0, target.find('?'));
  if (!path.starts_with('/')) return std::nullopt;
  std::vector<std::string> parts;
  while (!path.empty()) {
    path.remove_prefix(1);
    const std::size_t end = std::min(path.find('/'), path.size());
    std::optional<std::string> part = decoded(path.substr(0, end), false);
    if (!part || *part == "." || *part == "..") return std::nullopt;
    parts.push_back(std::move(*part));
    path.remove_prefix(end);
  }
  return parts;
}

std::optional<std::vector<std::pair<std::string, std::string>>> query_of(std::string_view target) {
  std::vector<std::pair<std::string, std::string>> parameters;
  const std::size_t mark = target.find('?');
  if (mark == target.npos) return parameters;
  std::string_view rest = target.substr(mark + 1);
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
    if (pair.empty()) continue;
    if (parameters.size() == max_parameters) return std::nullopt;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    std::optional<std::string> name = decoded(pair.substr(0, equals), true);
    std::optional<std::string> value = decoded(pair.substr(std::min(equals + 1, pair.size())), true);
    if (!name || !value) return std::nullopt;
    parameters.emplace_back(std::move(*name), std::move(*value));
  }
  return parameters;
}

std::string etag_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325; // FNV-1a: nobody gains from two texts with the same tag
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return fmt::format("\"{:016x}\"", hash);
}

bool has_etag(std::string_view list, std::string_view etag, EtagComparison how) {
  while (!list.empty()) {
    std::string_view each = list.substr(0, list.find(','));
    list.remove_prefix(std::min(each.size() + 1, list.size()));
    each = trimmed(each);
    if (how == EtagComparison::weak && each.starts_with("W/")) each.remove_prefix(2);
    if (each == "*" || each == etag) return true;
  }
  return false;
}

bool is_content_type(std::string_view value, std::string_view type) {
  return same_name(trimmed(value.substr(0, value.find(';'))), type);
}

} // namespace hotplug::detail
