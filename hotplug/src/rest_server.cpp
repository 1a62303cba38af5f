// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "http_server.hpp"
#include "metrics.hpp"
#include "rest_api.hpp"
#include "rest_events.hpp"
#include "rest_gate.hpp"
#include "tasks.hpp"
#include "text.hpp"
#include "wakeup.hpp"
#include "web_files.hpp"
#include "webvirt.hpp"

#include <hotplug/explanation.hpp>
#include <hotplug/rest_server.hpp>
#include <qemuctl/error.hpp>

#include <asio/ip/address.hpp>
#include <asio/this_coro.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace hotplug {

using detail::HttpExchange;
using detail::HttpRequest;
using detail::HttpResponse;
using detail::Peer;
using detail::problem;
using detail::Rights;
using qemuctl::Json;

namespace {

constexpr std::size_t max_notifications = 1 << 14;

using Path = std::vector<std::string>;

bool is_loopback(const std::string& host) {
  std::error_code ec;
  const asio::ip::address address = asio::ip::make_address(host, ec);
  return host == "localhost" || (!ec && address.is_loopback());
}

void check_reach(const RestConfig& config) {
  if (is_loopback(config.host) || !config.token_file.empty()) return;
  qemuctl::Diagnostics diagnostics;
  diagnostics.operation = "serve the REST API";
  diagnostics.subject = config.host;
  diagnostics.detail = "every host in the network could move devices and start VMs";
  diagnostics.advice = "Use 127.0.0.1 as general.rest.host, or name a general.rest.tokenFile.";
  throw qemuctl::Error(qemuctl::errc::invalid_argument, std::move(diagnostics));
}

std::vector<detail::Token> tokens_of(const RestConfig& config) {
  return config.token_file.empty() ? std::vector<detail::Token>() : detail::load_tokens(config.token_file);
}

/// A request for the log.
std::string words_of(const HttpRequest& request) {
  constexpr std::size_t enough = 300;
  const std::string text = request.method + " " + request.target;
  return qemuctl::detail::printable(text.substr(0, enough));
}

/// A file of the web page, or nullptr.
const detail::WebFile* file_of(const Path& path) {
  if (path.size() != 1) return nullptr;
  const std::string name = path[0].empty() ? "index.html" : path[0] == "docs" ? "docs.html" : path[0];
  const std::vector<detail::WebFile>& files = detail::web_files();
  const auto found = std::ranges::find(files, name, &detail::WebFile::name);
  return found == files.end() ? nullptr : &*found;
}

HttpResponse file_response(const HttpRequest& request, const detail::WebFile& file) {
  if (request.method != "GET" && request.method != "HEAD") {
    HttpResponse response = problem(405, "wrong-method", "files can only be read");
    return std::move(response.set("Allow", "GET, HEAD"));
  }
  const std::string etag = detail::etag_of(file.content);
  const bool known = detail::has_etag(request.header("if-none-match"), etag);
  HttpResponse response =
      known ? HttpResponse(304)
            : HttpResponse(200, std::string(detail::content_type_of(file.name)), std::string(file.content));
  response.set("ETag", etag);
  response.set("Cache-Control", "no-cache");
  return response;
}

} // namespace

struct RestServer::Impl : std::enable_shared_from_this<RestServer::Impl> {
  Impl(const asio::any_io_executor& io, Engine& served, RestConfig chosen, RestServerOptions more)
      : executor(io), engine(served), config(std::move(chosen)), options(std::move(more)), tokens(tokens_of(config)),
        api(engine, api_options()), webvirt(engine, config.devices_dir),
        notifications(engine.subscribe(max_notifications)), events(io, api, options),
        tasks(io, [this](const std::exception_ptr& error) {
          log(LogLevel::error, fmt::format("the REST API: {}", detail::what_of(error)));
        }) {
    permissions.permissions = options.permissions;
  }

  void listen() {
    check_reach(config);
    detail::HttpServerOptions http;
    http.host = config.host;
    http.port = config.port;
    http.handler = [weak = weak_from_this()](std::shared_ptr<HttpExchange> exchange) {
      if (const auto self = weak.lock()) self->tasks.start(self->serve(std::move(exchange)));
    };
    http.on_refused = [log = options.log](std::string_view text) {
      if (log) log(LogLevel::warning, text);
    };
    server.emplace(executor, std::move(http));
  }

