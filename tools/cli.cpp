// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "cli.hpp"

#include "cli_devices.hpp"
#include "cli_local_vm.hpp"
#include "text.hpp"
#include "text_file.hpp"

#include <hotplug/client.hpp>
#include <qemuctl/error.hpp>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <fmt/chrono.h>
#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <fstream>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>

namespace tool {

namespace {

using hotplug::ApiClient;
using qemuctl::Json;
using Command = CliOptions::Command;

constexpr int good = 0, failed = 1;
/// More than the service waits for a VM to stop.
constexpr std::chrono::seconds slack{30};

Json message(std::string_view action) {
  Json json;
  json.set("action", action);
  return json;
}

void print_json(const Json& json) {
  fmt::print("{}\n", json.dump());
}

/// What `base64` of the service has written.
std::string decoded(std::string_view text) {
  std::string bytes;
  std::uint32_t group = 0;
  int digits = 0;
  for (const char c : text) {
    std::uint32_t value = 0;
    if (c >= 'A' && c <= 'Z')
      value = static_cast<std::uint32_t>(c - 'A');
    else if (c >= 'a' && c <= 'z')
      value = static_cast<std::uint32_t>(c - 'a' + 26);
    else if (c >= '0' && c <= '9')
      value = static_cast<std::uint32_t>(c - '0' + 52);
    else if (c == '+')
      value = 62;
    else if (c == '/')
      value = 63;
    else
      break;
    group = group << 6 | value;
    digits = (digits + 1) % 4;
    if (digits == 1) continue; // not yet a byte
    bytes.push_back(static_cast<char>(group >> ((4 - digits) % 4 * 2) & 0xff));
  }
  return bytes;
}

/// The word of several that a person has typed the number of, or itself.
std::string choose(const std::string& what, const std::vector<std::string>& words) {
  fmt::print(stderr, "{} may go to:\n", what);
  for (std::size_t i = 0; i < words.size(); ++i)
    fmt::print(stderr, "  {}  {}\n", i + 1, qemuctl::detail::printable(words[i]));
  for (;;) {
    fmt::print(stderr, "Which VM? ");
    std::string line;
    if (!std::getline(std::cin, line)) throw std::runtime_error("no VM was chosen");
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), number);
    if (error == std::errc() && end == line.data() + line.size() && number >= 1 && number <= words.size())
      return words[number - 1];
    for (const std::string& word : words)
      if (word == line) return word;
  }
}

/// One run of the program.
class Cli {
 public:
  explicit Cli(CliOptions options) : options_(std::move(options)) {}

  asio::awaitable<void> run() {
    switch (options_.command) {
    case Command::list:
      return list();
    case Command::attach:
    case Command::detach:
      return move();
    case Command::vm_list:
      return list_vms();
    case Command::vm:
      return act_on_vm();
    case Command::listen:
      return listen();
    case Command::explain:
      return explain();
    case Command::move_all:
    case Command::other:
      break;
    }
    return other();
  }

 private:
  asio::awaitable<void> connect() {
    hotplug::ApiClientOptions how;
    how.token = token();
    if (options_.timeout) how.request_timeout = std::chrono::seconds(*options_.timeout) + slack;
    std::vector<hotplug::ApiAddress> addresses;
    if (options_.service)
      addresses.push_back(*options_.service);
    else
      addresses = hotplug::default_api_addresses();
    client_.emplace(co_await ApiClient::connect_any(std::move(addresses), std::move(how)));
  }

  std::string token() const {
    if (!options_.token_file.empty()) {
      constexpr std::size_t enough = 64 << 10;
      const std::string text =
          qemuctl::detail::read_text_file(options_.token_file, enough, "read the token for the device API");
      // The last word of the first line, so that a line of the service's own file will do.
      const std::string line = text.substr(0, text.find_first_of("\r\n"));
      return line.substr(line.find_last_of(" \t") + 1);
    }
    // Only where a token may be wanted: no other service is to learn it.
    const bool by_tcp = options_.service && std::holds_alternative<hotplug::ApiTcpAddress>(*options_.service);
    const char* variable = by_tcp ? std::getenv("QEMUCTL_TOKEN") : nullptr;
    return variable ? variable : "";
  }

  asio::awaitable<Json> ask(Json request) {
    if (options_.without_service()) return ask_vm(options_, std::move(request));
    return client_->request(std::move(request));
  }

  /// The devices of one kind.
  asio::awaitable<Json> devices_of(std::string kind) {
    Json request = message(kind + "_list"); // "device" is all of them
    if (!options_.tag.empty()) request.set("tag", options_.tag);
    if (options_.disconnected) request.set("disconnected", true);
    Json answer = co_await ask(std::move(request));
    const Json* list = answer.find(kind == "device" ? "devices" : kind + "_devices");
    if (!list || !list->is_array()) throw std::runtime_error("the answer of the service has no list of devices");
    Json devices = *list;
    co_return devices;
  }

