// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "instance_impl.hpp"

#include <algorithm>
#include <string_view>

namespace qemuctl {
namespace {

using ImplPtr = std::shared_ptr<Instance::Impl>;

std::string text_or_empty(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  return value && value->is_string() ? value->as_string() : std::string();
}

asio::awaitable<UnplugResult> unplug(ImplPtr impl, std::string id, std::chrono::milliseconds timeout) {
  // virtio devices emit a second DEVICE_DELETED for a child, without `device`: only an exact match counts.
  EventFilter about_it = [id](const Event& event) {
    if (event.name != "DEVICE_DELETED" && event.name != "DEVICE_UNPLUG_GUEST_ERROR") return false;
    return text_or_empty(event.data, "device") == id || text_or_empty(event.data, "path") == id;
  };
  EventSubscription events = impl->qmp.subscribe(std::move(about_it), 8);
  const auto deadline = detail::deadline_in(timeout);
  ExecuteOptions in_time;
  in_time.timeout = std::min(timeout, impl->qmp.options().command_timeout);
  try {
    Json arguments = Json::object({{"id", id}});
    co_await impl->execute("device_del", std::move(arguments), std::move(in_time));
  } catch (const Error& error) {
    // QEMU has the request, but is busy with another or stuck.
    if (error.code() == errc::interrupted && impl->qmp.is_open() && std::chrono::steady_clock::now() >= deadline)
      co_return UnplugResult::timed_out;
    // An earlier request the guest has not answered yet: this call waits for the same answer.
    const bool pending = error.code() == errc::command_failed &&
                         error.diagnostics().server_text.find("already in the process of unplug") != std::string::npos;
    if (!pending) throw;
  }
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  try {
    const std::optional<Event> event = co_await events.next(left);
    if (!event)
      impl->fail(errc::interrupted, "unplug device " + id, "the VM or its monitor was gone before the device was", "");
    co_return event->name == "DEVICE_DELETED" ? UnplugResult::deleted : UnplugResult::rejected;
  } catch (const Error& error) {
    if (error.code() != errc::timed_out) throw;
    co_return UnplugResult::timed_out;
  }
}

} // namespace

asio::awaitable<void> Instance::device_add(Json properties) {
  auto impl = impl_;
  co_await impl->execute("device_add", std::move(properties));
}

asio::awaitable<UnplugResult> Instance::device_del(std::string id, std::chrono::milliseconds timeout) {
  return unplug(impl_, std::move(id), timeout);
}

asio::awaitable<std::string> Instance::human_monitor_command(std::string command_line) {
  auto impl = impl_;
  Json arguments = Json::object({{"command-line", std::move(command_line)}});
  const Json reply = co_await impl->execute("human-monitor-command", std::move(arguments));
  co_return reply.as_string();
}

} // namespace qemuctl