  void reload(RestConfig next, std::optional<std::vector<ApiPermission>> who) {
    if (next.host != config.host || next.port != config.port)
      log(LogLevel::warning, fmt::format("general.rest: a new host or port takes effect after a restart of the "
                                         "service; until then it listens on {}, "
                                         "port {}",
                                         config.host, server->port()));
    next.host = config.host;
    next.port = config.port;
    check_reach(next);
    tokens = tokens_of(next);
    config = std::move(next);
    permissions.permissions = std::move(who);
    webvirt.use_templates_in(config.devices_dir);
    events.announce_reload();
  }

  asio::any_io_executor executor;
  Engine& engine;
  RestConfig config;
  RestServerOptions options;
  ApiConfig permissions; ///< no more of it than that
  std::vector<detail::Token> tokens;
  detail::RestApi api;
  detail::Webvirt webvirt;
  detail::Metrics metrics;
  NotificationSubscription notifications;
  detail::RestEvents events;
  bool ending = false;
  std::optional<detail::HttpServer> server;
  detail::Tasks tasks;

  ApiServerOptions api_options() const {
    ApiServerOptions result;
    result.version = options.version;
    return result;
  }

  void log(LogLevel level, std::string_view text) const {
    if (options.log) options.log(level, text);
  }

  /// Who asks, and what for, as the log has it.
  struct Caller {
    Peer peer;
    Rights rights;
  };

  asio::awaitable<void> serve(std::shared_ptr<HttpExchange> exchange) {
    const auto self = shared_from_this();
    const HttpRequest& request = exchange->request();
    HttpResponse response(500);
    try {
      const std::optional<Path> path = detail::path_of(request.target);
      const bool stream = path && *path == events_path();
      Caller caller;
      std::optional<HttpResponse> early = before_answering(request, path, caller);
      if (!early && stream) {
        early = refuse_stream(request, caller);
        if (!early) co_return co_await tell(exchange, std::move(caller.rights));
      }
      if (early)
        response = std::move(*early);
      else
        response = co_await answer(request, *path, caller);
    } catch (const qemuctl::Error& error) {
      response = problem(error.code(), error.what());
      log(LogLevel::debug, fmt::format("{}: {}", words_of(request), error.what()));
    } catch (const std::bad_alloc&) {
      response = problem(503, "overloaded", "there is not enough memory");
    } catch (const std::system_error& error) { // also when the service ends
      response = problem(503, "unavailable", error.what());
    } catch (const std::exception& error) { // a mistake of ours, which nobody is to wait for in vain
      response = problem(500, "failed", error.what());
      log(LogLevel::error, fmt::format("{}: {}", words_of(request), error.what()));
    }
    if (!response.failure.empty()) metrics.count_failure(response.failure);
    detail::add_security_headers(request, config, response);
    exchange->respond(std::move(response));
  }

  static const Path& events_path() {
    static const Path path{"api", "1", "events"};
    return path;
  }

  static bool is_open(const Path& path) { return path.size() == 1 && path[0] == "healthz"; }

  /// What is answered to a request without doing what it asks for; nullopt: it may go on, and `caller` is who asks.
  std::optional<HttpResponse> before_answering(const HttpRequest& request, const std::optional<Path>& path,
                                               Caller& caller) const {
    const bool reads = request.method == "GET" || request.method == "HEAD";
    const bool preflight = request.method == "OPTIONS";
    const bool is_public = path && (file_of(*path) || is_open(*path));
    if (auto refused = detail::refusal(request, config, preflight || (reads && is_public))) return refused;
    if (!path) return problem(400, "wrong-path", "the path cannot be read");
    if (preflight) return answer_preflight(request);
    if (const detail::WebFile* file = file_of(*path)) return file_response(request, *file);
    if (is_open(*path)) {
      HttpResponse wrong = problem(405, "wrong-method", "this can only be read");
      wrong.set("Allow", "GET, HEAD");
      return reads ? HttpResponse(200, "text/plain; charset=utf-8", "ok\n") : wrong;
    }
    caller.peer.transport = "rest";
    caller.peer.address = request.address;
    if (!tokens.empty()) {
      const detail::Token* token = detail::find_token(tokens, detail::shown_token(request));
      if (!token) {
        HttpResponse response = problem(401, "no-token", "present a token: Authorization: Bearer TOKEN");
        return std::move(response.set("WWW-Authenticate", "Bearer realm=\"qemuctl\""));
      }
      caller.peer.token = token->name;
    }
    caller.rights = detail::rights_of(caller.peer, permissions);
    return std::nullopt;
  }

