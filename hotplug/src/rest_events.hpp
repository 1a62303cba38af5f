// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "api_access.hpp"
#include "http_server.hpp"
#include "rest_api.hpp"
#include "wakeup.hpp"

#include <hotplug/notification.hpp>
#include <hotplug/rest_server.hpp>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace hotplug::detail {

/// The streams of server-sent events. Clients with the same rights share a channel with its own log, so that each can
/// resume, and none receives what it may not see. Bound to the engine's executor.
class RestEvents {
 public:
  RestEvents(asio::any_io_executor executor, RestApi& api, RestServerOptions options);
  ~RestEvents();
  RestEvents(const RestEvents&) = delete;
  RestEvents& operator=(const RestEvents&) = delete;

  /// Why a client at that address cannot have a stream now; nullopt: it can.
  std::optional<HttpResponse> refusal(const std::string& address) const;

  struct Listener {
    Listener() = default; // no aggregate: see `qemuctl::QmpClientOptions`

    std::string address;
    Rights rights;
    std::string last_id;            ///< of the last event that it has read; empty: it is new
    std::function<bool()> is_still; ///< whether it still has these rights; called before each write
  };
  /// Writes events to the stream until the client disconnects, loses its rights, or the service ends.
  asio::awaitable<void> tell(std::shared_ptr<HttpStream> stream, Listener listener);

  /// Reports what has changed since the last report.
  void show_changes();
  void notify(const Notification& notification);
  void announce_reload();
  /// Ends all streams.
  void end();

 private:
  struct Channel;
  std::shared_ptr<Channel> channel_of(const Rights& rights);
  void forget_channels();
  void show_changes(Channel& channel);
  asio::awaitable<void> write_all(std::shared_ptr<HttpStream> stream, std::shared_ptr<Channel> channel,
                                  Listener listener);
  asio::awaitable<bool> written(std::shared_ptr<HttpStream> stream, std::string text);
  qemuctl::Json hello(bool resumed) const;

  asio::any_io_executor executor_;
  RestApi& api_;
  RestServerOptions options_;
  std::list<std::shared_ptr<Channel>> channels_;
  std::map<std::string, int> streams_; ///< by address
  qemuctl::detail::Wakeup told_;       ///< there are more events
  bool ending_ = false;
};

} // namespace hotplug::detail
