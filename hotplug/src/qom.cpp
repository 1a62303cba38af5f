// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "qom.hpp"

#include <qemuctl/error.hpp>

#include <string_view>
#include <utility>

namespace hotplug::detail {

using qemuctl::errc;
using qemuctl::Error;
using qemuctl::Instance;
using qemuctl::Json;

namespace {

/// "usb-host" of "child<usb-host>"; empty: it is no child.
std::string_view child_type(std::string_view type) {
  constexpr std::string_view begin = "child<";
  if (!type.starts_with(begin) || !type.ends_with('>')) return {};
  return type.substr(begin.size(), type.size() - begin.size() - 1);
}

bool is_gone(const Error& error) {
  return error.code() == errc::command_failed && error.diagnostics().qmp_class == "DeviceNotFound";
}

} // namespace

asio::awaitable<std::vector<QomChild>> qom_children(Instance& vm, std::string path) {
  std::vector<QomChild> result;
  Json arguments;
  arguments.set("path", std::move(path));
  try {
    const Json list = co_await vm.execute("qom-list", std::move(arguments));
    for (const Json& item : list.as_array()) {
      const std::string_view type = child_type(item.at("type").as_string());
      if (!type.empty()) result.push_back({item.at("name").as_string(), std::string(type)});
    }
  } catch (const Error& error) {
    if (error.code() != errc::command_failed) throw;
  }
  co_return result;
}

asio::awaitable<Json> qom_property(Instance& vm, std::string path, std::string name) {
  Json arguments;
  arguments.set("path", std::move(path));
  arguments.set("property", std::move(name));
  try {
    Json value = co_await vm.execute("qom-get", std::move(arguments));
    co_return value;
  } catch (const Error& error) {
    if (error.code() != errc::command_failed) throw;
  }
  co_return Json();
}

asio::awaitable<int> qom_number(Instance& vm, std::string path, std::string name) {
  const Json value = co_await qom_property(vm, std::move(path), std::move(name));
  co_return value.is_integer() ? static_cast<int>(value.as_int()) : 0;
}

asio::awaitable<std::string> qom_text(Instance& vm, std::string path, std::string name) {
  const Json value = co_await qom_property(vm, std::move(path), std::move(name));
  co_return value.is_string() ? value.as_string() : std::string();
}

asio::awaitable<bool> delete_qdev(Instance& vm, std::string id, std::chrono::milliseconds timeout) {
  try {
    const qemuctl::UnplugResult result = co_await vm.device_del(std::move(id), timeout);
    co_return result == qemuctl::UnplugResult::deleted;
  } catch (const Error& error) {
    // That is what was asked for.
    if (!is_gone(error)) throw;
  }
  co_return true;
}

asio::awaitable<bool> ask_to_delete_qdev(Instance& vm, std::string id) {
  Json arguments;
  arguments.set("id", std::move(id));
  try {
    co_await vm.execute("device_del", std::move(arguments));
  } catch (const Error& error) {
    if (is_gone(error)) co_return false;
    // It was asked before.
    if (error.diagnostics().server_text.find("already in the process of unplug") == std::string::npos) throw;
  }
  co_return true;
}

} // namespace hotplug::detail
