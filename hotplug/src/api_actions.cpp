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

void require(ApiLevel level, const Rights& rights, const std::string& vm) {
  if (rights.in(vm) < ApiLevel::read) not_permitted("you may not do this: it concerns a VM that you may not see");
  if (rights.in(vm) < level)
    not_permitted(fmt::format("you may not do this to VM {}: it takes the level \"{}\"", vm, to_string(level)));
}

void require_everywhere(ApiLevel level, const Rights& rights) {
  if (rights.everywhere < level)
    not_permitted(fmt::format("you may not do this: it takes the level \"{}\" for all VMs", to_string(level)));
}

/// That it may be taken from where it is, and put into that VM (empty: that is not known yet).
void require_move(const Rights& rights, const Placement& place, const std::string& to) {
  if (!to.empty()) require(ApiLevel::attach, rights, to);
  if (place.vm && *place.vm != to) require(ApiLevel::attach, rights, *place.vm);
}

/// That it may be taken out. Of one that is nowhere that means: kept out.
void require_removal(const Rights& rights, const Placement& place) {
  if (place.vm) return require(ApiLevel::attach, rights, *place.vm);
  const auto may = [&](const std::string& vm) { return rights.in(vm) >= ApiLevel::attach; };
  if (rights.everywhere < ApiLevel::attach && std::none_of(place.allowed_vms.begin(), place.allowed_vms.end(), may))
    not_permitted("you may not do this to a device that is for none of your VMs");
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
  refuse_request(errc::not_found, fmt::format("there is no VM {}", Json(name.substr(0, 100)).dump()));
}

} // namespace

std::vector<DeviceState> ApiActions::visible(const Rights& rights, std::optional<DeviceKind> kind) const {
  std::vector<DeviceState> devices = engine_.devices();
  std::erase_if(devices, [&](const DeviceState& each) {
    return (kind && kind_of(each.device) != kind) || !may_see(rights, each);
  });
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

asio::awaitable<void> ApiActions::move(ApiRequest request, Rights rights) {
  const bool attach = request.known->action == Action::attach;
  std::vector<DeviceState> devices = visible(rights, request.known->kind);
  if (request.tag.empty()) {
    DeviceState only = find_device(devices, request.device);
    devices.clear();
    devices.push_back(std::move(only));
  } else {
    const Rules& rules = engine_.rules();
    std::erase_if(devices, [&](const DeviceState& each) { return !has_tag(each, rules, request.tag); });
    if (devices.empty()) refuse_request(errc::not_found, "there is no device with that tag");
  }
  const auto target = [&](const DeviceState& each) {
    return request.vm.empty() && each.allowed_vms.size() == 1 ? each.allowed_vms.front() : request.vm;
  };
  for (const DeviceState& each : devices)
    if (attach)
      require_move(rights, each, target(each));
    else
      require_removal(rights, each);
  std::exception_ptr failure; // the others of that tag are moved all the same
  for (const DeviceState& each : devices) {
    try {
      if (attach)
        co_await engine_.attach(sys_path_of(each.device), target(each), request.rom_file);
      else
        co_await engine_.detach(sys_path_of(each.device));
    } catch (const qemuctl::Error&) {
      if (!failure) failure = std::current_exception();
    }
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
  const KnownAction& known = *request.known;
  if (rights.anywhere() < known.level)
    not_permitted(fmt::format("you may not ask for {}: it takes the level \"{}\"", known.name, to_string(known.level)));
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
    co_await move(std::move(request), std::move(rights));
    break;
  case Action::suspend:
  case Action::resume:
    co_await move_all(std::move(request), std::move(rights));
    break;
  case Action::explain: {
    require_everywhere(known.level, rights);
    const std::vector<DeviceState> devices = visible(rights, std::nullopt);
    answer.set("explanation", explanation(engine_.rules(), find_device(devices, request.device).device));
    break;
  }
  case Action::vm_list:
    answer.set("vms", list_vms(rights));
    break;
  case Action::reload:
    require_everywhere(known.level, rights);
    if (!options_.reload) refuse_request(errc::not_supported, "there is no file that could be read anew");
    options_.reload();
    break;
  case Action::authenticate:
  case Action::enable_notifications: // done by the connection
    break;
  default:
    answer = co_await act_on_vm(std::move(request), std::move(rights));
  }
  co_return answer;
}

} // namespace hotplug::detail
