// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "event_log.hpp"
#include "http_server.hpp"
#include "metrics.hpp"
#include "rest_api.hpp"
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
#include <functional>
#include <map>
#include <random>
#include <utility>

namespace hotplug {

using detail::HttpExchange;
using detail::HttpRequest;
using detail::HttpResponse;
using detail::HttpStream;
using detail::Peer;
using detail::problem;
using detail::Rights;
using qemuctl::Json;

namespace {

constexpr std::size_t max_events = 1024, max_event_bytes = 4 << 20;
constexpr std::size_t max_notifications = 1 << 14;
constexpr std::size_t max_streams = 64;
/// A client that hears nothing for longer may take its connection for lost.
constexpr std::chrono::seconds quiet{10};

using Path = std::vector<std::string>;

bool is_loopback(const std::string& host) {
  std::error_code ec;
  const asio::ip::address address = asio::ip::make_address(host, ec);
  return host == "localhost" || (!ec && address.is_loopback());
}

detail::HttpServerOptions http_options(const RestConfig& config) {
  if (!is_loopback(config.host) && config.token_file.empty()) {
    qemuctl::Diagnostics diagnostics;
    diagnostics.operation = "serve the REST API";
    diagnostics.subject = config.host;
    diagnostics.detail = "every host in the network could move devices and start VMs";
    diagnostics.advice = "Use 127.0.0.1 as general.rest.host, or name a general.rest.tokenFile.";
    throw qemuctl::Error(qemuctl::errc::invalid_argument, std::move(diagnostics));
  }
  detail::HttpServerOptions options;
  options.host = config.host;
  options.port = config.port;
  return options;
}

/// A name for this run of the service.
std::string random_epoch() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

/// A request for the log.
std::string words_of(const HttpRequest& request) {
  constexpr std::size_t enough = 300;
  const std::string text = request.method + " " + request.target;
  return qemuctl::detail::printable(text.substr(0, enough));
}

std::string_view word_of(Notification::Kind kind) {
  switch (kind) {
  case Notification::Kind::connected:
    return "connected";
  case Notification::Kind::disconnected:
    return "disconnected";
  case Notification::Kind::attached:
    return "attached";
  case Notification::Kind::detached:
    return "detached";
  case Notification::Kind::select_vm:
    return "question";
  case Notification::Kind::degraded:
    return "problem";
  case Notification::Kind::vm_state:
    return "vm";
  }
  return "";
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
    HttpResponse response = problem(405, "wrong-method", "this is a file");
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
      : executor(io), engine(served), config(std::move(chosen)), options(std::move(more)), api(engine, api_options()),
        webvirt(engine, config.devices_dir), notifications(engine.subscribe(max_notifications)),
        events(random_epoch(), max_events, max_event_bytes), told(io),
        tasks(io, [this](const std::exception_ptr& error) {
          log(LogLevel::error, fmt::format("the REST API: {}", detail::what_of(error)));
        }) {
    permissions.permissions = options.permissions;
    if (!config.token_file.empty()) tokens = detail::load_tokens(config.token_file);
  }

  void listen() {
    detail::HttpServerOptions http = http_options(config);
    http.handler = [weak = weak_from_this()](std::shared_ptr<HttpExchange> exchange) {
      if (const auto self = weak.lock()) self->tasks.start(self->serve(std::move(exchange)));
    };
    http.on_refused = [log = options.log](std::string_view text) {
      if (log) log(LogLevel::warning, text);
    };
    server.emplace(executor, std::move(http));
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
  detail::EventLog events;
  qemuctl::detail::Wakeup told;                                ///< there are more events
  std::map<std::string, std::string> shown_vms, shown_devices; ///< as the events told last; by name and id
  std::size_t streams = 0;
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
    const bool version_0 = path && path->size() > 1 && (*path)[0] == "api" && (*path)[1] == "0";
    if (auto refused = detail::refusal(request, config, (!reads && !preflight) || version_0)) return refused;
    if (!path) return problem(400, "wrong-path", "the path can not be read");
    if (preflight) return answer_preflight(request);
    if (const detail::WebFile* file = file_of(*path)) return file_response(request, *file);
    if (is_open(*path)) {
      HttpResponse wrong = problem(405, "wrong-method", "this is to be read");
      wrong.set("Allow", "GET, HEAD");
      return reads ? HttpResponse(200, "text/plain; charset=utf-8", "ok\n") : wrong;
    }
    caller.peer.transport = "rest";
    caller.peer.address = request.address;
    if (!tokens.empty()) {
      const detail::Token* token = detail::find_token(tokens, detail::shown_token(request));
      if (!token) {
        HttpResponse response = problem(401, "no-token", "show a token: Authorization: Bearer TOKEN");
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
      Json json;
      json.set("detail", "these resources change things by GET: they take general.rest.webvirtCompat, or a tokenFile");
      co_return detail::json_response(json, 403);
    }
    path.erase(path.begin(), path.begin() + 2);
    const bool changes = path[0] != "state" && path[0] != "version";
    HttpResponse response = co_await webvirt.answer(request, std::move(path), caller.rights);
    if (changes) audit(caller, request, response.status < 300 ? std::string_view() : std::string_view(response.body));
    co_return response;
  }

  HttpResponse answer_metrics(const HttpRequest& request, const Rights& rights) const {
    if (request.method != "GET" && request.method != "HEAD") {
      HttpResponse response = problem(405, "wrong-method", "these are numbers to be read");
      return std::move(response.set("Allow", "GET, HEAD"));
    }
    if (rights.everywhere < ApiLevel::read) return problem(403, "not-permitted", "these are numbers about all VMs");
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
      co_await ask_vms(std::move(only));
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
  asio::awaitable<void> ask_vms(std::string only) {
    const std::vector<VmState> vms = engine.vms();
    for (const VmState& vm : vms)
      if (vm.link == LinkState::yielded && (only.empty() || vm.name == only)) co_await ask_vm(vm.name);
  }

  asio::awaitable<void> ask_vm(std::string name) {
    try {
      co_await engine.connect_vm(name); // and so the engine knows what it does
    } catch (const qemuctl::Error&) {
      // What is in the way is in its state.
    }
  }

  // Events

  std::optional<HttpResponse> refuse_stream(const HttpRequest& request, const Caller& caller) const {
    if (request.method != "GET") {
      HttpResponse response = problem(405, "wrong-method", "events are for GET");
      return std::move(response.set("Allow", "GET"));
    }
    if (!request.http_1_1) return problem(400, "not-supported", "events need HTTP/1.1");
    if (caller.rights.anywhere() < ApiLevel::read)
      return problem(403, "not-permitted", "you may see nothing here; see general.api.permissions");
    if (streams >= max_streams || ending) return problem(503, "overloaded", "too many clients hear events already");
    return std::nullopt;
  }

  asio::awaitable<void> tell(std::shared_ptr<HttpExchange> exchange, Rights rights) {
    const HttpRequest& request = exchange->request();
    HttpResponse head(200);
    head.set("Content-Type", "text/event-stream");
    detail::add_security_headers(request, config, head);
    const std::shared_ptr<HttpStream> stream = exchange->begin(std::move(head));
    ++streams;
    struct Leave {
      std::size_t& count;
      ~Leave() { --count; }
    } const leave{streams};
    try {
      if (rights.everywhere >= ApiLevel::read)
        co_await tell_all(stream, std::string(request.header("last-event-id")));
      else
        co_await tell_of_changes(stream, std::move(rights));
    } catch (const std::system_error&) {
      // The service ends. Without an end of the answer RESTinio would keep the connection.
    }
    stream->end();
  }

  asio::awaitable<void> tell_all(std::shared_ptr<HttpStream> stream, std::string last) {
    std::optional<std::uint64_t> resumed;
    if (!last.empty()) resumed = events.after(last);
    std::uint64_t position = resumed.value_or(events.end());
    std::string text =
        events.single(last.empty() || resumed ? "hello" : "reload", hello(resumed.has_value()), position);
    while (co_await written(stream, std::move(text)) && !ending) {
      if (position == events.end()) co_await told.wait_until(std::chrono::steady_clock::now() + quiet);
      const std::optional<std::string> more = events.read(position);
      if (!more) {
        position = events.end();
        text = events.single("reload", hello(false), position);
      } else {
        text = more->empty() ? ":\n\n" : *more;
      }
    }
  }

  /// To those who may not see all VMs, whose names are in every device: only that there is something else to be seen.
  asio::awaitable<void> tell_of_changes(std::shared_ptr<HttpStream> stream, Rights rights) {
    std::size_t seen = what_is_seen(rights);
    std::string text = events.single("hello", hello(false), events.end());
    while (co_await written(stream, std::move(text)) && !ending) {
      const auto end = std::chrono::steady_clock::now() + quiet;
      std::size_t now = seen;
      while (now == seen && !ending && std::chrono::steady_clock::now() < end) {
        co_await told.wait_until(end);
        now = what_is_seen(rights);
      }
      text = now == seen ? ":\n\n" : events.single("reload", hello(false), events.end());
      seen = now;
    }
  }

  /// Another number for everything else that somebody with these rights may see.
  std::size_t what_is_seen(const Rights& rights) const {
    const detail::RestApi::Picture picture = api.look(rights);
    std::string text;
    for (const VmState& vm : picture.vms) text += api.vm_json(vm, picture).dump();
    for (std::size_t i = 0; i < picture.devices.size(); ++i) text += api.device_json(i, picture).dump();
    return std::hash<std::string>()(text);
  }

  Json hello(bool resumed) const {
    Json json;
    json.set("version", options.version);
    json.set("resumed", resumed);
    return json;
  }

  /// Whether the client has taken it.
  asio::awaitable<bool> written(std::shared_ptr<HttpStream> stream, std::string text) {
    struct Outcome {
      explicit Outcome(const asio::any_io_executor& io) : known(io) {}
      std::optional<bool> good;
      qemuctl::detail::Wakeup known;
    };
    const auto outcome = std::make_shared<Outcome>(executor);
    stream->write(std::move(text), [outcome](bool good) {
      outcome->good = good;
      outcome->known.notify();
    });
    while (!outcome->good) co_await outcome->known.wait_until();
    co_return *outcome->good;
  }

  void announce(std::string_view type, const Json& data) {
    events.add(type, data);
    told.notify();
  }

  /// Tells what is other than it was told before.
  void show_changes() {
    Rights all;
    all.everywhere = ApiLevel::admin;
    const detail::RestApi::Picture picture = api.look(all);
    std::map<std::string, std::string> vms, devices;
    for (const VmState& vm : picture.vms) {
      const Json json = api.vm_json(vm, picture);
      show(shown_vms, vms, "vm", vm.name, json);
    }
    metrics.observe(picture.devices, std::chrono::steady_clock::now());
    for (std::size_t i = 0; i < picture.devices.size(); ++i)
      show(shown_devices, devices, "device", picture.ids[i], api.device_json(i, picture));
    tell_removed(shown_devices, devices, "device-removed", "id");
    tell_removed(shown_vms, vms, "vm-removed", "name");
    shown_vms = std::move(vms);
    shown_devices = std::move(devices);
  }

  void show(const std::map<std::string, std::string>& before, std::map<std::string, std::string>& now,
            std::string_view type, const std::string& name, const Json& json) {
    std::string text = json.dump();
    const auto known = before.find(name);
    if (known == before.end() || known->second != text) announce(type, json);
    now.insert_or_assign(name, std::move(text));
  }

  void tell_removed(const std::map<std::string, std::string>& before, const std::map<std::string, std::string>& now,
                    std::string_view type, const char* key) {
    for (const auto& [name, text] : before)
      if (!now.contains(name)) announce(type, Json::object({{key, name}}));
  }

  asio::awaitable<void> follow_state() {
    const auto self = shared_from_this();
    while (!ending) {
      show_changes();
      co_await engine.settled();
    }
  }

  asio::awaitable<void> follow_notifications() {
    const auto self = shared_from_this();
    for (;;) {
      const std::optional<Notification> next = co_await notifications.next();
      if (!next) co_return;
      if (next->lost > 0) announce("reload", hello(false));
      on_notification(*next);
    }
  }

  void on_notification(const Notification& notification) {
    metrics.count(notification);
    if (notification.kind == Notification::Kind::vm_state) return; // the VM itself is told
    Json json;
    json.set("what", word_of(notification.kind));
    const std::vector<DeviceState> one(1, notification.device);
    json.set("device", detail::device_ids(one).front());
    json.set("description", short_description(notification.device.device));
    json.set("vm", notification.vm.empty() ? Json() : Json(notification.vm));
    json.set("text", notification.text.empty() ? Json() : Json(notification.text));
    announce("notification", json);
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
  impl->told.notify();
  impl->server->stop();
  impl->tasks.cancel();
  co_await impl->tasks.wait_until_empty();
  co_await impl->server->wait_until_ended();
}

int RestServer::port() const noexcept {
  return impl_->server->port();
}

void RestServer::announce_reload() {
  impl_->announce("reload", impl_->hello(false));
}

} // namespace hotplug
