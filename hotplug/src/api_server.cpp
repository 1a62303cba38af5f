// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "api_actions.hpp"
#include "api_connection.hpp"
#include "api_message.hpp"
#include "discovery.hpp"
#include "guest_cid.hpp"

#include <hotplug/api_server.hpp>
#include <hotplug/explanation.hpp>
#include <qemuctl/error.hpp>

#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace hotplug {

using detail::ApiAction;
using detail::ApiConnection;
using detail::ApiListener;
using detail::ApiRequest;
using detail::Peer;
using detail::Rights;
using qemuctl::Json;

namespace {

constexpr std::size_t max_connections = 4096;
constexpr std::size_t max_nesting = 16;
constexpr std::chrono::seconds pause_after_failed_accept{1};
constexpr int most_taken_at_once = 64;
/// Between two looks of the engine more than this never happens; otherwise those who listen begin anew.
constexpr std::size_t max_notifications = 1 << 16;

using ConnectionPtr = std::shared_ptr<ApiConnection>;

std::string line_of(const Json& message) {
  std::string line = message.dump();
  line += '\n';
  return line;
}

} // namespace

struct ApiServer::Impl : std::enable_shared_from_this<ApiServer::Impl> {
  Impl(const asio::any_io_executor& io, Engine& served, ApiConfig chosen, ApiServerOptions more)
      : executor(io), engine(served), config(std::move(chosen)), options(std::move(more)), actions(engine, options),
        notifications(engine.subscribe(max_notifications)), tasks(io, [this](const std::exception_ptr& error) {
          log(LogLevel::error, fmt::format("the device API: {}", detail::what_of(error)));
        }) {
    if (!config.token_file.empty()) tokens = detail::load_tokens(config.token_file);
    for (const std::string& transport : config.transports)
      listeners.push_back(std::make_unique<ApiListener>(io, transport, config));
  }

  asio::any_io_executor executor;
  Engine& engine;
  ApiConfig config;
  ApiServerOptions options;
  detail::ApiActions actions;
  std::vector<detail::Token> tokens;
  std::vector<std::unique_ptr<ApiListener>> listeners;
  NotificationSubscription notifications;
  std::list<ConnectionPtr> connections;
  std::map<std::string, int> connections_of; ///< by `quota_key`
  std::set<std::uint32_t> refused_cids;      ///< those that were logged
  detail::Tasks tasks;

  void log(LogLevel level, std::string_view text) const {
    if (options.log) options.log(level, text);
  }

  asio::awaitable<void> accept(ApiListener& listener) {
    const auto self = shared_from_this();
    listener.acceptor.non_blocking(true);
    for (;;) {
      std::error_code ec;
      detail::ApiSocket socket = co_await listener.acceptor.async_accept(asio::redirect_error(asio::use_awaitable, ec));
      if (ec == asio::error::operation_aborted) co_return;
      if (ec == asio::error::connection_aborted) continue;
      if (ec) { // too many open files, and the like: clients wait until it is better
        log(LogLevel::error, fmt::format("cannot take a client of the device API: {}", ec.message()));
        asio::steady_timer timer(executor, pause_after_failed_accept);
        co_await timer.async_wait(asio::use_awaitable);
        continue;
      }
      take(std::move(socket), listener.transport);
      take_waiting(listener);
    }
  }

  /// Who has come meanwhile would otherwise be taken one by one, each after a request of everybody who is there.
  void take_waiting(ApiListener& listener) {
    for (int count = 0; count < most_taken_at_once; ++count) {
      std::error_code ec;
      detail::ApiSocket socket(executor);
      listener.acceptor.accept(socket, ec);
      if (ec) return; // nobody waits; what is wrong otherwise, the next wait tells
      take(std::move(socket), listener.transport);
    }
  }

  static void refuse(const ConnectionPtr& connection, std::string_view why) {
    connection->notify(line_of(detail::failed_answer(why)));
    connection->close();
  }

