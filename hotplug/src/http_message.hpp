// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/json.hpp>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace hotplug::detail {

/// An HTTP request, independent of its connection.
struct HttpRequest {
  HttpRequest() = default; // no aggregate: see `qemuctl::QmpClientOptions`

  std::string method;                                      ///< "GET"
  std::string target;                                      ///< as it was sent: "/a%20b?c=d"
  std::map<std::string, std::string, std::less<>> headers; ///< names in lower case; repeated fields are joined: "a, b"
  std::string body;
  std::string address;    ///< of the client, without its port
  bool upgrade = false;   ///< asks for another protocol
  bool ambiguous = false; ///< other parsers may read it differently: a field is repeated, or has an invalid name

  /// The value of a field; empty: absent.
  std::string_view header(std::string_view name) const;
};

/// A response, independent of its connection. `Content-Length` is added later.
struct HttpResponse {
  HttpResponse() = default;
  explicit HttpResponse(int code) : status(code) {}
  HttpResponse(int code, std::string type, std::string content);

  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string failure; ///< the class of the error, for the metrics; empty: none

  HttpResponse& set(std::string name, std::string value);
  /// The value of a field; nullptr: absent.
  const std::string* find(std::string_view name) const;
};

/// "Not Found".
std::string_view reason_phrase(int status);

HttpResponse json_response(const qemuctl::Json& json, int status = 200);

/// Problem details (RFC 9457). `code` becomes the end of the type: "not-found".
HttpResponse problem(int status, std::string_view code, std::string_view detail);

/// The same for an error of the engine.
HttpResponse problem(const std::error_code& code, std::string_view detail);

/// The decoded segments of a path; "/a/b%2Fc" is "a" and "b/c". nullopt: it is invalid (no leading slash, wrong
/// escapes, control characters, or a segment "." or "..").
std::optional<std::vector<std::string>> path_of(std::string_view target);

/// The query parameters, in their order; "+" means a space. nullopt: wrong escapes, control characters, or more than 64
/// parameters.
std::optional<std::vector<std::pair<std::string, std::string>>> query_of(std::string_view target);

/// An entity tag for a text: a hash of eight bytes in hexadecimal, in quotes.
std::string etag_of(std::string_view text);

/// Whether a list of entity tags contains this one. `If-None-Match` also accepts a weak one (W/"..."), `If-Match` does
/// not (RFC 9110, 8.8.3.2).
enum class EtagComparison { weak, strong };
bool has_etag(std::string_view list, std::string_view etag, EtagComparison how = EtagComparison::weak);

/// Whether a value of `Content-Type` is that type; parameters and case do not matter.
bool is_content_type(std::string_view value, std::string_view type);

} // namespace hotplug::detail
