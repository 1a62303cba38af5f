// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "api_actions.hpp"

#include "api_message.hpp"
#include "start_devices.hpp"
#include "vm_control.hpp"

#include <hotplug/explanation.hpp>
#include <qemuctl/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

namespace hotplug::detail {

using qemuctl::errc;
using qemuctl::Json;

namespace {

using Action = ApiAction;

[[noreturn]] void not_permitted(std::string what) {
  refuse_request(std::make_error_code(std::errc::permission_denied), std::move(what),
                 "See general.api.permissions of the service's configuration.");
}

std::string quoted(const std::string& vm) {
  constexpr std::size_t enough = 100;
  return Json(vm.substr(0, enough)).dump();
}

void require(ApiLevel level, const Rights& rights, const std::string& vm) {
  if (rights.in(vm) < ApiLevel::read) not_permitted("this concerns a VM that you may not see");
  if (rights.in(vm) < level)
    not_permitted(
        fmt::format("you may not do this to VM {}: it requires the level \"{}\"", quoted(vm), to_string(level)));
}

void require_everywhere(ApiLevel level, const Rights& rights) {
  if (rights.everywhere < level)
    not_permitted(fmt::format("you may not do this: it requires the level \"{}\" for all VMs", to_string(level)));
}

/// That it may be taken from each other VM that it is in, is meant for, or returns to when it is resumed.
void require_release(const Rights& rights, const Placement& place, const std::string& to = {}) {
  for (const std::optional<std::string>& vm : {place.vm, place.target, place.returns_to})
    if (vm && *vm != to) require(ApiLevel::attach, rights, *vm);
}

/// That it may be taken out. Of one that is nowhere that means: kept out.
void require_removal(const Rights& rights, const Placement& place) {
  require_release(rights, place);
  const auto may = [&](const std::string& vm) { return rights.in(vm) >= ApiLevel::attach; };
  const bool is_theirs = place.vm || place.target || place.returns_to;
  if (!is_theirs && rights.everywhere < ApiLevel::attach &&
      std::none_of(place.allowed_vms.begin(), place.allowed_vms.end(), may))
    not_permitted("you may not do this to a device that is for none of your VMs");
}

[[noreturn]] void can_not_attach(const DeviceState& device, std::string detail) {
  qemuctl::Diagnostics diagnostics;
  diagnostics.operation = "attach a device";
  diagnostics.subject = device_node_of(device.device);
  if (diagnostics.subject.empty()) diagnostics.subject = sys_name_of(device.device);
  diagnostics.detail = std::move(detail);
  throw qemuctl::Error(errc::invalid_argument, std::move(diagnostics));
}

/// The VM that a device is to go to. `seen`: without VMs that the client may not see, so that no error names one. When
/// it names none, and need not, the device stays where it is or is meant to be; otherwise it goes where it was last, or
/// to the first.
std::string destination(const DeviceState& seen, const std::string& named, bool any) {
  const std::vector<std::string>& allowed = seen.allowed_vms;
  const auto allows = [&](const std::string& vm) {
    return std::find(allowed.begin(), allowed.end(), vm) != allowed.end();
  };
  if (allowed.empty()) can_not_attach(seen, "no rule lets it into a VM");
  if (!named.empty() && !allows(named))
    can_not_attach(
        seen, fmt::format("the rules do not let it into VM {}, but into {}", quoted(named), fmt::join(allowed, ", ")));
  if (!named.empty()) return named;
  if (!any && allowed.size() > 1)
    can_not_attach(seen, fmt::format("a VM has to be named: one of {}", fmt::join(allowed, ", ")));
  for (const std::optional<std::string>& vm : {seen.vm, seen.target, seen.chosen})
    if (vm && allows(*vm)) return *vm;
  return allowed.front();
}

bool has_tag(const DeviceState& state, const Rules& rules, const std::string& tag) {
  const RuleBase* rule = rule_of(state, rules);
  return rule && rule->tag == tag;
}

const VmState* find_vm(const std::vector<VmState>& vms, const std::string& name) {
  const auto found = std::find_if(vms.begin(), vms.end(), [&](const VmState& vm) { return vm.name == name; });
  return found == vms.end() ? nullptr : &*found;
}

[[noreturn]] void no_such_vm(const std::string& name) {
  refuse_request(errc::not_found, fmt::format("there is no VM {}", quoted(name)));
}

} // namespace

std::vector<DeviceState> ApiActions::visible(const Rights& rights, std::optional<DeviceKind> kind) const {
  std::vector<DeviceState> devices = engine_.devices();
  std::erase_if(devices, [&](const DeviceState& each) {
    return (kind && kind_of(each.device) != kind) || !may_see(rights, each);
  });
  for (DeviceState& each : devices) each = as_seen_by(rights, std::move(each));
  return devices;
}

Json ApiActions::list(const ApiRequest& request, const Rights& rights) const {
  const Rules& rules = engine_.rules();
  Json list = Json::array();
  for (const DeviceState& each : visible(rights, request.known->kind)) {
    if (request.disconnected && *request.disconnected != each.detached) continue;
    if (!request.tag.empty() && !has_tag(each, rules, request.tag)) continue;
    if (request.known->kind) {
      list.push_back(to_json(each, rules));
      continue;
    }
    Json device;
    device.set("type", to_string(kind_of(each.device)));
    const Json described = to_json(each, rules);
    for (const auto& [key, value] : described.as_object()) device.set(key, value);
    list.push_back(std::move(device));
  }
  return list;
}

Json ApiActions::list_vms(const Rights& rights) const {
  Json list = Json::array();
  for (const VmState& vm : engine_.vms())
    if (rights.in(vm.name) >= ApiLevel::read) list.push_back(to_json(vm));
  return list;
}

asio::awaitable<void> ApiActions::move_one(std::string sys_path, ApiRequest request, CurrentRights rights) {
  const std::vector<DeviceState> devices = engine_.devices();
  const auto found = std::find_if(devices.begin(), devices.end(),
                                  [&](const DeviceState& each) { return sys_path_of(each.device) == sys_path; });
  if (found == devices.end() || !may_see(*rights, *found)) refuse_request(errc::not_found, "the device has gone");
  if (request.known->action == Action::detach) {
    require_removal(*rights, *found);
    co_return co_await engine_.detach(std::move(sys_path));
  }
  const std::string to = destination(as_seen_by(*rights, *found), request.vm, request.any_vm);
  require(ApiLevel::attach, *rights, to);
  require_release(*rights, *found, to);
  const bool sees_all = rights->everywhere >= ApiLevel::read;
  try {
    co_await engine_.attach(std::move(sys_path), to, std::move(request.rom_file));
  } catch (const qemuctl::Error& error) {
    if (sees_all) throw;
    qemuctl::Diagnostics diagnostics = error.diagnostics();
    diagnostics.advice.clear(); // it may name the VM that the device goes back to
    throw qemuctl::Error(error.code(), std::move(diagnostics));
  }
}

asio::awaitable<void> ApiActions::move(ApiRequest request, CurrentRights rights, Report report) {
  std::vector<DeviceState> devices = visible(*rights, request.known->kind);
  if (request.tag.empty()) {
    std::string only = sys_path_of(find_device(devices, request.device).device);
    co_return co_await move_one(std::move(only), std::move(request), std::move(rights));
  }
  const Rules& rules = engine_.rules();
  std::erase_if(devices, [&](const DeviceState& each) { return !has_tag(each, rules, request.tag); });
  if (devices.empty()) refuse_request(errc::not_found, "there is no device with that tag");
  std::exception_ptr failure; // the others of that tag are moved all the same
  for (const DeviceState& each : devices) {
    std::string problem;
    try {
      asio::awaitable<void> one = move_one(sys_path_of(each.device), request, rights);
      co_await std::move(one);
    } catch (const qemuctl::Error& error) {
      if (!failure) failure = std::current_exception();
      problem = error.what();
    }
    if (report) report(each, problem);
  }
  if (failure) std::rethrow_exception(failure);
}

asio::awaitable<void> ApiActions::move_all(ApiRequest request, Rights rights) {
  if (request.vm.empty()) {
    require_everywhere(ApiLevel::attach, rights);
  } else {
    const std::vector<VmState> vms = engine_.vms();
    if (rights.in(request.vm) < ApiLevel::read || !find_vm(vms, request.vm)) no_such_vm(request.vm);
    require(ApiLevel::attach, rights, request.vm);
  }
  const DeviceKind kind = *request.known->kind;
  if (request.known->action == Action::suspend)
    co_await engine_.suspend(kind, request.vm);
  else
    co_await engine_.resume(kind, request.vm);
}

asio::awaitable<Json> ApiActions::vm_status(std::string name) {
  qemuctl::VmStatus status;
  const std::vector<VmState> before = engine_.vms();
  const VmState* vm = find_vm(before, name);
  if (vm->link == LinkState::waiting || vm->link == LinkState::ended) {
    status.state = qemuctl::State::shutdown;
    status.process_alive = false;
    co_return to_json(*vm, &status);
  }
  std::string problem;
  try {
    const std::shared_ptr<qemuctl::Instance> instance = co_await engine_.connect_vm(name);
    status = co_await instance->query_status();
  } catch (const qemuctl::Error& error) {
    problem = error.what(); // its state is not known, and that is an answer, too
  }
  const std::vector<VmState> after = engine_.vms();
  const VmState* now = find_vm(after, name);
  VmState shown = now ? *now : *vm;
  if (shown.problem.empty()) shown.problem = problem;
  co_return to_json(shown, &status);
}

asio::awaitable<Json> ApiActions::vmm_args(ApiRequest request) {
  const StartArguments start = co_await engine_.prepare_start(request.vm, std::move(request.start));
  Json list = Json::array();
  for (const std::string& argument : start.arguments) list.push_back(argument);
  if (start.uefi)
    for (const std::string& argument : ovmf_arguments(options_.ovmf_code, options_.ovmf_vars)) list.push_back(argument);
  co_return list;
}

asio::awaitable<Json> ApiActions::act_on_vm(ApiRequest request, Rights rights) {
  const std::vector<VmState> vms = engine_.vms();
  const bool visible = rights.in(request.vm) >= ApiLevel::read;
  if (!visible || !find_vm(vms, request.vm)) no_such_vm(request.vm);
  require(request.known->level, rights, request.vm);
  Json answer = ok_answer();
  switch (request.known->action) {
  case Action::vm_status: {
    Json vm = co_await vm_status(request.vm);
    answer.set("vm", std::move(vm));
    break;
  }
  case Action::vm_start: {
    const int pid = co_await engine_.start_vm(request.vm);
    answer.set("pid", pid);
    break;
  }
  case Action::vmm_args: {
    Json arguments = co_await vmm_args(std::move(request));
    answer.set("vmm_args", std::move(arguments));
    break;
  }
  default: {
    const std::shared_ptr<qemuctl::Instance> instance = co_await engine_.connect_vm(request.vm);
    const Json more = co_await control_vm(instance, std::move(request));
    if (more.is_object())
      for (const auto& [key, value] : more.as_object()) answer.set(key, value);
  }
  }
  co_return answer;
}

asio::awaitable<Json> ApiActions::carry_out(ApiRequest request, Rights rights) {
  return carry_out(std::move(request), std::make_shared<const Rights>(std::move(rights)), Report());
}

asio::awaitable<Json> ApiActions::carry_out(ApiRequest request, CurrentRights now, Report report) {
  const KnownAction& known = *request.known;
  const Rights rights = *now;
  if (rights.anywhere() < known.level)
    not_permitted(fmt::format("you may not use {}: it requires the level \"{}\"", known.name, to_string(known.level)));
  Json answer = ok_answer();
  switch (known.action) {
  case Action::version:
    answer.set("version", options_.version);
    break;
  case Action::list:
    answer.set(member_name(*known.kind) + "s", list(request, rights));
    break;
  case Action::device_list:
    answer.set("devices", list(request, rights));
    break;
  case Action::attach:
  case Action::detach:
    co_await move(std::move(request), std::move(now), std::move(report));
    break;
  case Action::suspend:
  case Action::resume:
    co_await move_all(std::move(request), rights);
    break;
  case Action::explain: {
    require_everywhere(known.level, rights);
    const std::vector<DeviceState> devices = visible(rights, std::nullopt);
    std::vector<Device> all;
    for (const DeviceState& each : devices) all.push_back(each.device);
    answer.set("explanation", explanation(engine_.rules(), find_device(devices, request.device).device, all));
    break;
  }
  case Action::vm_list:
    answer.set("vms", list_vms(rights));
    break;
  case Action::reload:
    require_everywhere(known.level, rights);
    if (!options_.reload) refuse_request(errc::not_supported, "there is no file to reload");
    options_.reload();
    break;
  case Action::authenticate:
  case Action::enable_notifications: // done by the connection
    break;
  default:
    answer = co_await act_on_vm(std::move(request), rights);
  }
  co_return answer;
}

} // namespace hotplug::detail