  void take(detail::ApiSocket socket, const std::string& transport) {
    Peer peer = detail::peer_of(socket.native_handle(), transport);
    const auto connection_of = [&] { return std::make_shared<ApiConnection>(std::move(socket), std::move(peer)); };
    if (const std::string why = refusal(peer); !why.empty()) {
      if (refused_cids.insert(*peer.cid).second)
        log(LogLevel::warning, fmt::format("audit: {}: refused: {}; this is said once", description(peer), why));
      return refuse(connection_of(), why);
    }
    const std::string key = quota_key(peer);
    if (connections.size() >= max_connections) return refuse(connection_of(), "the service has too many connections");
    int& count = connections_of[key];
    const bool too_many = count >= config.max_connections_per_peer;
    if (too_many) return refuse(connection_of(), fmt::format("{} connections of {} are too many", count + 1, key));
    const ConnectionPtr connection = connection_of();
    ++count;
    connection->authenticated = transport != "tcp" || tokens.empty();
    update(*connection);
    connections.push_back(connection);
    tasks.start(serve(connection, key));
    if (connection->authenticated) return;
    connection->wait(options.time_to_authenticate, [waiting = connection.get()] {
      refuse(waiting->shared_from_this(), "no token was shown in time");
    });
  }

  /// Why it may not connect; empty: it may.
  std::string refusal(const Peer& peer) const {
    if (!peer.cid || detail::may_connect(*peer.cid, config)) return {};
    return fmt::format("CID {} {}", *peer.cid,
                       config.allowed_cids
                           ? "is not in general.api.allowedCids"
                           : "is no guest; add it to general.api.allowedCids to let it in all the same");
  }

  /// Who a client is may change: it shows a token, or its VM has been found.
  void update(ApiConnection& connection) {
    if (connection.peer.cid) connection.peer.own_vm = vm_with_cid(*connection.peer.cid);
    connection.rights = rights_of(connection.peer, config);
  }

  std::string vm_with_cid(std::uint32_t cid) const {
    for (const VmState& vm : engine.vms())
      if (vm.pid && detail::guest_cid(qemuctl::detail::read_command_line(*vm.pid)) == cid) return vm.name;
    return {};
  }

  asio::awaitable<void> serve(ConnectionPtr connection, std::string key) {
    const auto self = shared_from_this();
    std::exception_ptr failure;
    try {
      co_await answer_requests(connection);
    } catch (...) {
      failure = std::current_exception();
    }
    if (connection->dropped)
      log(LogLevel::warning,
          fmt::format("{} was dropped: it does not read what it is sent", description(connection->peer)));
    connection->close();
    connections.remove(connection);
    if (--connections_of[key] == 0) connections_of.erase(key);
    if (failure) std::rethrow_exception(failure);
  }

  asio::awaitable<void> answer_requests(ConnectionPtr connection) {
    bool begun = connection->peer.transport != "tcp";
    for (;;) {
      const std::optional<detail::LineBuffer::Line> next = co_await connection->read_line();
      if (!next) co_return;
      const detail::LineBuffer::Line line = *next;
      if (!line.too_long && line.text.find_first_not_of(" \t\r") == line.text.npos) continue;
      Json message, answer;
      try {
        if (line.too_long)
          detail::refuse_request(qemuctl::errc::invalid_argument,
                                 fmt::format("a line has more than {} bytes", ApiConnection::max_line));
        qemuctl::JsonParseOptions how;
        how.max_depth = max_nesting;
        how.source = "request";
        message = qemuctl::parse_json(line.text, how);
        answer = co_await respond(connection, message);
      } catch (const std::exception& error) {
        if (detail::is_cancelled(std::current_exception())) throw;
        answer = detail::failed_answer(error.what());
        audit(*connection, message, error.what());
      }
      // A web page can have a browser send a request to TCP, but only after other lines.
      begun = begun || message.is_object();
      if (!begun) {
        log(LogLevel::warning,
            fmt::format("audit: {}: sent away: it began with something else than a request, as a web browser would",
                        description(connection->peer)));
        connection->notify(line_of(answer));
        co_return;
      }
      if (const auto id = detail::request_id(message)) answer.set("id", *id);
      co_await connection->answer(line_of(answer));
      // Others get their turn, however much this client has sent at once.
      co_await asio::post(executor, asio::use_awaitable);
    }
  }

