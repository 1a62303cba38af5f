// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "rest_events.hpp"

#include "event_log.hpp"

#include <hotplug/explanation.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>
#include <system_error>
#include <utility>

namespace hotplug::detail {

using qemuctl::Json;
using time_point = std::chrono::steady_clock::time_point;

namespace {

constexpr std::size_t max_events = 1024, max_event_bytes = 4 << 20;

/// A name for one log, which no other has.
std::string random_epoch() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
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

} // namespace

/// What those hear who have the same rights.
struct RestEvents::Channel {
  explicit Channel(Rights whose) : rights(std::move(whose)), log(random_epoch(), max_events, max_event_bytes) {}

  Rights rights;
  EventLog log;
  std::map<std::string, std::string> vms, devices; ///< as they were reported last; by name and id
  int streams = 0;
  time_point left; ///< when the last stream ended

  void show(std::map<std::string, std::string>& now, const std::map<std::string, std::string>& before,
            std::string_view type, const std::string& name, const Json& json) {
    std::string text = json.dump();
    const auto known = before.find(name);
    if (known == before.end() || known->second != text) log.add(type, json);
    now.insert_or_assign(name, std::move(text));
  }
  void show_removed(const std::map<std::string, std::string>& now, const std::map<std::string, std::string>& before,
                    std::string_view type, const char* key) {
    for (const auto& [name, text] : before)
      if (!now.contains(name)) log.add(type, Json::object({{key, name}}));
  }
};

RestEvents::RestEvents(asio::any_io_executor executor, RestApi& api, RestServerOptions options)
    : executor_(executor), api_(api), options_(std::move(options)), told_(std::move(executor)) {}

RestEvents::~RestEvents() = default;

std::optional<HttpResponse> RestEvents::refusal(const std::string& address) const {
  int all = 0;
  for (const auto& [of, count] : streams_) all += count;
  const auto own = streams_.find(address);
  if (ending_) return problem(503, "unavailable", "the service is about to end");
  if (all >= options_.max_streams) return problem(503, "overloaded", "too many event streams are open already");
  if (own != streams_.end() && own->second >= options_.max_streams_per_address)
    return problem(
        503, "overloaded",
        fmt::format("this address has {} event streams already; close one of them", options_.max_streams_per_address));
  return std::nullopt;
}

std::shared_ptr<RestEvents::Channel> RestEvents::channel_of(const Rights& rights) {
  forget_channels();
  const auto known = std::ranges::find_if(channels_, [&](const auto& each) { return each->rights == rights; });
  if (known != channels_.end()) return *known;
  const auto channel = std::make_shared<Channel>(rights);
  show_changes(*channel);
  channels_.push_back(channel);
  return channel;
}

/// Those that nobody has listened to for a while.
void RestEvents::forget_channels() {
  const time_point now = std::chrono::steady_clock::now();
  channels_.remove_if([&](const auto& each) { return each->streams == 0 && now - each->left >= options_.keep_events; });
}

asio::awaitable<void> RestEvents::tell(std::shared_ptr<HttpStream> stream, Listener listener) {
  const std::shared_ptr<Channel> channel = channel_of(listener.rights);
  const std::string address = listener.address;
  ++channel->streams;
  ++streams_[address];
  struct Leave {
    RestEvents& events;
    Channel& channel;
    const std::string& address;
    ~Leave() {
      --channel.streams;
      channel.left = std::chrono::steady_clock::now();
      if (--events.streams_[address] == 0) events.streams_.erase(address);
    }
  } const leave{*this, *channel, address};
  try {
    co_await write_all(stream, channel, std::move(listener));
  } catch (const std::system_error&) {
    // The service ends. Without an end of the answer RESTinio would keep the connection.
  }
  stream->end();
}

asio::awaitable<void> RestEvents::write_all(std::shared_ptr<HttpStream> stream, std::shared_ptr<Channel> channel,
                                            Listener listener) {
  const EventLog& log = channel->log;
  const auto goes_on = [&] { return !ending_ && listener.is_still(); };
  std::optional<std::uint64_t> resumed;
  if (!listener.last_id.empty()) resumed = log.after(listener.last_id);
  std::uint64_t position = resumed.value_or(log.end());
  std::string text = log.single("hello", hello(resumed.has_value()), position);
  while (co_await written(stream, std::move(text))) {
    const time_point comment = std::chrono::steady_clock::now() + options_.quiet_time;
    while (goes_on() && position == log.end() && std::chrono::steady_clock::now() < comment)
      co_await told_.wait_until(comment);
    if (!goes_on()) co_return;
    const std::optional<std::string> more = log.read(position);
    if (!more) {
      position = log.end();
      text = log.single("reload", hello(false), position);
    } else {
      text = more->empty() ? ":\n\n" : *more;
    }
  }
}

Json RestEvents::hello(bool resumed) const {
  Json json;
  json.set("version", options_.version);
  json.set("resumed", resumed);
  return json;
}

/// Whether the client has taken it.
asio::awaitable<bool> RestEvents::written(std::shared_ptr<HttpStream> stream, std::string text) {
  struct Outcome {
    explicit Outcome(const asio::any_io_executor& io) : known(io) {}
    std::optional<bool> good;
    qemuctl::detail::Wakeup known;
  };
  const auto outcome = std::make_shared<Outcome>(executor_);
  stream->write(std::move(text), [outcome](bool good) {
    outcome->good = good;
    outcome->known.notify();
  });
  while (!outcome->good) co_await outcome->known.wait_until();
  co_return *outcome->good;
}

void RestEvents::show_changes() {
  forget_channels();
  for (const auto& channel : channels_) show_changes(*channel);
}

void RestEvents::show_changes(Channel& channel) {
  const RestApi::Picture picture = api_.look(channel.rights);
  std::map<std::string, std::string> vms, devices;
  const std::uint64_t before = channel.log.end();
  for (const VmState& vm : picture.vms) channel.show(vms, channel.vms, "vm", vm.name, api_.vm_json(vm, picture));
  for (std::size_t i = 0; i < picture.devices.size(); ++i)
    channel.show(devices, channel.devices, "device", picture.ids[i], api_.device_json(i, picture));
  channel.show_removed(devices, channel.devices, "device-removed", "id");
  channel.show_removed(vms, channel.vms, "vm-removed", "name");
  channel.vms = std::move(vms);
  channel.devices = std::move(devices);
  if (channel.log.end() != before) told_.notify();
}

void RestEvents::notify(const Notification& notification) {
  if (notification.lost > 0) announce_reload();
  if (notification.kind == Notification::Kind::vm_state) return; // the VM itself is reported
  const std::string id = api_.id_of(notification.device);
  for (const auto& channel : channels_) {
    const Rights& rights = channel->rights;
    const std::string& vm = notification.vm;
    if (vm.empty() ? !may_see(rights, notification.device) : rights.in(vm) < ApiLevel::read) continue;
    const DeviceState device = as_seen_by(rights, notification.device);
    const bool problem = notification.kind == Notification::Kind::degraded;
    Json json;
    json.set("what", word_of(notification.kind));
    json.set("device", id);
    json.set("description", short_description(device.device));
    json.set("vm", vm.empty() ? Json() : Json(vm));
    json.set("text", problem ? Json(device.degraded) : Json());
    channel->log.add("notification", json);
  }
  told_.notify();
}

void RestEvents::announce_reload() {
  for (const auto& channel : channels_) channel->log.add("reload", hello(false));
  told_.notify();
}

void RestEvents::end() {
  ending_ = true;
  told_.notify();
}

} // namespace hotplug::detail
