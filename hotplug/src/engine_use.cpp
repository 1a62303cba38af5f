// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Requests of users for VMs: their monitors, their start, and all of their devices at once.
#include "engine_impl.hpp"

#include <hotplug/explanation.hpp>
#include <qemuctl/error.hpp>
#include <qemuctl/vm_config_json.hpp>

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace hotplug {

using detail::refuse;
using detail::TrackedDevice;
using detail::VmPtr;
using qemuctl::errc;
using qemuctl::Instance;
using std::chrono::steady_clock;

namespace {

std::string subject_of(const std::string& vm) {
  return vm.empty() ? "all VMs" : "VM " + vm;
}

/// The names of those of the devices that are present.
std::vector<std::string> names_of(const std::map<std::string, TrackedDevice>& devices,
                                  const std::set<std::string>& paths) {
  std::vector<std::string> names;
  for (const std::string& path : paths)
    if (const auto found = devices.find(path); found != devices.end())
      names.push_back(short_description(found->second.state.device));
  return names;
}

/// Keeps a VM's monitor connected.
struct Use {
  Use(std::shared_ptr<Engine::Impl> of_engine, VmPtr of_vm) : engine(std::move(of_engine)), vm(std::move(of_vm)) {
    ++vm->users;
    engine->changed();
  }
  ~Use() {
    --vm->users;
    engine->changed();
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

  std::shared_ptr<Engine::Impl> engine;
  VmPtr vm;
  std::shared_ptr<Instance> instance;
};

} // namespace

asio::awaitable<std::shared_ptr<Instance>> Engine::Impl::request_connection(std::string name) {
  constexpr const char* operation = "use the monitor";
  const std::string subject = "VM " + name;
  const VmPtr vm = find_vm(name);
  if (!vm) refuse(errc::not_found, operation, subject, "there is no such VM");
  const auto use = std::make_shared<Use>(shared_from_this(), vm);
  const auto ended = [&](bool late) {
    const LinkState link = vm->state.link;
    if (vm->removed || link == LinkState::waiting || link == LinkState::ended)
      refuse(errc::not_running, operation, subject, "it does not run");
    if (link == LinkState::blocked) refuse(errc::monitor_in_use, operation, subject, vm->state.problem);
    if (link == LinkState::connected && vm->instance) {
      use->instance = vm->instance;
      return true;
    }
    if (stopped) refuse(errc::aborted, operation, subject, "the engine ends");
    if (late) refuse(errc::timed_out, operation, subject, "it does not answer");
    return false;
  };
  if (!ended(false)) co_await wait_for(steady_clock::now() + options.request_timeout, ended);
  co_return std::shared_ptr<Instance>(use, use->instance.get());
}

asio::awaitable<int> Engine::Impl::request_start(std::string name) {
  constexpr const char* operation = "start the VM";
  const std::string subject = "VM " + name;
  const auto self = shared_from_this();
  const VmPtr vm = find_vm(name);
  if (!vm) refuse(errc::not_found, operation, subject, "there is no such VM");
  if (vm->state.link != LinkState::waiting && vm->state.link != LinkState::ended)
    refuse(errc::already_running, operation, subject, "it runs already");
  if (vm->entry.config.empty())
    refuse(errc::not_supported, operation, subject, "it is not known how",
           "Give it a \"config\", the path of a vm.json.");
  // Its public monitor is found as if somebody else had launched it.
  const Instance started = co_await launch_vm(vm);
  co_return started.pid().value_or(0);
}

asio::awaitable<void> Engine::Impl::request_suspend(DeviceKind kind, std::string vm) {
  const auto self = shared_from_this();
  std::set<std::string> waiting; // by path
  for (auto& [path, device] : devices) {
    const DeviceState& state = device.state;
    if (kind_of(state.device) != kind || state.foreign || (!state.vm && !state.target)) continue;
    if (!vm.empty() && state.vm != vm && state.target != vm) continue;
    if (state.rule && rules.rule(kind, *state.rule).skip_on_suspend) continue;
    device.wish.suspended = true;
    ++device.request;
    waiting.insert(path);
  }
  changed();
  const auto ended = [&](bool late) {
    std::erase_if(waiting, [&](const std::string& path) {
      const auto found = devices.find(path);
      return found == devices.end() || !found->second.wish.suspended ||
             (!found->second.busy && !found->second.state.vm);
    });
    if (waiting.empty() || stopped) return true;
    if (late)
      refuse(errc::timed_out, "suspend devices", subject_of(vm),
             fmt::format("still there in time: {}", fmt::join(names_of(devices, waiting), ", ")));
    return false;
  };
  co_await wait_for(steady_clock::now() + options.request_timeout, ended);
}

asio::awaitable<void> Engine::Impl::request_resume(DeviceKind kind, std::string vm) {
  const auto self = shared_from_this();
  std::map<std::string, std::uint64_t> waiting; // by path: the request, so that another one ends the wait
  for (auto& [path, device] : devices) {
    if (kind_of(device.state.device) != kind || !device.wish.suspended) continue;
    if (!vm.empty() && device.wish.current != vm) continue;
    device.wish.suspended = false;
    device.wish.left = false;
    device.try_at_once();
    device.problem.clear();
    waiting.emplace(path, ++device.request);
  }
  changed();
  if (waiting.empty()) co_return;
  std::string problem;
  const auto ended = [&](bool late) {
    std::erase_if(waiting, [&](const auto& entry) {
      const auto found = devices.find(entry.first);
      if (found == devices.end() || found->second.request != entry.second) return true;
      const TrackedDevice& device = found->second;
      const bool failed = !device.problem.empty();
      if (failed && problem.empty())
        problem = fmt::format("{}: {}", short_description(device.state.device), device.problem.text);
      return failed || device.state.vm == device.state.target;
    });
    if (waiting.empty() || stopped) return true;
    if (!late) return false;
    std::set<std::string> left;
    for (const auto& [path, request] : waiting) left.insert(path);
    problem = fmt::format("not back in time: {}", fmt::join(names_of(devices, left), ", "));
    return true;
  };
  co_await wait_for(steady_clock::now() + options.request_timeout, ended);
  if (!problem.empty() && !stopped)
    refuse(errc::command_failed, "resume devices", subject_of(vm), problem, "It is tried again.");
}

asio::awaitable<std::shared_ptr<Instance>> Engine::connect_vm(std::string name) {
  return impl_->request_connection(std::move(name));
}

asio::awaitable<int> Engine::start_vm(std::string name) {
  return impl_->request_start(std::move(name));
}

asio::awaitable<void> Engine::suspend(DeviceKind kind, std::string vm) {
  return impl_->request_suspend(kind, std::move(vm));
}

asio::awaitable<void> Engine::resume(DeviceKind kind, std::string vm) {
  return impl_->request_resume(kind, std::move(vm));
}

} // namespace hotplug