  asio::awaitable<Json> respond(ConnectionPtr connection, Json message) {
    const detail::KnownAction& known = detail::action_of(message);
    if (!connection->authenticated && known.action != ApiAction::authenticate && known.action != ApiAction::version)
      detail::refuse_request(std::make_error_code(std::errc::permission_denied), "you have not presented a token",
                             R"(Begin with {"action":"auth","token":...}.)");
    ApiRequest request = detail::parse_request(message);
    if (known.action == ApiAction::authenticate) {
      authenticate(*connection, request.token);
      co_return detail::ok_answer();
    }
    if (connection->peer.cid) update(*connection);
    request.any_vm = true;
    const detail::ApiActions::CurrentRights rights(connection, &connection->rights);
    const detail::ApiActions::Report report = [this, connection, name = known.name](const DeviceState& device,
                                                                                    std::string_view error) {
      log(error.empty() ? LogLevel::info : LogLevel::warning,
          fmt::format("audit: {}: {} {}: {}", description(connection->peer), name, short_description(device.device),
                      error.empty() ? "done" : error));
    };
    Json answer = co_await actions.carry_out(std::move(request), rights, report);
    if (known.action == ApiAction::enable_notifications) connection->listening = true;
    audit(*connection, message, {});
    co_return answer;
  }

  void authenticate(ApiConnection& connection, const std::string& shown) {
    const detail::Token* token = detail::find_token(tokens, shown);
    if (!token)
      detail::refuse_request(std::make_error_code(std::errc::permission_denied),
                             tokens.empty() ? "this service has no tokens" : "the token is not known");
    connection.peer.token = token->name;
    connection.shown = *token;
    connection.authenticated = true;
    connection.stop_waiting();
    update(connection);
    log(LogLevel::info, fmt::format("audit: {}: authenticated", description(connection.peer)));
  }

  /// Writes down who did what. `error`: what came of it; empty: it is done. Those who only look leave no line.
  void audit(const ApiConnection& connection, const Json& message, std::string_view error) const {
    const Json* name = message.find("action");
    if (!name || !name->is_string()) return;
    try {
      const detail::KnownAction& known = detail::action_of(message);
      if (known.level < ApiLevel::attach && known.action != ApiAction::authenticate) return;
    } catch (const qemuctl::Error&) {
      return; // nothing that could change anything
    }
    log(error.empty() ? LogLevel::info : LogLevel::warning,
        fmt::format("audit: {}: {} {}: {}", description(connection.peer), name->as_string(),
                    detail::request_text(message), error.empty() ? "done" : error));
  }

  asio::awaitable<void> follow_engine() {
    const auto self = shared_from_this();
    for (;;) {
      const std::optional<Notification> notification = co_await notifications.next();
      if (!notification) co_return;
      tell(*notification);
    }
  }

  void tell(const Notification& notification) {
    const bool of_vm = notification.kind == Notification::Kind::vm_state;
    // Serialised once for all clients that receive the same; empty: nothing.
    std::optional<std::string> of_all;
    std::map<decltype(Rights::in_vm), std::string> of_some;
    const auto line_for = [&](const Rights& rights) {
      const std::optional<Notification> seen = as_seen_by(rights, notification);
      return seen ? line_of(detail::to_json(*seen, engine.rules())) : std::string();
    };
    const std::vector<ConnectionPtr> all(connections.begin(), connections.end());
    for (const ConnectionPtr& connection : all) {
      if (!connection->listening) continue;
      if (notification.lost > 0) { // it would have a wrong picture; its next connection begins with a right one
        connection->close();
        continue;
      }
      if (connection->peer.cid && of_vm) update(*connection);
      const Rights& rights = connection->rights;
      if (rights.everywhere >= ApiLevel::read) {
        if (!of_all) of_all = line_for(rights);
        connection->notify(*of_all);
        continue;
      }
      const auto [entry, fresh] = of_some.try_emplace(rights.in_vm);
      if (fresh) entry->second = line_for(rights);
      if (!entry->second.empty()) connection->notify(entry->second);
    }
  }

  /// What does not take effect before the service is started again stays as it is; its names.
  static std::string keep_listeners(const ApiConfig& now, ApiConfig& fresh) {
    std::string kept;
    const auto keep = [&](const char* name, auto ApiConfig::*member) {
      if (fresh.*member == now.*member) return;
      fresh.*member = now.*member;
      kept += fmt::format("{}general.api.{}", kept.empty() ? "" : ", ", name);
    };
    keep("enable", &ApiConfig::enable);
    keep("transports", &ApiConfig::transports);
    keep("host", &ApiConfig::host);
    keep("port", &ApiConfig::port);
    keep("unixSocket", &ApiConfig::unix_socket);
    keep("unixSocketUser", &ApiConfig::unix_socket_user);
    keep("unixSocketGroup", &ApiConfig::unix_socket_group);
    keep("unixSocketMode", &ApiConfig::unix_socket_mode);
    return kept;
  }

