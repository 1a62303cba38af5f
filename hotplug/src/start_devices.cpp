// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "start_devices.hpp"

#include <qemuctl/command_line.hpp>
#include <qemuctl/error.hpp>
#include <qemuctl/json.hpp>

#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <map>
#include <system_error>
#include <tuple>
#include <utility>

namespace hotplug::detail {

namespace fs = std::filesystem;
using qemuctl::escape_option;
using qemuctl::Json;

namespace {

constexpr std::uint16_t nvidia = 0x10de;
constexpr std::uint8_t display_class = 3;

/// What "auto" means to vhotplug: graphics cards of others start with any firmware, and a disk that was installed for
/// another one would not.
bool wants_uefi(const PciRule& rule, const PciDevice& device) {
  return rule.auto_ovmf && device.vendor_id == nvidia && device.device_class.code == display_class;
}

/// Of a device, the first is its driver.
using Properties = std::vector<std::pair<std::string, std::string>>;

std::string device_argument(const Properties& properties, bool json) {
  Json object;
  std::string text = properties.front().second;
  for (const auto& [key, value] : properties) {
    object.set(key, value);
    if (key != properties.front().first) text += fmt::format(",{}={}", key, escape_option(value));
  }
  return json ? object.dump() : text;
}

/// The next port of each name.
class Ports {
 public:
  explicit Ports(const StartOptions& options) : options_(options) {}

  /// Adds it; with an empty prefix the device is on the machine's own bus.
  void add_next(Properties& properties, const std::string& prefix) {
    if (prefix.empty()) return;
    const int number = options_.first_bus + used_[prefix]++;
    properties.emplace_back("bus", fmt::format("{}{}", prefix, number));
    properties.emplace_back("addr", "0x0");
  }
  int used() const {
    const auto found = used_.find(options_.bus_prefix);
    return found == used_.end() ? 0 : found->second;
  }

 private:
  const StartOptions& options_;
  std::map<std::string, int> used_;
};

/// What is wrong; empty: it has its owners now.
std::string give_to_owners(const AcpiTable& table) {
  auto user = static_cast<uid_t>(-1); // as it is
  auto group = static_cast<gid_t>(-1);
  if (!table.set_user.empty()) {
    const passwd* entry = ::getpwnam(table.set_user.c_str());
    if (!entry) return fmt::format("there is no user {}", table.set_user);
    user = entry->pw_uid;
  }
  if (!table.set_group.empty()) {
    const struct group* entry = ::getgrnam(table.set_group.c_str());
    if (!entry) return fmt::format("there is no group {}", table.set_group);
    group = entry->gr_gid;
  }
  if (::chown(table.file.c_str(), user, group) != 0) return std::generic_category().message(errno);
  return {};
}

/// The configured file, or the first of the others that is there.
std::string firmware_file(const std::string& configured, const char* key, const std::vector<std::string>& usual) {
  std::error_code ec;
  if (!configured.empty() && fs::exists(configured, ec)) return configured;
  if (configured.empty())
    for (const std::string& file : usual)
      if (fs::exists(file, ec)) return file;
  qemuctl::Diagnostics diagnostics;
  diagnostics.operation = "find UEFI firmware";
  diagnostics.subject = configured.empty() ? usual.front() : configured;
  diagnostics.detail = "there is no such file";
  diagnostics.advice = fmt::format("Install OVMF, or say with general.{} where it is.", key);
  throw qemuctl::Error(qemuctl::errc::not_found, std::move(diagnostics));
}

} // namespace

StartArguments start_arguments(std::vector<StartDevice> devices, const Rules& rules, const StartOptions& options) {
  // Cards before input devices; of the same rule by their addresses.
  const auto order = [](const StartDevice& each) {
    return std::tuple(kind_of(each.device) != DeviceKind::pci, each.rule, sys_name_of(each.device));
  };
  std::ranges::sort(devices, [&](const auto& left, const auto& right) { return order(left) < order(right); });
  StartArguments result;
  Ports ports(options);
  const auto add = [&](const Properties& properties) {
    result.arguments.emplace_back("-device");
    result.arguments.push_back(device_argument(properties, options.json));
  };
  for (const StartDevice& each : devices) {
    if (const auto* pci = std::get_if<PciDevice>(&each.device)) {
      const PciRule& rule = rules.pci().rules().at(each.rule);
      result.uefi = result.uefi || wants_uefi(rule, *pci);
      Properties properties{{"driver", "vfio-pci"}, {"host", pci->address()}, {"id", each.id}};
      if (!each.rom_file.empty()) properties.emplace_back("romfile", each.rom_file);
      if (!rule.use_root_bus) ports.add_next(properties, options.bus_prefix);
      add(properties);
    } else if (const auto* input = std::get_if<InputDevice>(&each.device)) {
      const InputRule& rule = rules.input().rules().at(each.rule);
      Properties properties{{"driver", "virtio-input-host-pci"}, {"evdev", input->device_node}, {"id", each.id}};
      ports.add_next(properties,
                     rule.port_prefix.empty() && options.input_on_buses ? options.bus_prefix : rule.port_prefix);
      add(properties);
    }
  }
  result.buses = ports.used();
  return result;
}

std::vector<std::string> acpi_arguments(const std::vector<AcpiRule>& rules, const std::string& vm,
                                        const std::function<void(const std::string&)>& warn) {
  std::vector<std::string> arguments;
  for (const AcpiRule& rule : rules) {
    if (!rule.enabled || rule.vm != vm) continue;
    for (const AcpiTable& table : rule.allow) {
      if (!table.enabled) continue;
      std::error_code ec;
      std::string problem = fs::is_regular_file(table.file, ec) ? "" : "there is no such file";
      if (problem.empty() && !(table.set_user.empty() && table.set_group.empty())) problem = give_to_owners(table);
      if (!problem.empty()) {
        warn(fmt::format("the ACPI table {} is skipped: {}", table.file, problem));
        continue;
      }
      arguments.emplace_back("-acpitable");
      arguments.push_back("file=" + escape_option(table.file));
    }
  }
  return arguments;
}

std::vector<std::string> ovmf_arguments(const std::string& code, const std::string& vars, const std::string& folder) {
  std::vector<std::string> sizes{"", "_4M"};
  // The two have to be of one size.
  if ((code + vars).find(sizes.back()) != std::string::npos) std::ranges::reverse(sizes);
  std::vector<std::string> usual_code, usual_vars;
  for (const std::string& size : sizes) {
    usual_code.push_back(fmt::format("{}/OVMF_CODE{}.fd", folder, size));
    usual_vars.push_back(fmt::format("{}/OVMF_VARS{}.fd", folder, size));
  }
  const std::array files{firmware_file(code, "ovmfCode", usual_code), firmware_file(vars, "ovmfVars", usual_vars)};
  std::vector<std::string> arguments;
  for (std::size_t unit = 0; unit < files.size(); ++unit) {
    arguments.emplace_back("-drive");
    arguments.push_back(
        fmt::format("if=pflash,format=raw,unit={},readonly=on,file={}", unit, escape_option(files[unit])));
  }
  return arguments;
}

} // namespace hotplug::detail
