// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "rest_api.hpp"

#include "vm_control.hpp"

#include <hotplug/explanation.hpp>
#include <qemuctl/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace hotplug::detail {

using qemuctl::errc;
using qemuctl::Json;

namespace {

constexpr std::size_t max_nesting = 16;

HttpResponse not_found(std::string_view what) {
  return problem(404, "not-found", fmt::format("there is no {}", what));
}

std::string in_quotes(const std::string& name) {
  return Json(name.substr(0, 100)).dump();
}

bool is_get(const HttpRequest& request) {
  return request.method == "GET" || request.method == "HEAD";
}

/// One resource, with its entity tag, which may be in it; nothing but that when the client has it.
HttpResponse resource(const HttpRequest& request, const Json& json) {
  HttpResponse response = json_response(json);
  const Json* own = json.find("etag");
  const std::string etag = own ? own->as_string() : etag_of(response.body);
  const bool known = is_get(request) && has_etag(request.header("if-none-match"), etag);
  if (known) response = HttpResponse(304);
  response.set("ETag", etag);
  response.set("Cache-Control", "no-cache");
  return response;
}

/// The body as an object; an empty one when there is none. What is wrong with it is thrown as a response.
struct BadBody {
  HttpResponse response;
};

Json body_of(const HttpRequest& request) {
  if (request.body.empty()) return Json::object();
  if (!is_content_type(request.header("content-type"), "application/json"))
    throw BadBody{problem(415, "wrong-type", "a body has to be of the type application/json")};
  try {
    qemuctl::JsonParseOptions how;
    how.max_depth = max_nesting;
    how.refuse_duplicate_keys = true;
    how.source = "body";
    Json json = qemuctl::parse_json(request.body, how);
    if (!json.is_object()) throw BadBody{problem(400, "wrong-body", "the body has to be a JSON object")};
    return json;
  } catch (const qemuctl::Error& error) {
    throw BadBody{problem(400, "wrong-body", error.what())};
  }
}

/// The request of the device API that means the same, with what is in the body. Throws `qemuctl::Error`.
ApiRequest request_for(const std::string& action, const std::string& name, const Json& body) {
  std::string known = "vm_" + action;
  std::ranges::replace(known, '-', '_');
  Json message;
  message.set("action", known);
  message.set("vm", name);
  for (const auto& [key, value] : body.as_object()) message.set(key, value);
  return parse_request(message);
}

/// What may be in the body of an action.
std::vector<std::string_view> members_of(std::string_view action) {
  if (action == "stop") return {"timeout"};
  if (action == "send-key") return {"keys"};
  return {};
}

bool is_action(std::string_view name) {
  for (const char* known : {"start", "shutdown", "stop", "pause", "resume", "reset", "send-key"})
    if (name == known) return true;
  return false;
}

/// What the resource at that path takes, one after the other; empty: there is no such resource.
std::vector<std::string_view> methods_of(const std::vector<std::string>& path) {
  const bool device = path[0] == "devices", vm = path[0] == "vms";
  const bool list = device || vm || path[0] == "rules" || path[0] == "permissions" || path[0].empty();
  const auto has = [&](std::size_t size, std::string_view last) { return path.size() == size && path[2] == last; };
  if (vm && has(4, "actions")) return {"POST"};
  if (device && has(3, "attachment")) return {"GET", "HEAD", "PUT", "DELETE"};
  const bool read = (path.size() == 1 && list) || (path.size() == 2 && (device || vm)) ||
                    (device && has(3, "explanation")) || (vm && has(3, "screenshot.png"));
  return read ? std::vector<std::string_view>{"GET", "HEAD"} : std::vector<std::string_view>();
}

/// The first member that means nothing; empty: all do.
std::string unknown_member(const Json& body, const std::vector<std::string_view>& known) {
  for (const auto& [key, value] : body.as_object())
    if (std::ranges::find(known, key) == known.end()) return key;
  return {};
}

HttpResponse means_nothing(const std::string& member) {
  return problem(400, "wrong-body", fmt::format("unknown member {}", in_quotes(member)));
}

} // namespace

RestApi::RestApi(Engine& engine, ApiServerOptions options)
    : engine_(engine), options_(std::move(options)), actions_(engine, options_) {}

RestApi::Picture RestApi::look(const Rights& rights) {
  Picture picture;
  std::vector<DeviceState> all = engine_.devices();
  std::vector<std::string> ids = ids_.of(all);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (!may_see(rights, all[i])) continue;
    picture.held.push_back(why_held(rights, all[i]));
    picture.devices.push_back(as_seen_by(rights, std::move(all[i])));
    picture.ids.push_back(std::move(ids[i]));
  }
  picture.rights = rights;
  picture.vms = engine_.vms();
  std::erase_if(picture.vms, [&](const VmState& vm) { return rights.in(vm.name) < ApiLevel::read; });
  return picture;
}