  /// Gives an open connection what it may do with another configuration. Why it ends then; empty: it does not.
  std::string renew(ApiConnection& connection) {
    const bool revoked = connection.shown && std::find(tokens.begin(), tokens.end(), *connection.shown) == tokens.end();
    if (revoked) {
      connection.shown.reset();
      connection.peer.token.clear();
    }
    if (tokens.empty()) { // or it would wait for what it cannot show
      connection.authenticated = true;
      connection.stop_waiting();
    }
    update(connection);
    if (std::string why = refusal(connection.peer); !why.empty()) return why;
    if (connection.peer.transport != "tcp" || !connection.authenticated) return {};
    if (revoked) return "its token is not valid any more";
    return connection.shown || tokens.empty() ? "" : "clients have to present a token now";
  }

  void reload(ApiConfig fresh) {
    std::vector<detail::Token> fresh_tokens;
    if (!fresh.token_file.empty()) fresh_tokens = detail::load_tokens(fresh.token_file);
    const std::string kept = keep_listeners(config, fresh);
    if (std::find(fresh.transports.begin(), fresh.transports.end(), "tcp") != fresh.transports.end())
      detail::check_tcp_address(fresh);
    config = std::move(fresh);
    tokens = std::move(fresh_tokens);
    refused_cids.clear();
    if (!kept.empty()) log(LogLevel::warning, fmt::format("{}: take effect when the service is started again", kept));
    const std::vector<ConnectionPtr> all(connections.begin(), connections.end());
    for (const ConnectionPtr& connection : all) {
      const std::string who = description(connection->peer), why = renew(*connection);
      if (why.empty()) continue;
      log(LogLevel::warning, fmt::format("audit: {}: sent away: {}", who, why));
      refuse(connection, why);
    }
  }

  void announce_reload() {
    Json event;
    event.set("event", "config_reloaded");
    const std::string line = line_of(event);
    const std::vector<ConnectionPtr> all(connections.begin(), connections.end());
    for (const ConnectionPtr& connection : all)
      if (connection->listening) connection->notify(line);
  }
};

ApiServer::ApiServer(asio::any_io_executor executor, Engine& engine, ApiConfig config, ApiServerOptions options)
    : impl_(std::make_shared<Impl>(executor, engine, std::move(config), std::move(options))) {}
ApiServer::ApiServer(ApiServer&&) noexcept = default;
ApiServer& ApiServer::operator=(ApiServer&&) noexcept = default;
ApiServer::~ApiServer() = default;

asio::awaitable<void> ApiServer::run() {
  const std::shared_ptr<Impl> impl = impl_;
  for (const auto& listener : impl->listeners) impl->tasks.start(impl->accept(*listener));
  co_await asio::this_coro::throw_if_cancelled(false);
  std::exception_ptr end;
  try {
    co_await impl->follow_engine();
    // The engine has ended. Requests still get an answer that says so.
    qemuctl::detail::Wakeup forever(impl->executor);
    while ((co_await asio::this_coro::cancellation_state).cancelled() == asio::cancellation_type::none)
      co_await forever.wait_until();
  } catch (...) {
    end = std::current_exception();
  }
  co_await asio::this_coro::reset_cancellation_state();
  impl->tasks.cancel();
  for (const auto& connection : impl->connections) connection->close();
  co_await impl->tasks.wait_until_empty();
  if (end) std::rethrow_exception(end);
}

int ApiServer::tcp_port() const noexcept {
  for (const auto& listener : impl_->listeners)
    if (listener->transport == "tcp") return listener->port;
  return 0;
}

void ApiServer::reload(ApiConfig config) {
  impl_->reload(std::move(config));
}

void ApiServer::announce_reload() {
  asio::post(impl_->executor, [impl = impl_] { impl->announce_reload(); });
}

} // namespace hotplug
