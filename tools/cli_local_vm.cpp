// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "cli_local_vm.hpp"

#include "api_message.hpp"
#include "api_request.hpp"
#include "vm_control.hpp"

#include <qemuctl/instance.hpp>

#include <fmt/core.h>

#include <memory>
#include <string_view>
#include <utility>

namespace tool {

using qemuctl::Instance;
using qemuctl::Json;

asio::awaitable<Json> ask_vm(CliOptions options, Json message) {
  qemuctl::AttachOptions how;
  how.on_warning = [](std::string_view text) { fmt::print(stderr, "qemuctl: warning: {}\n", text); };
  std::shared_ptr<Instance> vm;
  if (options.pid)
    vm = std::make_shared<Instance>(co_await Instance::attach_by_pid(*options.pid, std::move(how)));
  else
    vm = std::make_shared<Instance>(
        co_await Instance::attach(qemuctl::parse_monitor_address(options.vm_socket), std::move(how)));
  message.set("vm", vm->name());
  hotplug::detail::ApiRequest request = hotplug::detail::parse_request(message);
  Json answer = hotplug::detail::ok_answer();
  if (request.known->action == hotplug::detail::ApiAction::vm_status) {
    const qemuctl::VmStatus status = co_await vm->query_status();
    hotplug::VmState state;
    state.name = vm->name();
    state.link = hotplug::LinkState::connected;
    state.pid = vm->pid();
    answer.set("vm", hotplug::detail::to_json(state, &status));
    co_return answer;
  }
  const Json more = co_await hotplug::detail::control_vm(vm, std::move(request));
  if (more.is_object())
    for (const auto& [key, value] : more.as_object()) answer.set(key, value);
  co_return answer;
}

} // namespace tool
