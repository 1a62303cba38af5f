// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Which USB devices the host may use: only those that the configuration names.
#include "engine_impl.hpp"
#include "guard.hpp"
#include "sysfs_attribute.hpp"
#include "sysfs_writer.hpp"
#include "usb_authorization.hpp"

#include <hotplug/explanation.hpp>

#include <algorithm>
#include <utility>

namespace hotplug {

using detail::AuthorizationBefore;
using detail::TrackedDevice;
using std::chrono::steady_clock;

namespace {

constexpr const char* lock_name = "usb-authorization";

/// Restores a root hub's default for new devices; returns the problem, if any.
std::string restore_hub(const AuthorizationBefore& before) {
  const std::string attribute = detail::default_authorization_file(before.sys_name);
  const std::string now = detail::read_attribute(attribute);
  return now.empty() || now == before.value ? std::string() : detail::write_attribute(attribute, before.value);
}

/// Whether this is still the same device and was authorised before. One that was not is left as it is: somebody may
/// have authorised it since.
bool was_taken_from_host(const AuthorizationBefore& before) {
  return before.value == "1" &&
         detail::read_attribute("/sys/bus/usb/devices/" + before.sys_name + "/devnum") == before.address &&
         detail::read_attribute(detail::authorization_file(before.sys_name)) == "0";
}

} // namespace

void Engine::Impl::begin_authorization() {
  const bool journalled = !authorization_journal.all().empty();
  if (!authorization.enable && !journalled) return;
  std::string holder;
  try {
    if (!authorization_claim)
      authorization_claim =
          detail::Claim::take(options.runtime_dir / "claims", lock_name, "the authorisation of USB devices", holder);
  } catch (const qemuctl::Error& error) {
    holder = error.what();
  }
  if (!authorization_claim) {
    if (authorization.enable)
      log(LogLevel::error, "usbAuthorization has no effect here: another engine has it: {}", holder);
    return;
  }
  if (!authorization.enable) { // what an engine left that died, or had another configuration
    if (!restoring) tasks.start(restore_authorization());
    return;
  }
  for (const std::string& hub : detail::root_hubs()) take_over_hub(hub);
}

void Engine::Impl::take_over_hub(const std::string& root_hub) {
  const std::string attribute = detail::default_authorization_file(root_hub);
  const std::string before = detail::read_attribute(attribute);
  if (before.empty()) return;
  try {
    authorization_journal.add({root_hub, {}, before});
  } catch (const qemuctl::Error& error) { // without it the host would not get it back
    log(LogLevel::error, "{}: USB devices are authorised without being looked at: {}", root_hub, error.what());
    return;
  }
  if (before == "0") return;
  if (const std::string problem = detail::write_attribute(attribute, "0"); !problem.empty())
    log(LogLevel::error, "{}: USB devices are authorised without being looked at: {}: {}", root_hub, attribute,
        problem);
}

void Engine::Impl::on_hub(const UsbHub& hub) {
  if (!authorization.enable || !authorization_claim) return;
  if (hub.is_root())
    take_over_hub(hub.sys_name);
  else if (!hub.authorized)
    tasks.start(authorize_hub(hub.sys_name));
}

asio::awaitable<void> Engine::Impl::authorize_hub(std::string sys_name) {
  const std::string problem = co_await write_authorization(sys_name, true);
  if (!problem.empty()) log(LogLevel::warning, "hub {} is not authorised: {}", sys_name, problem);
}

asio::awaitable<std::string> Engine::Impl::write_authorization(std::string sys_name, bool authorized) {
  std::vector<detail::SysfsWrite> writes;
  writes.push_back({detail::authorization_file(sys_name), authorized ? "1" : "0"});
  try {
    const detail::SysfsOutcome outcome =
        co_await detail::write_sysfs(executor, std::move(writes), options.driver_timeout);
    co_return outcome.problem;
  } catch (const std::system_error& error) {
    if (detail::is_cancelled(error)) throw;
    co_return error.what();
  }
}

std::optional<bool> Engine::Impl::authorization_of(const TrackedDevice& device) const {
  if (!authorization.enable || !authorization_claim || stopped) return std::nullopt;
  const auto* usb = std::get_if<UsbDevice>(&device.state.device);
  if (!usb) return std::nullopt;
  detail::AuthorizationCase facts;
  const detail::VmPtr vm = device.state.target ? find_vm(*device.state.target) : nullptr;
  const LinkState link = vm ? vm->state.link : LinkState::ended;
  const bool runs = link == LinkState::connected || link == LinkState::connecting || link == LinkState::yielded;
  facts.in_vm = device.state.vm || runs || device.busy;
  facts.was_in_vm = device.was_in_vm;
  facts.has_rule = device.state.rule.has_value();
  facts.host_allow = host_rules.evaluate(*usb).rule.has_value();
  facts.was_there = !device.plugged;
  facts.sweep = authorization.deauthorize_unmatched;
  const std::optional<bool> wanted = detail::wanted_authorization(facts);
  if (!usb->authorized || wanted != false) return wanted;
  // Checked only before deauthorising, because it takes a while.
  facts.host_uses = !detail::host_use_of(usb->sys_path).empty();
  return detail::wanted_authorization(facts);
}

void Engine::Impl::follow_authorization(detail::time_point now, detail::time_point& next) {
  for (auto& [path, device] : devices) {
    const auto* usb = std::get_if<UsbDevice>(&device.state.device);
    if (!usb || device.busy || device.state.vm) continue;
    const std::optional<bool> wanted = authorization_of(device);
    if (!wanted || *wanted == usb->authorized) continue;
    if (device.authorize_at > now) {
      next = std::min(next, device.authorize_at);
      continue;
    }
    tasks.start(authorize(detail::Step(shared_from_this(), nullptr, path), *wanted));
  }
}

asio::awaitable<void> Engine::Impl::authorize(detail::Step step, bool wanted) {
  constexpr std::chrono::seconds pause_after_failure{30};
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation()); // it has a deadline
  TrackedDevice* device = step.device();
  if (!device) co_return;
  const UsbDevice usb = std::get<UsbDevice>(device->state.device);
  std::string problem;
  try {
    authorization_journal.add(detail::authorization_before(usb));
    problem = co_await write_authorization(usb.sys_name, wanted);
  } catch (const qemuctl::Error& error) { // without it the host would not get it back
    problem = error.what();
  }
  device = step.device();
  if (!device || detail::host_key(device->state.device) != detail::host_key(usb)) co_return;
  if (problem.empty()) {
    std::get<UsbDevice>(device->state.device).authorized = wanted;
    log(LogLevel::debug, "{} is {}", short_description(usb), wanted ? "authorised" : "not authorised any more");
    co_return;
  }
  device->authorize_at = steady_clock::now() + pause_after_failure;
  device->problem = {ProblemKind::kernel,
                     fmt::format("it cannot be {}: {}", wanted ? "authorised" : "taken away from the host", problem)};
  log(LogLevel::warning, "{}: {}", short_description(usb), device->problem.text);
  if (wanted) note_failure(*device);
}

asio::awaitable<void> Engine::Impl::restore_authorization() {
  const auto self = shared_from_this();
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation()); // each write has a deadline
  restoring = true;
  for (const AuthorizationBefore& before : authorization_journal.all()) {
    if (authorization.enable && !stopped) break; // it has been switched on again meanwhile
    std::string problem;
    if (before.address.empty()) {
      problem = restore_hub(before);
    } else if (was_taken_from_host(before)) {
      problem = co_await write_authorization(before.sys_name, true);
      for (auto& [path, device] : devices) // of which the kernel tells nobody
        if (auto* usb = std::get_if<UsbDevice>(&device.state.device); usb && usb->sys_name == before.sys_name)
          usb->authorized = detail::read_attribute(detail::authorization_file(before.sys_name)) == "1";
    }
    if (problem.empty())
      authorization_journal.remove(before.name());
    else
      log(LogLevel::error, "{} does not get back what it had for \"authorized\" ({}): {}", before.sys_name,
          before.value, problem);
  }
  restoring = false;
  if (!authorization.enable || stopped) authorization_claim = {};
}

} // namespace hotplug
