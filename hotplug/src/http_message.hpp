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

/// A request of HTTP, without its connection.
struct HttpRequest {
  HttpRequest() = default; // no aggregate: see `qemuctl::QmpClientOptions`

  std::string method;                                      ///< "GET"
  std::string target;                                      ///< as it was sent: "/a%20b?c=d"
  std::map<std::string, std::string, std::less<>> headers; ///< names in lower case; one that comes twice: "a, b"
  std::string body;
  std::string address;    ///< of the client, without its port
  bool upgrade = false;   ///< wants to speak something else from now on
  bool ambiguous = false; ///< others may read it otherwise: a field is there twice, or has a name that is none

  /// The value of a field; empty: it is not there.
  std::string_view header(std::string_view name) const;
};

/// An answer, without its connection. `Content-Length` is added.
struct HttpResponse {
  HttpResponse() = default;
  explicit HttpResponse(int code) : status(code) {}
  HttpResponse(int code, std::string type, std::string content);

  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string failure; ///< the class of what went wrong, which is not sent as such; empty: nothing did

  HttpResponse& set(std::string name, std::string value);
  /// The value of a field; nullptr: it is not there.
  const std::string* find(std::string_view name) const;
};

/// "Not Found".
std::string_view reason_phrase(int status);

HttpResponse json_response(const qemuctl::Json& json, int status = 200);

/// What went wrong, as RFC 9457 has it. `code` becomes the end of its type: "not-found".
HttpResponse problem(int status, std::string_view code, std::string_view detail);

/// The same for what an error of the engine means to a client.
HttpResponse problem(const std::error_code& code, std::string_view detail);

/// A path in its parts, each decoded; "/a/b%2Fc" is "a" and "b/c". nullopt: it is none (no slash at its begin, wrong
/// escapes, control characters in it, or a part that is "." or "..").
std::optional<std::vector<std::string>> path_of(std::string_view target);

/// The parameters behind the question mark, in their order; "+" means a blank. nullopt: wrong escapes, control
/// characters, or more than 64.
std::optional<std::vector<std::pair<std::string, std::string>>> query_of(std::string_view target);

/// Eight bytes in hexadecimal digits and quotes: another one for another text.
std::string etag_of(std::string_view text);

/// Whether a list of entity tags has this one in it. In `If-None-Match` a weak one (W/"...") is as good, in `If-Match`
/// it is not (RFC 9110, 8.8.3.2).
enum class EtagComparison { weak, strong };
bool has_etag(std::string_view list, std::string_view etag, EtagComparison how = EtagComparison::weak);

/// Whether a body is of that type: the value of `Content-Type`, whose parameters and case do not matter.
bool is_content_type(std::string_view value, std::string_view type);

} // namespace hotplug::detail
