// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Requests of users for single devices.
#include "engine_impl.hpp"
#include "vm_pci.hpp"

#include <qemuctl/error.hpp>

#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace hotplug {

using detail::refuse;
using detail::time_point;
using detail::TrackedDevice;
using detail::VmPtr;
using qemuctl::Diagnostics;
using qemuctl::errc;
using std::chrono::steady_clock;

namespace {

/// The name that people know it by.
std::string subject_of(const Device& device) {
  std::string node = device_node_of(device);
  return node.empty() ? sys_name_of(device) : node;
}

constexpr const char* attaching = "attach a device";
constexpr const char* detaching = "detach a device";

} // namespace

void detail::refuse(errc code, const char* operation, std::string subject, std::string detail, std::string advice) {
  Diagnostics diagnostics;
  diagnostics.operation = operation;
  diagnostics.subject = std::move(subject);
  diagnostics.detail = std::move(detail);
  diagnostics.advice = std::move(advice);
  throw qemuctl::Error(code, std::move(diagnostics));
}

TrackedDevice& Engine::Impl::requested(const std::string& sys_path, const char* operation) {
  const auto found = devices.find(sys_path);
  if (found == devices.end()) refuse(errc::not_found, operation, sys_path, "there is no such device");
  if (found->second.state.foreign)
    refuse(errc::not_supported, operation, subject_of(found->second.state.device),
           fmt::format("VM {} has it, and no engine put it there", *found->second.state.vm),
           "Take it out with what put it there.");
  return found->second;
}

asio::awaitable<void> Engine::Impl::wait_for(time_point deadline, std::function<bool(bool late)> ended) {
  for (bool late = false;;) {
    co_await settled.wait_until(late ? time_point::max() : deadline);
    late = steady_clock::now() >= deadline;
    if (ended(late)) co_return;
  }
}

asio::awaitable<void> Engine::Impl::request_attach(std::string sys_path, std::string vm_name, std::string rom_file) {
  const auto self = shared_from_this();
  TrackedDevice& device = requested(sys_path, attaching);
  const std::string node = subject_of(device.state.device);
  const std::vector<std::string>& allowed = device.state.allowed_vms;
  if (allowed.empty()) refuse(errc::invalid_argument, attaching, node, "no rule lets it into a VM");
  if (vm_name.empty() && allowed.size() > 1)
    refuse(errc::invalid_argument, attaching, node,
           fmt::format("a VM has to be named: one of {}", fmt::join(allowed, ", ")));
  if (vm_name.empty()) vm_name = allowed.front();
  if (std::find(allowed.begin(), allowed.end(), vm_name) == allowed.end())
    refuse(errc::invalid_argument, attaching, node,
           fmt::format("the rules do not let it into VM {}, but into {}", vm_name, fmt::join(allowed, ", ")));
  const VmPtr vm = find_vm(vm_name);
  if (!vm || vm->state.link == LinkState::waiting || vm->state.link == LinkState::ended)
    refuse(errc::not_running, attaching, node, fmt::format("VM {} does not run", vm_name));
  if (vm->state.link == LinkState::blocked) refuse(errc::monitor_in_use, attaching, node, vm->state.problem);

  if (!rom_file.empty() && kind_of(device.state.device) != DeviceKind::pci)
    refuse(errc::invalid_argument, attaching, node, "only PCI devices have a ROM");
  if (std::string wrong = detail::rom_file_problem(rom_file); !wrong.empty())
    refuse(errc::invalid_argument, attaching, node, std::move(wrong));
  const bool is_there = device.state.vm == vm_name;
  if (is_there && !rom_file.empty() && rom_file != device.wish.rom_file)
    refuse(errc::not_supported, attaching, node, fmt::format("VM {} has it, without that ROM file", vm_name),
           "Detach it first.");

  const detail::Wish before = device.wish;
  device.wish.chosen = vm_name;
  if (!is_there) device.wish.rom_file = std::move(rom_file);
  device.wish.detached = device.wish.ask = device.wish.suspended = false;
  device.wish.taken = true;
  device.wish.left = false;
  device.quarantined_until.reset();
  device.try_at_once();
  device.problem.clear();
  const std::uint64_t request = ++device.request;
  changed();

  const auto ended = [&](bool late) {
    const auto found = devices.find(sys_path);
    if (stopped) refuse(errc::aborted, attaching, node, "the engine ends");
    if (found == devices.end()) refuse(errc::not_found, attaching, node, "it was pulled meanwhile");
    TrackedDevice& now = found->second;
    if (now.request != request) refuse(errc::aborted, attaching, node, "another request came meanwhile");
    if (now.state.vm == vm_name) {
      detail::Choice& choice = choice_of(now.state.device);
      choice.selected = vm_name;
      choice.rom_file = now.wish.rom_file;
      choice.detached = false;
      save_choices();
      return true;
    }
    std::string problem;
    if (!now.problem.empty())
      problem = now.problem.text;
    else if (vm->state.link == LinkState::blocked || vm->state.link == LinkState::waiting)
      problem = vm->state.problem.empty() ? fmt::format("VM {} does not run", vm_name) : vm->state.problem;
    // A command in progress has its own deadline: mapping the memory of a large guest for a card takes minutes.
    else if (late && !now.busy)
      problem = "it took too long";
    if (problem.empty()) return false;
    // Back to where it was.
    now.wish = before;
    now.problem.clear();
    now.try_at_once();
    changed();
    refuse(errc::command_failed, attaching, node, problem,
           before.current ? fmt::format("It goes back to VM {}.", *before.current) : std::string());
  };
  co_await wait_for(steady_clock::now() + options.request_timeout, ended);
}