  HttpResponse answer_preflight(const HttpRequest& request) const {
    HttpResponse response(204);
    if (detail::origin_of(request, config) == detail::Origin::allowed) {
      response.set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE");
      response.set("Access-Control-Allow-Headers",
                   "Authorization, Content-Type, If-Match, If-None-Match, Last-Event-ID");
      response.set("Access-Control-Max-Age", "600");
    }
    return response;
  }

  /// webvirt's requests change things by GET, and it asks nobody who they are.
  asio::awaitable<HttpResponse> answer_webvirt(HttpRequest request, Path path, Caller caller) {
    if (tokens.empty() && !config.webvirt_compat) {
      co_return detail::webvirt_problem(
          403, "not-permitted",
          "these resources change things by GET: they need general.rest.webvirtCompat or a tokenFile");
    }
    path.erase(path.begin(), path.begin() + 2);
    const bool changes = path[0] != "state" && path[0] != "version";
    HttpResponse response = co_await webvirt.answer(request, std::move(path), caller.rights);
    if (changes) audit(caller, request, response.status < 300 ? std::string_view() : std::string_view(response.body));
    co_return response;
  }

  HttpResponse answer_metrics(const HttpRequest& request, const Rights& rights) {
    if (request.method != "GET" && request.method != "HEAD") {
      HttpResponse response = problem(405, "wrong-method", "metrics can only be read");
      return std::move(response.set("Allow", "GET, HEAD"));
    }
    if (rights.everywhere < ApiLevel::read)
      return problem(403, "not-permitted", "metrics are about all VMs, and you may not see all of them");
    observe();
    return HttpResponse(200, "text/plain; version=0.0.4; charset=utf-8", metrics.text(engine.vms(), engine.devices()));
  }

  asio::awaitable<HttpResponse> answer(HttpRequest request, Path path, Caller caller) {
    if (path.size() == 1 && path[0] == "metrics") co_return answer_metrics(request, caller.rights);
    if (path.size() > 2 && path[0] == "api" && path[1] == "0")
      co_return co_await answer_webvirt(std::move(request), std::move(path), std::move(caller));
    if (path.size() < 2 || path[0] != "api" || path[1] != "1")
      co_return problem(404, "not-found", "there is no such resource; see /docs");
    path.erase(path.begin(), path.begin() + 2);
    if (path.size() <= 2 && !path.empty() && path[0] == "vms") {
      std::string only;
      if (path.size() == 2) only = path[1];
      co_await ask_vms(std::move(only), caller.rights);
    }
    const bool changes = request.method != "GET" && request.method != "HEAD";
    HttpResponse response(500);
    std::exception_ptr failure;
    try {
      response = co_await api.answer(request, std::move(path), caller.rights);
    } catch (const qemuctl::Error& error) {
      if (changes) audit(caller, request, error.what());
      failure = std::current_exception();
    }
    if (failure) std::rethrow_exception(failure);
    if (changes) audit(caller, request, response.status < 300 ? std::string_view() : std::string_view(response.body));
    co_return response;
  }

  void audit(const Caller& caller, const HttpRequest& request, std::string_view error) const {
    constexpr std::size_t enough = 300;
    const std::string body = qemuctl::detail::printable(request.body.substr(0, enough));
    log(error.empty() ? LogLevel::info : LogLevel::warning,
        fmt::format("audit: {}: {}{}{}: {}", description(caller.peer), words_of(request), body.empty() ? "" : " ", body,
                    error.empty() ? "done" : error));
  }

