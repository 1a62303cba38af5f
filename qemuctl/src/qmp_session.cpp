// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "qmp_session.hpp"

#include <qemuctl/error.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <limits>
#include <utility>

namespace qemuctl::detail {

namespace {

constexpr QmpSession::CommandId capabilities_id = 0;

// A late reply to a forgotten command must not be taken for another's, but a peer that never replies must not make us
// remember without bound.
constexpr std::size_t max_forgotten = 1'024;

int version_number(const Json& version, std::string_view key) {
  const Json* number = version.find(key);
  if (number == nullptr || number->kind() != Json::Kind::integer) return 0;
  return static_cast<int>(std::clamp<std::int64_t>(number->as_int(), 0, std::numeric_limits<int>::max()));
}

/// Tolerant: nothing depends on what a peer says of itself.
QmpGreeting read_greeting(const Json& json) {
  QmpGreeting greeting;
  if (const Json* version = json.find("version")) {
    if (const Json* qemu = version->find("qemu")) {
      greeting.major = version_number(*qemu, "major");
      greeting.minor = version_number(*qemu, "minor");
      greeting.micro = version_number(*qemu, "micro");
    }
    if (const Json* package = version->find("package"); package != nullptr && package->is_string())
      greeting.package = package->as_string();
  }
  if (const Json* capabilities = json.find("capabilities"); capabilities != nullptr && capabilities->is_array())
    for (const Json& capability : capabilities->as_array())
      if (capability.is_string()) greeting.capabilities.push_back(capability.as_string());
  return greeting;
}

/// QEMU sends -1 for both parts when its clock fails.
std::chrono::system_clock::time_point read_timestamp(const Json* timestamp) {
  using namespace std::chrono;
  constexpr auto last = duration_cast<seconds>(system_clock::duration::max()).count() - 1;
  if (timestamp == nullptr) return {};
  const Json* whole = timestamp->find("seconds");
  const Json* part = timestamp->find("microseconds");
  if (whole == nullptr || whole->kind() != Json::Kind::integer) return {};
  if (part == nullptr || part->kind() != Json::Kind::integer) return {};
  if (whole->as_int() < 0 || whole->as_int() > last) return {};
  if (part->as_int() < 0 || part->as_int() >= 1'000'000) return {};
  return system_clock::time_point(seconds(whole->as_int()) + microseconds(part->as_int()));
}

Json* find(Json& message, std::string_view key) {
  // Json::find gives no access to change, which is right for everyone who does not take messages apart.
  for (auto& [name, value] : message.as_object())
    if (name == key) return &value;
  return nullptr;
}

std::string plural(std::size_t count, std::string_view what) {
  return std::to_string(count) + " " + std::string(what) + (count == 1 ? "" : "s");
}

} // namespace

QmpSession::QmpSession(Limits limits, std::string id_prefix)
    : framer_(limits.max_message_bytes, limits.max_depth), max_depth_(limits.max_depth),
      id_prefix_(std::move(id_prefix)) {}

void QmpSession::receive(std::string_view bytes) {
  if (phase_ != Phase::failed) framer_.append(bytes);
}

std::optional<QmpSession::Action> QmpSession::next_action() {
  while (phase_ != Phase::failed) {
    const auto text = framer_.next();
    if (!text && framer_.broken().empty()) return std::nullopt;
    if (!text) return fail(framer_.broken());
    if (auto action = handle(*text)) return action;
  }
  return std::nullopt;
}

/// One whole message. No action when it is not for us.
std::optional<QmpSession::Action> QmpSession::handle(std::string_view text) {
  Json message;
  try {
    message = parse_json(text, {.max_depth = max_depth_, .source = "QMP message"});
  } catch (const Error& error) {
    return fail(error.diagnostics().detail);
  }
  if (const Json* greeting = message.find("QMP")) return handle_greeting(*greeting);
  if (message.contains("event")) return handle_event(message);
  if (Json* value = find(message, "return")) return handle_reply(message.find("id"), *value);
  if (const Json* error = message.find("error")) return handle_error(message.find("id"), *error);
  return fail("a message is neither greeting, event nor reply");
}

QmpSession::Action QmpSession::handle_greeting(const Json& greeting) {
  if (phase_ != Phase::greeting) return fail("the peer greeted twice");
  if (!greeting.is_object()) return fail("the greeting is no object");
  greeting_ = read_greeting(greeting);
  phase_ = Phase::negotiating;
  greeted_ = true;
  // No capability is enabled: with "oob" file descriptors get lost when commands are pipelined
  // (chardev/char-socket.c keeps those of the last message only), and few commands profit from it.
  sent_.emplace(capabilities_id, Sent{});
  return Send{wire(capabilities_id, "qmp_capabilities", nullptr)};
}

QmpSession::Action QmpSession::handle_event(Json& message) {
  Event event;
  const Json* name = message.find("event");
  if (!name->is_string()) return fail("an event has no name");
  event.name = name->as_string();
  event.timestamp = read_timestamp(message.find("timestamp"));
  if (Json* data = find(message, "data")) {
    if (!data->is_object()) return fail("the data of the event " + name->dump() + " is no object");
    event.data = std::move(*data);
  }
  // A VM with -no-shutdown announces SHUTDOWN and stays; when it goes on, the announcement is void.
  if (event.name == "SHUTDOWN") shut_down_ = true;
  if (event.name == "RESET" || event.name == "RESUME") shut_down_ = false;
  return EventReceived{std::move(event)};
}

std::optional<QmpSession::Action> QmpSession::handle_reply(const Json* id, Json& value) {
  const auto command = find_sent(id);
  if (command == sent_.end()) return std::nullopt;
  const CommandId number = command->first;
  const Sent sent = take_sent(command);
  if (number == capabilities_id) {
    phase_ = Phase::ready;
    return Ready{greeting_};
  }
  if (sent.quit) quitting_ = true;
  if (sent.forgotten) return std::nullopt;
  return Reply{number, std::move(value)};
}

std::optional<QmpSession::Action> QmpSession::handle_error(const Json* id, const Json& error) {
  auto command = find_sent(id);
  // An error without an id says that QEMU could not parse a command. Without "oob" it answers in order, so this is the
  // answer to the oldest. During negotiation it is not for us: it belongs to a command of an earlier client, who sent
  // it without an id and left (QEMU delivers such an answer to whoever comes next, before it runs our first command).
  if (id == nullptr && phase_ == Phase::ready) command = sent_.begin();
  if (command == sent_.end()) return std::nullopt;
  const CommandId number = command->first;
  const Sent sent = take_sent(command);

  std::string qmp_class = "GenericError"; // what QEMU says of most errors
  if (const Json* given = error.find("class"); given != nullptr && given->is_string()) qmp_class = given->as_string();
  std::string words = "no reason was given";
  if (const Json* given = error.find("desc"); given != nullptr && given->is_string()) words = given->as_string();

  if (number == capabilities_id) return fail("QEMU refused qmp_capabilities: " + words);
  if (sent.forgotten) return std::nullopt;
  return Refusal{number, std::move(qmp_class), std::move(words)};
}

/// The command an answer belongs to, by its id; end() when it is not one of ours or was answered before.
QmpSession::SentMap::iterator QmpSession::find_sent(const Json* id) {
  if (id == nullptr || !id->is_string()) return sent_.end();
  std::string_view digits = id->as_string();
  if (!digits.starts_with(id_prefix_)) return sent_.end();
  digits.remove_prefix(id_prefix_.size());
  if (digits.size() > 1 && digits.front() == '0') return sent_.end();
  CommandId number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc{} || end != digits.data() + digits.size()) return sent_.end();
  return sent_.find(number);
}

