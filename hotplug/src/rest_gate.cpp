// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "rest_gate.hpp"

#include <asio/ip/address.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <system_error>

namespace hotplug::detail {

namespace {

constexpr std::size_t max_target = 8 << 10, max_head = 16 << 10, max_body = 128 << 10;

HttpResponse too_large(int status, std::string_view code, std::string_view what, std::size_t limit) {
  return problem(status, code, fmt::format("{} has more than {} KiB", what, limit >> 10));
}

/// "example.org" of "example.org:80", "::1" of "[::1]:80"; empty: it is none.
std::string_view without_port(std::string_view host) {
  std::string_view name = host, port;
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    if (end == host.npos) return {};
    name = host.substr(1, end - 1);
    port = host.substr(end + 1);
  } else if (const std::size_t colon = host.find(':'); colon != host.npos) {
    name = host.substr(0, colon);
    port = host.substr(colon);
  }
  const bool good_port =
      port.empty() || (port.size() > 1 && port[0] == ':' && port.find_first_not_of("0123456789", 1) == port.npos);
  return good_port ? name : std::string_view();
}

/// "example.org:80" of "http://example.org:80".
std::string_view host_of_origin(std::string_view origin) {
  const std::size_t begin = origin.find("://");
  return begin == origin.npos ? std::string_view() : origin.substr(begin + 3);
}

bool is_allowed(std::string_view origin, const RestConfig& config) {
  return std::ranges::find(config.allowed_origins, origin) != config.allowed_origins.end();
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return result;
}

} // namespace

bool is_known_host(std::string_view host, const RestConfig& config) {
  const std::string name = lower(without_port(host));
  if (name.empty()) return false;
  std::error_code ec;
  const asio::ip::address address = asio::ip::make_address(name, ec);
  if (!ec) return !address.is_unspecified();
  if (name == "localhost" || name == lower(config.host)) return true;
  return std::ranges::any_of(config.allowed_origins, [&](const std::string& origin) {
    return lower(without_port(host_of_origin(origin))) == name;
  });
}

Origin origin_of(const HttpRequest& request, const RestConfig& config) {
  const std::string_view origin = request.header("origin");
  if (!origin.empty()) {
    if (is_allowed(origin, config)) return Origin::allowed;
    const std::string_view host = request.header("host");
    const bool same = origin == fmt::format("http://{}", host) || origin == fmt::format("https://{}", host);
    return same ? Origin::same : Origin::foreign;
  }
  // For links and images browsers send this field, but no Origin.
  const std::string_view site = request.header("sec-fetch-site");
  if (site.empty() || site == "none") return Origin::none;
  return site == "same-origin" ? Origin::same : Origin::foreign;
}

std::optional<HttpResponse> refusal(const HttpRequest& request, const RestConfig& config, bool for_any_page) {
  if (request.target.size() > max_target) return too_large(414, "target-too-long", "the target", max_target);
  std::size_t head = 0;
  for (const auto& [name, value] : request.headers) head += name.size() + value.size();
  if (head > max_head) return too_large(431, "head-too-large", "the header", max_head);
  if (request.body.size() > max_body) return too_large(413, "body-too-large", "the request's body", max_body);
  if (request.ambiguous) return problem(400, "ambiguous", "a header field is repeated, or has an invalid name");
  if (request.upgrade || request.method == "CONNECT")
    return problem(400, "no-http", "this service speaks HTTP/1.1 and nothing else");
  if (request.header("host").empty()) return problem(400, "no-host", "the request has no field Host");
  if (!is_known_host(request.header("host"), config))
    return problem(421, "wrong-host",
                   "the name in the field Host is not one of this service's names. Use its address, or add the name to "
                   "general.rest.allowedOrigins.");
  if (!for_any_page && origin_of(request, config) == Origin::foreign)
    return problem(403, "wrong-origin",
                   "pages of other origins may not use this API, unless they are in general.rest.allowedOrigins");
  return std::nullopt;
}

std::string_view shown_token(const HttpRequest& request) {
  const std::string_view value = request.header("authorization");
  constexpr std::string_view scheme = "bearer ";
  if (lower(value.substr(0, scheme.size())) != scheme) return {};
  const std::size_t begin = value.find_first_not_of(' ', scheme.size());
  return begin == value.npos ? std::string_view() : value.substr(begin);
}

void add_security_headers(const HttpRequest& request, const RestConfig& config, HttpResponse& response) {
  response.set("Content-Security-Policy",
               "default-src 'self'; img-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
               "object-src 'none'");
  response.set("X-Content-Type-Options", "nosniff");
  response.set("X-Frame-Options", "DENY");
  response.set("Referrer-Policy", "no-referrer");
  response.set("Cross-Origin-Opener-Policy", "same-origin");
  const bool allowed = origin_of(request, config) == Origin::allowed;
  response.set("Cross-Origin-Resource-Policy", allowed ? "cross-origin" : "same-origin");
  if (!response.find("Cache-Control")) response.set("Cache-Control", "no-store");
  if (config.allowed_origins.empty()) return;
  response.set("Vary", "Origin");
  if (!allowed) return;
  response.set("Access-Control-Allow-Origin", std::string(request.header("origin")));
  response.set("Access-Control-Expose-Headers", "ETag");
}

} // namespace hotplug::detail
