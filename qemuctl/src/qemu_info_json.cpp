// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "qemu_info_json.hpp"

#include <string>
#include <vector>

namespace qemuctl::detail {

namespace {

Json list(const std::vector<std::string>& names) {
  return Json::array(Json::Array(names.begin(), names.end()));
}

std::vector<std::string> names(const Json& json) {
  std::vector<std::string> all;
  for (const Json& name : json.as_array()) all.push_back(name.as_string());
  return all;
}

} // namespace

Json qemu_info_to_json(const QemuInfo& info) {
  Json json;
  json.set("version", Json::array({info.version.major, info.version.minor, info.version.micro}));
  json.set("package", info.package);
  json.set("accelerators", list(info.accelerators));
  json.set("devices", list(info.devices));
  json.set("pci-devices", list(info.pci_devices));
  json.set("objects", list(info.objects));
  json.set("chardevs", list(info.chardevs));
  json.set("machines", list(info.machines));
  json.set("cpu-models", list(info.cpu_models));
  json.set("features", list(info.features));
  return json;
}

QemuInfo qemu_info_from_json(const std::filesystem::path& binary, const Json& json) {
  QemuInfo info;
  info.path = binary;
  const Json& version = json.at("version");
  const auto number = [&](std::size_t index) { return static_cast<int>(version.at(index).as_int()); };
  info.version = {number(0), number(1), number(2)};
  info.package = json.at("package").as_string();
  info.accelerators = names(json.at("accelerators"));
  info.devices = names(json.at("devices"));
  info.pci_devices = names(json.at("pci-devices"));
  info.objects = names(json.at("objects"));
  info.chardevs = names(json.at("chardevs"));
  info.machines = names(json.at("machines"));
  info.cpu_models = names(json.at("cpu-models"));
  info.features = names(json.at("features"));
  return info;
}

} // namespace qemuctl::detail