std::string RestApi::id_of(const DeviceState& device) {
  ids_.of(engine_.devices());
  return ids_.of(device);
}

Json RestApi::vm_json(const VmState& vm, const Picture& picture) const {
  return vm_resource(vm, picture.devices, picture.ids);
}

Json RestApi::device_json(std::size_t index, const Picture& picture) const {
  return device_resource(picture.devices[index], picture.ids[index], {picture.rights, picture.held[index]}, picture.vms,
                         engine_.rules());
}

asio::awaitable<HttpResponse> RestApi::answer(HttpRequest request, std::vector<std::string> path, Rights rights) {
  if (rights.anywhere() < ApiLevel::read)
    co_return problem(403, "not-permitted", "you may see nothing here; see general.api.permissions");
  if (path.empty()) path.emplace_back();
  const std::vector<std::string_view> methods = methods_of(path);
  if (methods.empty()) co_return not_found("such resource; see /docs");
  if (std::ranges::find(methods, request.method) == methods.end()) {
    const std::string all = fmt::format("{}", fmt::join(methods, ", "));
    HttpResponse wrong = problem(405, "wrong-method", "this resource takes " + all);
    wrong.set("Allow", all);
    co_return wrong;
  }
  std::optional<HttpResponse> refused;
  try {
    if (path[0] == "devices") co_return co_await answer_devices(std::move(request), std::move(path), std::move(rights));
    if (path[0] == "vms") co_return co_await answer_vms(std::move(request), std::move(path), std::move(rights));
  } catch (const BadBody& bad) {
    refused = bad.response;
  }
  if (refused) co_return std::move(*refused);
  if (path[0] == "permissions") co_return resource(request, permission_resource(rights));
  if (path[0] == "rules") {
    if (rights.everywhere < ApiLevel::read) co_return problem(403, "not-permitted", "rules are about all VMs");
    Json json;
    json.set("rules", rule_resources(engine_.rules()));
    co_return resource(request, json);
  }
  Json json;
  json.set("version", options_.version);
  Json resources = Json::array();
  for (const char* each : {"vms", "devices", "rules", "permissions", "events"})
    resources.push_back(std::string("/api/1/") + each);
  json.set("resources", std::move(resources));
  co_return json_response(json);
}

asio::awaitable<HttpResponse> RestApi::answer_devices(HttpRequest request, std::vector<std::string> path,
                                                      Rights rights) {
  const Picture picture = look(rights);
  if (path.size() == 1) {
    const auto parameters = query_of(request.target);
    if (!parameters) co_return problem(400, "wrong-query", "the query cannot be read");
    std::string kind;
    for (const auto& [name, value] : *parameters)
      if (name == "kind") kind = value;
    if (!kind.empty() && kind != "usb" && kind != "pci" && kind != "input")
      co_return problem(400, "wrong-query",
                        fmt::format("{} is not a kind of device (usb, pci, input)", in_quotes(kind)));
    Json list = Json::array();
    for (std::size_t i = 0; i < picture.devices.size(); ++i) {
      Json device = device_json(i, picture);
      if (kind.empty() || device.at("kind") == Json(kind)) list.push_back(std::move(device));
    }
    Json json;
    json.set("devices", std::move(list));
    co_return resource(request, json);
  }
  const auto found = std::ranges::find(picture.ids, path[1]);
  if (found == picture.ids.end()) co_return not_found("device " + in_quotes(path[1]));
  const auto index = static_cast<std::size_t>(found - picture.ids.begin());
  if (path.size() == 2) co_return resource(request, device_json(index, picture));
  if (path[2] == "explanation") {
    if (rights.everywhere < ApiLevel::read) co_return problem(403, "not-permitted", "rules are about all VMs");
    std::vector<Device> all;
    for (const DeviceState& each : picture.devices) all.push_back(each.device);
    Json json;
    json.set("device", path[1]);
    json.set("text", explanation(engine_.rules(), picture.devices[index].device, all));
    co_return json_response(json);
  }
  co_return co_await move(std::move(request), path[1], rights);
}

