// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "hotplug_host.hpp"

#include "catch.hpp"
#include "last_words.hpp"

#include <qemuctl/error.hpp>

#include <algorithm>
#include <exception>
#include <sstream>

namespace test {

using qemuctl::Json;

HotplugHost::~HotplugHost() {
  try {
    if (daemon_ > 0) {
      expect_agreement();
      keep_for_failure("the service:\n" + host.run(std::string("cat ") + log_path).output);
    }
  } catch (const std::exception& error) {
    UNSCOPED_INFO("at the end: " << error.what());
    CHECK(std::uncaught_exceptions() > 0);
  }
}

NestedQemu& HotplugHost::start_vm(const std::string& name, const std::string& arguments) {
  auto& vm = vms_[name];
  vm = std::make_unique<NestedQemu>(host.start_qemu(name, arguments));
  if (std::find(names_.begin(), names_.end(), name) == names_.end()) names_.push_back(name);
  return *vm;
}

void HotplugHost::kill_vm(const std::string& name) {
  const std::string pid = std::to_string(vm(name).pid());
  host.output_of("kill -9 " + pid);
  host.wait_until("! test -e /proc/" + pid);
  vms_.erase(name);
}

void HotplugHost::reset_vm(const std::string& name) {
  try {
    host.execute(vm(name), "system_reset");
    host.execute(vm(name), "query-status"); // after it
  } catch (const qemuctl::Error&) {
    host.output_of("grep 'resetcontainer.c.*Assertion' /tmp/" + name + ".qemu.log");
    vms_.erase(name);
  }
}

void HotplugHost::write_config(const std::string& usb_rules, const std::vector<std::string>& more_vms) {
  Json vms = Json::array();
  for (const std::string& name : names_)
    vms.push_back(Json::object({{"name", name}, {"type", "qemu"}, {"socket", vms_.at(name)->socket()}}));
  for (const std::string& name : more_vms) vms.push_back(qemuctl::parse_json(name));
  const Json api = Json::object({{"enable", true}, {"transports", Json::array({"unix"})}, {"unixSocket", api_path}});
  Json config = Json::object(
      {{"vms", vms},
       {"usbPassthrough", qemuctl::parse_json(usb_rules)},
       {"general",
        Json::object({{"api", api}, {"statePath", "/tmp/state/hotplug.state"}, {"maxArrivalsPerMinute", 0}})}});
  if (more_rules.is_object())
    for (const auto& [key, value] : more_rules.as_object()) config.set(key, value);
  host.write_file(config_path, config.pretty());
}

void HotplugHost::start_daemon(const std::string& usb_rules, const std::vector<std::string>& more_vms,
                               const std::string& flags) {
  write_config(usb_rules, more_vms);
  start_daemon_again(flags);
}

void HotplugHost::start_daemon_again(const std::string& flags) {
  host.output_of(std::string("rm -f ") + api_path); // of one that was killed
  daemon_ = host.spawn("env " + environment + " " + QEMUCTL_HOTPLUGD + " -d -c " + config_path + " " + flags, log_path);
  host.wait_until(std::string("test -S ") + api_path + " || ! test -e /proc/" + std::to_string(daemon_));
  host.spawn(std::string(QEMUCTL_API_CALL) + " " + api_path + R"( '{"action": "enable_notifications"}' --follow)",
             "/tmp/notifications");
  host.wait_until("grep -q ok /tmp/notifications");
}

void HotplugHost::signal_daemon(const std::string& signal, bool wait_for_end) {
  const std::string pid = std::to_string(daemon_);
  host.output_of("kill -" + signal + " " + pid);
  if (!wait_for_end) return;
  host.wait_until("! test -e /proc/" + pid);
  daemon_ = 0;
}

Json HotplugHost::request(const std::string& json) {
  return qemuctl::parse_json(host.output_of(std::string(QEMUCTL_API_CALL) + " " + api_path + " '" + json + "'"));
}

Json HotplugHost::device(const std::string& port_path) {
  const Json list = request(R"({"action": "usb_list"})");
  for (const Json& device : list.at("usb_devices").as_array())
    if (device.at("port_path") == Json(port_path)) return device;
  return {};
}

std::vector<Json> HotplugHost::notifications() {
  std::vector<Json> all;
  std::istringstream lines(host.output_of("cat /tmp/notifications"));
  for (std::string line; std::getline(lines, line);) {
    Json message = qemuctl::parse_json(line);
    if (message.contains("event")) all.push_back(std::move(message));
  }
  return all;
}

void HotplugHost::plug_tablet(const std::string& id, const std::string& port, const std::string& serial) {
  Json properties = Json::object({{"driver", "usb-tablet"}, {"id", id}, {"port", port}});
  if (!serial.empty()) properties.set("serial", serial);
  host.plug(properties);
}

std::string HotplugHost::holder(int bus, int address) {
  std::string holder;
  for (const auto& [name, vm] : vms_)
    for (const UsbHostInVm& usb : host.usb_of(*vm)) {
      const bool by_address = usb.bus == bus && usb.address == address;
      const bool by_name = usb.id.starts_with("usbhost-" + std::to_string(bus) + "-" + std::to_string(address) + "-");
      if (usb.attached && (by_address || by_name)) holder = holder.empty() ? name : "several";
    }
  return holder;
}

void HotplugHost::wait_for(const std::string& port_path, const std::string& vm) {
  INFO(port_path << " in \"" << vm << "\"");
  host.wait_until(port_path + " in VM \"" + vm + "\"", [&] {
    const Json found = device(port_path);
    if (found.is_null()) return false;
    const Json* said = found.find("vm");
    if ((said ? said->as_string() : "") != vm) return false;
    return holder(static_cast<int>(found.at("busnum").as_int()), static_cast<int>(found.at("devnum").as_int())) == vm;
  });
}

void HotplugHost::expect_agreement() {
  std::string difference;
  const auto agree = [&] {
    difference.clear();
    std::size_t told = 0, there = 0;
    const Json list = request(R"({"action": "usb_list"})");
    for (const Json& device : list.at("usb_devices").as_array()) {
      const Json* vm = device.find("vm");
      const std::string said = vm ? vm->as_string() : "";
      told += said.empty() ? 0 : 1;
      const std::string found =
          holder(static_cast<int>(device.at("busnum").as_int()), static_cast<int>(device.at("devnum").as_int()));
      if (said != found)
        difference +=
            device.at("port_path").as_string() + ": the service says \"" + said + "\", QEMU says \"" + found + "\"\n";
    }
    for (const auto& [name, vm] : vms_) there += host.usb_of(*vm).size();
    if (there != told)
      difference +=
          "the VMs have " + std::to_string(there) + " devices, the service knows of " + std::to_string(told) + "\n";
    return difference.empty();
  };
  try {
    host.wait_until("the service and the VMs agree", agree, std::chrono::seconds(10));
  } catch (const std::exception& error) {
    UNSCOPED_INFO(difference << error.what());
    CHECK(difference.empty());
  }
}

} // namespace test
