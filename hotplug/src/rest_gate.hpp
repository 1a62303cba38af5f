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

/// Whether the host in a request is a name of this service: an IP address (not 0.0.0.0 or ::, by which
/// browsers let pages of the network reach this host), "localhost", what it listens on, or the host of one of
/// `allowed_origins`. This excludes names that the owner of a web page has pointed here.
bool is_known_host(std::string_view host, const RestConfig& config);

/// Whether a web page of that origin may use the service. Pure.
enum class Origin {
  none,    ///< sent by no browser, or by one for its user and not for a page
  same,    ///< a page of this service
  allowed, ///< of `allowed_origins`
  foreign,
};
Origin origin_of(const HttpRequest& request, const RestConfig& config);

/// The refusal of a request that is malformed, too large, or from a foreign page, whatever its resource; nullopt: it
/// may go on. Pure. The limits are 8 KiB for the target, 16 KiB for all header fields, and 128 KiB for the body.
///
/// `for_any_page`: pages of any origin may send it. Not every request that only reads is such: reading a VM can take
/// its monitor from other clients.
std::optional<HttpResponse> refusal(const HttpRequest& request, const RestConfig& config, bool for_any_page);

/// The token in `Authorization: Bearer`; empty: none.
std::string_view shown_token(const HttpRequest& request);

/// Adds the header fields that tell browsers what they may do with the answer.
void add_security_headers(const HttpRequest& request, const RestConfig& config, HttpResponse& response);

} // namespace hotplug::detail