asio::awaitable<void> Engine::Impl::request_detach(std::string sys_path) {
  const auto self = shared_from_this();
  TrackedDevice& device = requested(sys_path, detaching);
  const std::string node = subject_of(device.state.device);
  device.wish.detached = true;
  device.wish.suspended = false;
  device.problem.clear();
  // A guest that has not answered an earlier request is asked again at once.
  if (const VmPtr vm = device.state.vm ? find_vm(*device.state.vm) : nullptr)
    for (const detail::Qdev& qdev : vm->has.devices)
      if (qdev.host == detail::host_key(device.state.device)) vm->unplugs.erase(qdev.id);
  const std::uint64_t request = ++device.request;
  choice_of(device.state.device).detached = true;
  save_choices();
  changed();
  const auto ended = [&](bool late) {
    const auto found = devices.find(sys_path);
    if (found == devices.end() || (!found->second.state.vm && !found->second.busy)) return true;
    if (stopped) refuse(errc::aborted, detaching, node, "the engine ends");
    if (found->second.request != request) refuse(errc::aborted, detaching, node, "another request came meanwhile");
    if (!found->second.problem.empty()) refuse(errc::timed_out, detaching, node, found->second.problem.text);
    if (late)
      refuse(errc::timed_out, detaching, node, fmt::format("VM {} still has it", found->second.state.vm.value_or("?")),
             "It is tried again.");
    return false;
  };
  co_await wait_for(steady_clock::now() + options.request_timeout, ended);
}

asio::awaitable<void> Engine::Impl::request_detach_all() {
  const auto self = shared_from_this();
  leaving = true;
  changed();
  const auto ended = [&](bool late) {
    std::vector<std::string> left;
    for (const auto& [path, device] : devices) {
      const bool in_vm = device.state.vm && !device.state.foreign;
      if (device.busy || in_vm || (device.loan && !device.return_failed))
        left.push_back(subject_of(device.state.device) + (in_vm ? " (in VM " + *device.state.vm + ")" : ""));
    }
    if (left.empty() || stopped) return true;
    if (late)
      refuse(errc::timed_out, "detach all devices", {},
             fmt::format("not back with the host in time: {}", fmt::join(left, ", ")));
    return false;
  };
  co_await wait_for(steady_clock::now() + options.request_timeout, ended);
}

asio::awaitable<void> Engine::attach(std::string sys_path, std::string vm, std::string rom_file) {
  return impl_->request_attach(std::move(sys_path), std::move(vm), std::move(rom_file));
}

asio::awaitable<void> Engine::detach(std::string sys_path) {
  return impl_->request_detach(std::move(sys_path));
}

asio::awaitable<void> Engine::detach_all() {
  return impl_->request_detach_all();
}

} // namespace hotplug