  /// What there is to be said of each VM; nothing when the service does not tell.
  asio::awaitable<VmProblems> vm_problems() {
    VmProblems problems;
    try {
      const Json answer = co_await ask(message("vm_list"));
      for (const Json& vm : answer.at("vms").as_array()) {
        const std::string problem = text_of(vm, "problem"), link = text_of(vm, "link");
        if (!problem.empty())
          problems[text_of(vm, "name")] = problem;
        else if (link == "waiting" || link == "ended")
          problems[text_of(vm, "name")] = "it does not run";
      }
    } catch (const qemuctl::Error&) { // vhotplug's service has no such request
    }
    co_return problems;
  }

  asio::awaitable<void> list() {
    co_await connect();
    const Json devices = co_await devices_of(options_.kind);
    if (options_.json) {
      print_json(devices);
      co_return;
    }
    if (options_.names) {
      for (const Json& device : devices.as_array())
        for (const char* key : {"port_path", "address", "device_node"})
          if (const std::string name = text_of(device, key); !name.empty()) {
            fmt::print("{}\n", qemuctl::detail::printable(name));
            break;
          }
      co_return;
    }
    const VmProblems problems = co_await vm_problems();
    fmt::print("{}", device_table(devices, problems));
  }

  asio::awaitable<void> list_vms() {
    co_await connect();
    Json answer = co_await ask(message("vm_list"));
    Json vms = answer.at("vms");
    if (options_.names) {
      for (const Json& vm : vms.as_array()) fmt::print("{}\n", qemuctl::detail::printable(text_of(vm, "name")));
      co_return;
    }
    for (Json& vm : vms.as_array()) {
      Json request = message("vm_status");
      request.set("vm", text_of(vm, "name"));
      try {
        const Json status = co_await ask(std::move(request));
        vm = status.at("vm");
      } catch (const qemuctl::Error& error) { // it may have gone meanwhile
        if (error.code() != qemuctl::errc::command_failed) throw;
        vm.set("problem", error.diagnostics().server_text);
      }
    }
    if (options_.json) {
      print_json(vms);
      co_return;
    }
    const Json devices = co_await devices_of("device");
    fmt::print("{}", vm_table(vms, devices));
  }

  asio::awaitable<void> move() {
    co_await connect();
    const bool attach = options_.command == Command::attach;
    Json request = message(options_.kind + (attach ? "_attach" : "_detach"));
    std::string what = "every device with the tag " + options_.tag;
    if (options_.tag.empty()) {
      const Json devices = co_await devices_of(options_.kind);
      const Json& device = find_device(devices, options_.device);
      what = device_text(device);
      const char* key = device.contains("address") ? "address" : "device_node";
      request.set(key, text_of(device, key));
      if (attach && options_.vm.empty()) options_.vm = chosen_vm(device);
    } else {
      request.set("tag", std::exchange(options_.tag, {}));
    }
    if (attach && !options_.vm.empty()) request.set("vm", options_.vm);
    const Json answer = co_await ask(std::move(request));
    if (options_.json)
      print_json(answer);
    else if (attach)
      fmt::print("{} is in {} now\n", what, options_.vm.empty() ? "its VM" : "VM " + options_.vm);
    else
      fmt::print("{} is detached until somebody attaches it\n", what);
  }

  /// The VM for a device, when the person has not said it: the only one, or the one that is chosen now.
  static std::string chosen_vm(const Json& device) {
    std::vector<std::string> allowed;
    if (const Json* list = device.find("allowed_vms"); list && list->is_array())
      for (const Json& vm : list->as_array()) allowed.push_back(vm.as_string());
    if (allowed.size() == 1) return allowed.front();
    // Otherwise the service says what is missing.
    if (allowed.empty() || !::isatty(STDIN_FILENO) || !::isatty(STDERR_FILENO)) return {};
    return choose(device_text(device), allowed);
  }

  asio::awaitable<void> act_on_vm() {
    if (!options_.without_service()) co_await connect();
    Json request = message(options_.action);
    if (!options_.vm.empty()) request.set("vm", options_.vm);
    if (options_.timeout) request.set("timeout", *options_.timeout);
    if (!options_.keys.empty()) {
      Json keys = Json::array();
      for (const std::string& key : options_.keys) keys.push_back(key);
      request.set("keys", std::move(keys));
    }
    const Json answer = co_await ask(std::move(request));
    if (!options_.file.empty())
      save_screenshot(answer);
    else if (options_.json)
      print_json(options_.action == "vm_status" ? answer.at("vm") : answer);
    else if (options_.action == "vm_status")
      print_status(answer.at("vm"));
    else if (answer.contains("outcome"))
      fmt::print("{}\n", text_of(answer, "outcome"));
    else if (const Json* pid = answer.find("pid"))
      fmt::print("pid: {}\n", pid->dump());
  }

