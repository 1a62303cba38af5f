// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include <hotplug/input_device.hpp>

#include <charconv>
#include <string_view>
#include <system_error>

namespace hotplug {

namespace {

/// The number behind `word` in a path's part: 7 of "input7".
std::optional<int> number_behind(std::string_view word, std::string_view part) {
  if (!part.starts_with(word)) return std::nullopt;
  part.remove_prefix(word.size());
  int number = 0;
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
  if (error != std::errc() || end != part.data() + part.size() || number < 0) return std::nullopt;
  return number;
}

std::string_view last_part(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

std::string_view without_last_part(std::string_view path) {
  return path.substr(0, path.rfind('/'));
}

bool is_behind_usb(std::string_view path) {
  for (; !path.empty(); path = without_last_part(path)) {
    if (number_behind("usb", last_part(path))) return true; // the root hub
    if (path.find('/') == std::string_view::npos) break;
  }
  return false;
}

bool is_of_the_event(std::string_view property) {
  for (const std::string_view each : {"ACTION", "SEQNUM", "SYNTH_UUID", "USEC_INITIALIZED", "TAGS", "CURRENT_TAGS"})
    if (property == each) return true;
  return false;
}

} // namespace

std::optional<InputDevice> make_input_device(const InputRecord& record) {
  const std::optional<int> event = number_behind("event", last_part(record.sys_path));
  const std::optional<int> input = number_behind("input", last_part(without_last_part(record.sys_path)));
  if (!event || !input || record.device_node.empty() || is_behind_usb(record.sys_path)) return std::nullopt;
  InputDevice device;
  device.sys_path = record.sys_path;
  device.sys_name = last_part(record.sys_path);
  device.device_node = record.device_node;
  device.input = *input;
  device.event = *event;
  device.name = record.name;
  for (const auto& [key, value] : record.properties)
    if (!is_of_the_event(key)) device.properties.emplace(key, value);
  if (const auto tag = record.properties.find("ID_PATH_TAG"); tag != record.properties.end())
    device.path_tag = tag->second;
  device.identity.connector = device.path_tag + "/" + device.name;
  return device;
}

} // namespace hotplug