  /// Asks the VMs whose monitors are given back between commands, or just one of them; the others tell by themselves.
  asio::awaitable<void> ask_vms(std::string only, Rights rights) {
    const std::vector<VmState> vms = engine.vms();
    for (const VmState& vm : vms) {
      const bool meant = only.empty() ? rights.in(vm.name) >= ApiLevel::read : vm.name == only;
      if (meant && vm.link == LinkState::yielded) co_await ask_vm(vm.name);
    }
  }

  asio::awaitable<void> ask_vm(std::string name) {
    try {
      co_await engine.connect_vm(name); // and so the engine knows what it does
    } catch (const qemuctl::Error&) {
      // The problem is shown in its state.
    }
  }

  // Events

  std::optional<HttpResponse> refuse_stream(const HttpRequest& request, const Caller& caller) const {
    if (request.method != "GET") {
      HttpResponse response = problem(405, "wrong-method", "events can only be read, with GET");
      return std::move(response.set("Allow", "GET"));
    }
    if (caller.rights.anywhere() < ApiLevel::read)
      return problem(403, "not-permitted", "you may see nothing here; see general.api.permissions");
    return events.refusal(request.address);
  }

  asio::awaitable<void> tell(std::shared_ptr<HttpExchange> exchange, Rights rights) {
    const HttpRequest& request = exchange->request();
    detail::RestEvents::Listener listener;
    listener.address = request.address;
    listener.last_id = request.header("last-event-id");
    listener.rights = rights;
    // Tokens and permissions may change while somebody listens.
    listener.is_still = [this, exchange, rights = std::move(rights)] {
      Caller now;
      return !before_answering(exchange->request(), events_path(), now) && now.rights == rights;
    };
    HttpResponse head(200);
    head.set("Content-Type", "text/event-stream");
    detail::add_security_headers(request, config, head);
    std::shared_ptr<detail::HttpStream> stream = exchange->begin(std::move(head));
    co_await events.tell(std::move(stream), std::move(listener));
  }

  // What the engine reports

  asio::awaitable<void> follow_state() {
    const auto self = shared_from_this();
    while (!ending) {
      observe();
      events.show_changes();
      co_await engine.settled();
    }
  }

  void observe() { metrics.observe(engine.vms(), engine.devices(), std::chrono::steady_clock::now()); }

  asio::awaitable<void> follow_notifications() {
    const auto self = shared_from_this();
    for (;;) {
      const std::optional<Notification> next = co_await notifications.next();
      if (!next) co_return;
      metrics.count(*next);
      events.notify(*next);
    }
  }
};

RestServer::RestServer(asio::any_io_executor executor, Engine& engine, RestConfig config, RestServerOptions options)
    : impl_(std::make_shared<Impl>(executor, engine, std::move(config), std::move(options))) {
  impl_->listen();
}
RestServer::RestServer(RestServer&&) noexcept = default;
RestServer& RestServer::operator=(RestServer&&) noexcept = default;
RestServer::~RestServer() = default;

asio::awaitable<void> RestServer::run() {
  const std::shared_ptr<Impl> impl = impl_;
  impl->tasks.start(impl->follow_state());
  impl->tasks.start(impl->follow_notifications());
  co_await asio::this_coro::throw_if_cancelled(false);
  qemuctl::detail::Wakeup forever(impl->executor);
  try {
    while ((co_await asio::this_coro::cancellation_state).cancelled() == asio::cancellation_type::none)
      co_await forever.wait_until();
  } catch (const std::system_error&) {
    // cancelled
  }
  co_await asio::this_coro::reset_cancellation_state();
  impl->ending = true;
  impl->events.end();
  impl->server->stop();
  impl->tasks.cancel();
  co_await impl->tasks.wait_until_empty();
  co_await impl->server->wait_until_ended();
}

int RestServer::port() const noexcept {
  return impl_->server->port();
}

void RestServer::reload(RestConfig config, std::optional<std::vector<ApiPermission>> permissions) {
  impl_->reload(std::move(config), std::move(permissions));
}

} // namespace hotplug
