// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Which USB devices the host may use: none that nobody has said so of.
#include "engine_impl.hpp"
#include "guard.hpp"
#include "sysfs_writer.hpp"
#include "usb_authorization.hpp"

#include <hotplug/explanation.hpp>

#include <algorithm>
#include <utility>

namespace hotplug {

using detail::TrackedDevice;
using std::chrono::steady_clock;

namespace {

constexpr const char* lock_name = "usb-authorization";

std::string journal_name(const UsbDevice& device) {
  // Not that of another device in the same port, which has another number.
  return fmt::format("{}@{}", device.sys_name, device.address);
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
    authorization_journal.add(root_hub, before);
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
  std::vector<detail::SysfsWrite> writes;
  writes.push_back({detail::authorization_file(sys_name), "1", false});
  detail::SysfsOutcome outcome;
  try {
    outcome = co_await detail::write_sysfs(executor, std::move(writes), options.driver_timeout);
  } catch (const std::system_error& error) {
    if (detail::is_cancelled(error)) throw;
    outcome.problem = error.what();
  }
  if (!outcome.problem.empty()) log(LogLevel::warning, "hub {} is not authorised: {}", sys_name, outcome.problem);
}

std::optional<bool> Engine::Impl::authorization_of(const TrackedDevice& device) const {
  if (!authorization.enable || !authorization_claim || stopped) return std::nullopt;
  const auto* usb = std::get_if<UsbDevice>(&device.state.device);
  if (!usb) return std::nullopt;
  detail::AuthorizationCase facts;
  facts.authorized = usb->authorized;
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
  // Only what is to be taken away is worth the look.
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
    device.busy = true;
    tasks.start(authorize(path, *wanted));
  }
}

asio::awaitable<void> Engine::Impl::authorize(std::string sys_path, bool wanted) {
  constexpr std::chrono::seconds pause_after_failure{30};
  const detail::Step step(shared_from_this(), nullptr, sys_path);
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation()); // it has a deadline
  TrackedDevice* device = step.device();
  if (!device) co_return;
  const UsbDevice usb = std::get<UsbDevice>(device->state.device);
  std::vector<detail::SysfsWrite> writes;
  writes.push_back({detail::authorization_file(usb.sys_name), wanted ? "1" : "0", false});
  detail::SysfsOutcome outcome;
  try {
    authorization_journal.add(journal_name(usb), usb.authorized ? "1" : "0");
    outcome = co_await detail::write_sysfs(executor, std::move(writes), options.driver_timeout);
  } catch (const std::system_error& error) {
    outcome.problem = error.what();
  }
  device = step.device();
  if (!device || detail::host_key(device->state.device) != detail::host_key(usb)) co_return;
  if (outcome.problem.empty()) {
    std::get<UsbDevice>(device->state.device).authorized = wanted;
    log(LogLevel::debug, "{} is {}", short_description(usb), wanted ? "authorised" : "not authorised any more");
    co_return;
  }
  device->authorize_at = steady_clock::now() + pause_after_failure;
  device->problem = {
      ProblemKind::kernel,
      fmt::format("it cannot be {}: {}", wanted ? "authorised" : "taken away from the host", outcome.problem)};
  log(LogLevel::warning, "{}: {}", short_description(usb), device->problem.text);
  if (wanted) note_failure(*device);
}

asio::awaitable<void> Engine::Impl::restore_authorization() {
  const auto self = shared_from_this();
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation()); // each write has a deadline
  restoring = true;
  for (const auto& [name, value] : authorization_journal.all()) {
    if (authorization.enable && !stopped) break; // it has been switched on again meanwhile
    const std::size_t at = name.find('@');
    std::string problem;
    if (at == std::string::npos) {
      const std::string attribute = detail::default_authorization_file(name);
      const std::string now = detail::read_attribute(attribute);
      if (!now.empty() && now != value) problem = detail::write_attribute(attribute, value);
    } else if (value == "1") { // what was not authorised before stays as it is: the host may use it by now
      const std::string sys_name = name.substr(0, at), attribute = detail::authorization_file(sys_name);
      const std::string address = detail::read_attribute("/sys/bus/usb/devices/" + sys_name + "/devnum");
      if (address == name.substr(at + 1) && detail::read_attribute(attribute) == "0") {
        std::vector<detail::SysfsWrite> writes;
        writes.push_back({attribute, "1", false});
        try {
          const detail::SysfsOutcome outcome =
              co_await detail::write_sysfs(executor, std::move(writes), options.driver_timeout);
          problem = outcome.problem;
        } catch (const std::system_error& error) {
          problem = error.what();
        }
        for (auto& [path, device] : devices)
          if (auto* usb = std::get_if<UsbDevice>(&device.state.device); usb && usb->sys_name == sys_name)
            usb->authorized = detail::read_attribute(attribute) == "1"; // of which the kernel tells nobody
      }
    }
    if (problem.empty())
      authorization_journal.remove(name);
    else
      log(LogLevel::error, "{} does not get back what it had for \"authorized\" ({}): {}", name, value, problem);
  }
  restoring = false;
  if (!authorization.enable || stopped) authorization_claim = {};
}

} // namespace hotplug
