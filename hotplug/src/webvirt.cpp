// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "webvirt.hpp"

#include "device_template.hpp"

#include <qemuctl/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace hotplug::detail {

using qemuctl::errc;
using qemuctl::Json;
using qemuctl::State;

namespace {

/// The version of webvirt whose answers these are.
constexpr const char* version = "0.2.0";

/// Its answer to an error of the engine: webvirt has fewer statuses than `/api/1`.
HttpResponse failed(const qemuctl::Error& error) {
  HttpResponse meaning = problem(error.code(), {});
  const int status = meaning.status == 403 ? 403 : meaning.status == 503 || meaning.status == 504 ? 503 : 422;
  return webvirt_problem(status, std::move(meaning.failure), error.what());
}

HttpResponse word(std::string_view text) {
  return json_response(Json(text));
}

} // namespace

HttpResponse webvirt_problem(int status, std::string failure, std::string_view detail) {
  Json json;
  json.set("detail", detail);
  HttpResponse response = json_response(json, status);
  response.failure = std::move(failure);
  return response;
}

std::string_view webvirt_state(const qemuctl::VmStatus& status) {
  switch (status.state) {
  case State::running:
    return "running";
  case State::paused:
    return status.run_state == "io-error" ? "blocked on resource" : "paused by user";
  case State::prelaunch:
    return "paused by user";
  case State::suspended:
    return "suspended by guest power management";
  case State::shutdown:
    return status.process_alive ? "being shutdown" : "shut off";
  case State::crashed:
    return "crashed";
  case State::unknown:
    break;
  }
  return "";
}

Webvirt::Webvirt(Engine& engine, std::filesystem::path devices_dir)
    : engine_(engine), devices_dir_(std::move(devices_dir)), actions_(engine, ApiServerOptions()) {}

asio::awaitable<HttpResponse> Webvirt::answer(HttpRequest request, std::vector<std::string> path, Rights rights) {
  if (request.method != "GET") {
    HttpResponse response = webvirt_problem(405, "wrong-method", "Method Not Allowed");
    response.set("Allow", "GET");
    co_return response;
  }
  if (path.size() == 1 && path[0] == "version") co_return word(version);
  const bool of_domain = path.size() == 2 && (path[0] == "state" || path[0] == "start" || path[0] == "shutdown");
  const bool of_device = path.size() == 3 && (path[0] == "attach" || path[0] == "detach");
  if (!of_domain && !of_device) co_return webvirt_problem(404, "not-found", "Not Found");
  const std::vector<VmState> vms = engine_.vms();
  const bool known =
      rights.in(path[1]) >= ApiLevel::read && std::ranges::find(vms, path[1], &VmState::name) != vms.end();
  if (!known) co_return webvirt_problem(404, "not-found", "there is no domain " + Json(path[1].substr(0, 100)).dump());
  std::optional<HttpResponse> refused;
  try {
    if (of_domain) co_return co_await act(path[0], path[1], rights);
    const bool attach = path[0] == "attach";
    co_return co_await move(std::move(request), attach, path[1], path[2], rights);
  } catch (const qemuctl::Error& error) {
    refused = failed(error);
  }
  co_return std::move(*refused);
}

asio::awaitable<HttpResponse> Webvirt::act(std::string action, std::string domain, Rights rights) {
  const std::vector<VmState> vms = engine_.vms();
  const auto vm = std::ranges::find(vms, domain, &VmState::name);
  const bool runs = vm->link != LinkState::waiting && vm->link != LinkState::ended;
  if (action == "state") {
    if (!runs) co_return word("shut off");
    const std::shared_ptr<qemuctl::Instance> instance = co_await engine_.connect_vm(domain);
    const qemuctl::VmStatus status = co_await instance->query_status();
    const std::string_view state = webvirt_state(status);
    if (state.empty()) co_return webvirt_problem(503, "not-connected", "QEMU does not answer");
    co_return word(state);
  }
  if (action == "start" && runs) co_return word("already running");
  if (action == "shutdown" && !runs) co_return word("not running");
  ApiRequest what = vm_request(action == "start" ? ApiAction::vm_start : ApiAction::vm_shutdown, domain);
  co_await actions_.carry_out(std::move(what), std::move(rights));
  co_return word(action == "start" ? "starting" : "shutting down");
}

asio::awaitable<HttpResponse> Webvirt::move(HttpRequest request, bool attach, std::string domain, std::string name,
                                            Rights rights) {
  std::optional<TemplateValues> values = query_of(request.target);
  if (!values) co_return webvirt_problem(422, "wrong-query", "the query cannot be read");
  std::optional<TemplateDevice> device;
  std::optional<HttpResponse> refused;
  try {
    device = load_template(devices_dir_, name, *values);
  } catch (const qemuctl::Error& error) {
    const std::string& detail = error.diagnostics().detail;
    refused = error.code() == errc::not_found ? webvirt_problem(404, "not-found", detail) : failed(error);
  }
  if (refused) co_return std::move(*refused);
  std::vector<DeviceState> devices = engine_.devices();
  std::erase_if(
      devices, [&](const DeviceState& each) { return kind_of(each.device) != device->kind || !may_see(rights, each); });
  const DeviceState& found = find_device(devices, device->selector);
  if (!attach && found.vm != domain)
    co_return webvirt_problem(422, "not-possible", fmt::format("the device is not in VM {}", domain));
  ApiRequest what = attach ? device_request(ApiAction::attach, found.device, domain)
                           : device_request(ApiAction::detach, found.device);
  what.rom_file = std::move(device->rom_file);
  co_await actions_.carry_out(std::move(what), std::move(rights));
  Json json;
  json.set("device", attach ? "attached" : "detached");
  json.set("xml", device->text);
  co_return json_response(json);
}

} // namespace hotplug::detail