QmpSession::Sent QmpSession::take_sent(SentMap::iterator command) {
  const Sent sent = command->second;
  sent_.erase(command);
  if (sent.forgotten) --forgotten_;
  return sent;
}

QmpSession::Encoded QmpSession::encode(std::string_view command, const Json& arguments) {
  if (!arguments.is_null() && !arguments.is_object())
    throw Error(errc::invalid_argument, {.operation = "run " + std::string(command),
                                         .command = std::string(command),
                                         .detail = "the arguments are no object"});
  const CommandId id = last_id_ + 1;
  std::string bytes = wire(id, command, arguments);
  sent_.emplace(id, Sent{.quit = command == "quit"});
  last_id_ = id;
  return {id, std::move(bytes)};
}

std::string QmpSession::wire(CommandId id, std::string_view command, const Json& arguments) const {
  std::string out = R"({"execute":)";
  Json(command).dump_to(out);
  if (!arguments.is_null()) {
    out += R"(,"arguments":)";
    arguments.dump_to(out);
  }
  out += R"(,"id":")";
  out += id_prefix_;
  out += std::to_string(id);
  // QEMU takes the brace for the end. The newline is for peers that read lines: proxies, scripted servers, people with
  // a trace. It makes some 5 us of a round trip of 185 us (query-status, QEMU 7.2, TCG), and it stays unread after
  // `quit`, which turns the end of the connection into a reset; `peer_closed` knows that.
  out += "\"}\n";
  return out;
}

void QmpSession::forget(CommandId id) {
  const auto command = sent_.find(id);
  if (command == sent_.end() || command->second.forgotten) return;
  command->second.forgotten = true;
  if (++forgotten_ > max_forgotten)
    take_sent(std::ranges::find_if(sent_, [](const auto& entry) { return entry.second.forgotten; }));
}

bool QmpSession::is_ready() const noexcept {
  return phase_ == Phase::ready;
}

bool QmpSession::greeted() const noexcept {
  return greeted_;
}

ConnectionEnd QmpSession::peer_closed(std::string_view error) const {
  using enum ConnectionEnd::Kind;
  if (phase_ == Phase::failed) return {garbage, failure_};
  if (shut_down_ || quitting_) return {clean, "the peer closed the connection as it had announced"};

  std::string reason = error.empty() ? "the peer closed the connection" : "the connection failed";
  const std::size_t unanswered = sent_.size() - forgotten_;
  const bool whole = !framer_.inside() && unanswered == 0;
  if (framer_.inside())
    reason += " inside a message";
  else if (phase_ == Phase::greeting)
    reason += " before it greeted";
  else if (phase_ == Phase::negotiating)
    reason += " before it was ready";
  else if (unanswered > 0)
    reason += " with " + plural(unanswered, "command") + " unanswered";
  if (!error.empty()) reason.append(": ").append(error);
  return {whole && error.empty() ? clean : cut, std::move(reason)};
}

QmpSession::Failure QmpSession::fail(std::string reason) {
  if (phase_ == Phase::greeting) reason = "this is no QMP monitor: " + reason;
  phase_ = Phase::failed;
  failure_ = reason;
  return {std::move(reason)};
}

} // namespace qemuctl::detail