  static void print_status(const Json& vm) {
    for (const char* key : {"name", "state", "run_state", "reason", "pid", "link", "problem"})
      if (const Json* value = vm.find(key))
        fmt::print("{}: {}\n", key,
                   value->is_string() ? qemuctl::detail::printable(value->as_string()) : value->dump());
  }

  void save_screenshot(const Json& answer) const {
    const std::string image = decoded(text_of(answer, "image"));
    if (options_.json && options_.file == "-") return print_json(answer);
    if (options_.file == "-") {
      std::fwrite(image.data(), 1, image.size(), stdout);
      return;
    }
    std::ofstream file(options_.file, std::ios::binary | std::ios::trunc);
    file << image;
    file.close();
    if (!file) throw std::system_error(errno, std::generic_category(), "cannot write " + options_.file);
    if (!options_.json) {
      fmt::print("{}: {}\n", options_.file, text_of(answer, "format"));
      return;
    }
    Json written;
    for (const auto& [key, value] : answer.as_object())
      if (key != "image") written.set(key, value);
    written.set("file", options_.file);
    print_json(written);
  }

  asio::awaitable<void> listen() {
    co_await connect();
    co_await ask(message("enable_notifications"));
    if (!options_.json) fmt::print(stderr, "listening to {}\n", hotplug::to_string(client_->address()));
    for (;;) {
      const std::optional<hotplug::ApiEvent> event = co_await client_->next_event();
      if (!event) throw std::runtime_error("the service has closed the connection");
      if (event->lost > 0)
        fmt::print(stderr, "qemuctl: {} events are missing here: there were too many\n", event->lost);
      const std::time_t now = std::time(nullptr);
      if (options_.json) {
        Json timed = event->message;
        timed.set("time", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(now)));
        print_json(timed);
      } else {
        fmt::print("{:%H:%M:%S} {}\n", fmt::localtime(now), event_text(event->message));
      }
      std::fflush(stdout);
    }
  }

  asio::awaitable<void> explain() {
    co_await connect();
    const Json devices = co_await devices_of("device");
    const Json& device = find_device(devices, options_.device);
    const char* key = device.contains("address") ? "address" : "device_node";
    Json request = message("explain");
    request.set(key, text_of(device, key));
    const Json answer = co_await ask(std::move(request));
    if (options_.json)
      print_json(answer);
    else
      fmt::print("{}", text_of(answer, "explanation"));
  }

  asio::awaitable<void> other() {
    co_await connect();
    Json request = message(options_.action);
    if (!options_.vm.empty()) request.set("vm", options_.vm);
    if (!options_.bus_prefix.empty()) request.set("qemu_bus_prefix", options_.bus_prefix);
    if (options_.bus_start) request.set("qemu_bus_start_index", *options_.bus_start);
    const Json answer = co_await ask(std::move(request));
    if (options_.json)
      print_json(answer);
    else if (const Json* arguments = answer.find("vmm_args"); arguments && arguments->is_array())
      for (const Json& argument : arguments->as_array()) fmt::print("{}\n", argument.as_string());
    else if (options_.action == "reload")
      fmt::print("the service has reloaded its configuration\n");
    else
      fmt::print("{}\n", moved_text());
  }

  /// What has become of all devices of a kind.
  std::string moved_text() const {
    const std::string kind = options_.kind == "usb" ? "USB" : options_.kind == "pci" ? "PCI" : "input";
    const std::string vms = options_.vm.empty() ? "all VMs" : "VM " + options_.vm;
    return options_.action.ends_with("_suspend")
               ? fmt::format("the {} devices of {} are detached until they are resumed", kind, vms)
               : fmt::format("the {} devices of {} are back", kind, vms);
  }

  CliOptions options_;
  std::optional<ApiClient> client_;
};

} // namespace

int run_cli(CliOptions options) {
  asio::io_context io(1);
  Cli cli(std::move(options));
  std::exception_ptr failure;
  asio::co_spawn(io, cli.run(), [&](std::exception_ptr error) {
    failure = error;
    io.stop();
  });
  io.run();
  if (failure) std::rethrow_exception(failure);
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    fmt::print(stderr, "qemuctl: cannot write to stdout\n");
    return failed;
  }
  return good;
}

} // namespace tool
