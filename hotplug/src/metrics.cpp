// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "metrics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace hotplug::detail {

namespace {

constexpr std::array<std::string_view, 3> kinds{"usb", "pci", "input"};
constexpr std::array<std::string_view, 8> device_states{"host",    "attached", "moving",    "waiting",
                                                        "problem", "detached", "suspended", "foreign"};
constexpr std::array<qemuctl::State, 7> vm_states{
    qemuctl::State::unknown,   qemuctl::State::prelaunch, qemuctl::State::running, qemuctl::State::paused,
    qemuctl::State::suspended, qemuctl::State::shutdown,  qemuctl::State::crashed};
/// Classes are ours, but a limit costs nothing.
constexpr std::size_t most_classes = 100;

std::string kind_name(const DeviceState& device) {
  const DeviceKind kind = kind_of(device.device);
  return kind == DeviceKind::input ? "input" : std::string(to_string(kind));
}

LinkState link_of(const std::vector<VmState>& vms, const std::string& name) {
  const auto found = std::ranges::find(vms, name, &VmState::name);
  return found == vms.end() ? LinkState::waiting : found->link;
}

/// Whether a VM could take a device at once.
bool is_ready(LinkState link) {
  return link == LinkState::connected || link == LinkState::yielded;
}

std::string head(std::string_view name, std::string_view type, std::string_view help) {
  return fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
}

std::string by_kind(std::string_view name, std::string_view help, const std::map<std::string, std::uint64_t>& counts) {
  std::string text = head(name, "counter", help);
  for (const std::string_view kind : kinds) {
    const auto found = counts.find(std::string(kind));
    text += fmt::format("{}{{kind=\"{}\"}} {}\n", name, kind, found == counts.end() ? 0 : found->second);
  }
  return text;
}

} // namespace

void Metrics::count(const Notification& notification) {
  if (notification.kind == Notification::Kind::degraded)
    ++failed_[{kind_name(notification.device), notification.device.problem}];
}

void Metrics::count_failure(std::string_view name) {
  const auto found = problems_.find(name);
  if (found != problems_.end())
    ++found->second;
  else if (problems_.size() < most_classes)
    problems_.emplace(name, 1);
}

void Metrics::observe(const std::vector<VmState>& vms, const std::vector<DeviceState>& devices, time_point now) {
  std::map<std::string, Seen> before = std::exchange(seen_, {});
  for (const DeviceState& device : devices) {
    const auto known = before.find(sys_path_of(device.device));
    const Seen was = known == before.end() ? Seen() : std::move(known->second);
    Seen is;
    is.kind = kind_name(device);
    if (!device.foreign) is.vm = device.vm;
    if (device.target && device.vm != device.target) {
      const LinkState link = link_of(vms, *device.target);
      if (is_ready(link)) is.on_its_way = was.on_its_way.value_or(now);
      if (link == LinkState::connecting) is.on_its_way = was.on_its_way; // a new one may turn out to be there already
    }
    if (was.vm && was.vm != is.vm) ++detached_[is.kind];
    if (was.on_its_way && is.vm && is.vm != was.vm) {
      ++attached_[is.kind];
      measure(now - *was.on_its_way);
    }
    seen_.insert_or_assign(sys_path_of(device.device), std::move(is));
    if (known != before.end()) before.erase(known);
  }
  for (const auto& [path, gone] : before)
    if (gone.vm) ++detached_[gone.kind];
}

void Metrics::measure(std::chrono::duration<double> time) {
  for (std::size_t i = 0; i < limits.size(); ++i)
    if (time.count() <= limits.at(i)) ++within_.at(i);
  ++measured_;
  seconds_ += time.count();
}

std::string Metrics::text(const std::vector<VmState>& vms, const std::vector<DeviceState>& devices) const {
  std::string text = head("qemuctl_vms", "gauge", "VMs by state.");
  for (const qemuctl::State state : vm_states) {
    std::size_t count = 0;
    for (const VmState& vm : vms) count += vm.status.state == state ? 1 : 0;
    text += fmt::format("qemuctl_vms{{state=\"{}\"}} {}\n", qemuctl::to_string(state), count);
  }
  std::map<std::pair<std::string, std::string_view>, std::size_t> there;
  for (const DeviceState& device : devices) ++there[{kind_name(device), state_of(device)}];
  text += head("qemuctl_devices", "gauge", "Devices of the host by kind and state.");
  for (const std::string_view kind : kinds)
    for (const std::string_view state : device_states)
      text += fmt::format("qemuctl_devices{{kind=\"{}\",state=\"{}\"}} {}\n", kind, state,
                          there[{std::string(kind), state}]);
  text += by_kind("qemuctl_attaches_total", "Devices that VMs got.", attached_);
  text += by_kind("qemuctl_detaches_total", "Devices that left VMs.", detached_);
  text +=
      head("qemuctl_device_problems_total", "counter", "Times that a device was not where it was to be, by reason.");
  for (const auto& [of, count] : failed_)
    text += fmt::format("qemuctl_device_problems_total{{kind=\"{}\",class=\"{}\"}} {}\n", of.first,
                        to_string(of.second), count);
  text += head("qemuctl_request_failures_total", "counter", "Requests to the REST API that failed, by class.");
  for (const auto& [name, count] : problems_)
    text += fmt::format("qemuctl_request_failures_total{{class=\"{}\"}} {}\n", name, count);
  text += head("qemuctl_attach_seconds", "histogram", "From the decision that a VM gets a device until it has it.");
  for (std::size_t i = 0; i < limits.size(); ++i)
    text += fmt::format("qemuctl_attach_seconds_bucket{{le=\"{}\"}} {}\n", limits.at(i), within_.at(i));
  text += fmt::format("qemuctl_attach_seconds_bucket{{le=\"+Inf\"}} {0}\nqemuctl_attach_seconds_sum {1}\n"
                      "qemuctl_attach_seconds_count {0}\n",
                      measured_, seconds_);
  return text;
}

} // namespace hotplug::detail
