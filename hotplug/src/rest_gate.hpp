// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "api_access.hpp"
#include "http_message.hpp"

#include <hotplug/config.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hotplug::detail {

/// Whether the host of a request is one that this service can be meant by: an IP address (not 0.0.0.0 or ::, by which
/// browsers let pages of the network reach this host), "localhost", what it listens on, or the host of one of
/// `allowed_origins`. A name that a web page has made to point here is none of them.
bool is_known_host(std::string_view host, const RestConfig& config);

/// Whether a web page of that origin may use the service. Pure.
enum class Origin {
  none,    ///< no browser sent it, or the browser says that a person did
  same,    ///< a page of this service
  allowed, ///< of `allowed_origins`
  foreign,
};
Origin origin_of(const HttpRequest& request, const RestConfig& config);

/// What is wrong with a request, before anybody looks at what it asks for; nullopt: nothing. Pure. A target has at most
/// 8 KiB, the fields of its head 16 KiB together, and its body 128 KiB.
///
/// `for_any_page`: a page of any origin may have sent it. Reading takes the monitor of a VM from others and places from
/// other clients, so that is not so for whatever only reads.
std::optional<HttpResponse> refusal(const HttpRequest& request, const RestConfig& config, bool for_any_page);

/// The token that a request shows as `Authorization: Bearer`; empty: none.
std::string_view shown_token(const HttpRequest& request);

/// Adds what tells browsers what they may do with the answer.
void add_security_headers(const HttpRequest& request, const RestConfig& config, HttpResponse& response);

} // namespace hotplug::detail