asio::awaitable<HttpResponse> RestApi::move(HttpRequest request, std::string id, Rights rights) {
  const bool attach = request.method == "PUT";
  const Picture before = look(rights);
  const auto index = static_cast<std::size_t>(std::ranges::find(before.ids, id) - before.ids.begin());
  const Json shown = device_json(index, before);
  if (is_get(request)) {
    Json json;
    json.set("vm", shown.at("vm"));
    json.set("targetVm", shown.at("targetVm"));
    co_return json_response(json);
  }
  const std::string_view wanted = request.header("if-match");
  if (!wanted.empty() && !has_etag(wanted, shown.at("etag").as_string(), EtagComparison::strong))
    co_return problem(412, "changed", "the device has changed since you last read it; nothing was done");
  std::string vm;
  if (attach) {
    const Json body = body_of(request);
    if (const std::string member = unknown_member(body, std::vector<std::string_view>(1, "vm")); !member.empty())
      co_return means_nothing(member);
    const Json* named = body.find("vm");
    if (named && !named->is_null() && !named->is_string())
      co_return problem(400, "wrong-body", "vm has to be the name of a VM");
    if (named && named->is_string()) vm = named->as_string();
    const bool known = std::ranges::any_of(before.vms, [&](const VmState& each) { return each.name == vm; });
    if (!vm.empty() && !known) co_return problem(422, "no-such-vm", "there is no VM " + in_quotes(vm));
  }
  ApiRequest what =
      device_request(attach ? ApiAction::attach : ApiAction::detach, before.devices[index].device, std::move(vm));
  co_await actions_.carry_out(std::move(what), rights);
  const Picture after = look(rights);
  const auto now = std::ranges::find(after.ids, id);
  if (now == after.ids.end()) co_return HttpResponse(204); // it was pulled meanwhile
  co_return resource(request, device_json(static_cast<std::size_t>(now - after.ids.begin()), after));
}

asio::awaitable<HttpResponse> RestApi::answer_vms(HttpRequest request, std::vector<std::string> path, Rights rights) {
  const Picture picture = look(rights);
  if (path.size() == 1) {
    Json list = Json::array();
    for (const VmState& vm : picture.vms) list.push_back(vm_json(vm, picture));
    Json json;
    json.set("vms", std::move(list));
    co_return resource(request, json);
  }
  const auto vm = std::ranges::find(picture.vms, path[1], &VmState::name);
  if (vm == picture.vms.end()) co_return not_found("VM " + in_quotes(path[1]));
  if (path.size() == 2) co_return resource(request, vm_json(*vm, picture));
  if (path.size() == 3) co_return co_await screenshot(path[1], rights);
  if (!is_action(path[3])) co_return not_found("action " + in_quotes(path[3]));
  co_return co_await act(std::move(request), path[1], path[3], rights);
}

asio::awaitable<HttpResponse> RestApi::act(HttpRequest request, std::string name, std::string action, Rights rights) {
  const Json body = body_of(request);
  if (const std::string member = unknown_member(body, members_of(action)); !member.empty())
    co_return means_nothing(member);
  ApiRequest what;
  std::optional<HttpResponse> refused;
  try {
    what = request_for(action, name, body);
  } catch (const qemuctl::Error& error) {
    refused = problem(400, "wrong-body", error.what());
  }
  if (refused) co_return std::move(*refused);
  Json answer;
  try {
    answer = co_await actions_.carry_out(std::move(what), rights);
  } catch (const qemuctl::Error& error) {
    if (error.code() != errc::not_found) throw;
    co_return problem(422, "not-possible", error.what()); // the VM is there; a file that it needs is not
  }
  if (action == "start" || action == "stop") co_await wait_until_seen(name, action == "start");
  Json json;
  for (const auto& [key, value] : answer.as_object())
    if (key != "result") json.set(key, value);
  const Picture after = look(rights);
  const auto vm = std::ranges::find(after.vms, name, &VmState::name);
  if (vm != after.vms.end()) json.set("vm", vm_json(*vm, after));
  co_return json_response(json);
}

/// Until the engine has seen a VM run, or end, so that an answer shows it as it is then.
asio::awaitable<void> RestApi::wait_until_seen(std::string name, bool running) {
  constexpr std::chrono::seconds enough{2};
  const auto deadline = std::chrono::steady_clock::now() + enough;
  while (std::chrono::steady_clock::now() < deadline) {
    const std::vector<VmState> vms = engine_.vms();
    const auto vm = std::ranges::find(vms, name, &VmState::name);
    if (vm == vms.end()) co_return;
    const bool ended = vm->link == LinkState::waiting || vm->link == LinkState::ended;
    if (running ? !ended && vm->link != LinkState::connecting : ended) co_return;
    co_await engine_.settled(deadline);
  }
}

asio::awaitable<HttpResponse> RestApi::screenshot(std::string name, Rights rights) {
  if (rights.in(name) < ApiLevel::admin)
    co_return problem(403, "not-permitted", "a screenshot requires the level \"admin\"");
  const std::shared_ptr<qemuctl::Instance> vm = co_await engine_.connect_vm(name);
  const Screenshot picture = co_await take_screenshot(vm);
  if (picture.format != qemuctl::ScreenshotFormat::png)
    co_return problem(409, "not-supported",
                      "this QEMU cannot write PNG: it is older than 7.1, or was built without libpng");
  co_return HttpResponse(200, "image/png", picture.bytes);
}

} // namespace hotplug::detail
