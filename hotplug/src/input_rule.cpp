// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "rule_matching.hpp"

#include <hotplug/input_rule.hpp>

#include <utility>

namespace hotplug {

namespace detail {

void check(const InputMatch& match, const InputDevice& device, Conditions& conditions) {
  conditions.expression("name", match.name, device.name);
  conditions.expression("pathTag", match.path_tag, device.path_tag);
  if (!match.property || conditions.done()) return;
  const auto found = device.properties.find(*match.property);
  const std::string value = found == device.properties.end() ? std::string() : found->second;
  conditions.add("property", *match.property + "=" + match.value.value_or(""),
                 found == device.properties.end() ? std::string() : *match.property + "=" + value,
                 found != device.properties.end() && value == match.value.value_or(""));
}

void compile(const InputMatch& match, const std::string& place, Expressions& expressions) {
  expressions.compile(match.name, place + ".name");
  expressions.compile(match.path_tag, place + ".pathTag");
}

} // namespace detail

template class RuleSet<InputRule, InputDevice>;

std::vector<InputMatch> all_input_matches() {
  std::vector<InputMatch> matches;
  for (const char* property :
       {"ID_INPUT_KEYBOARD", "ID_INPUT_MOUSE", "ID_INPUT_TOUCHPAD", "ID_INPUT_TOUCHSCREEN", "ID_INPUT_TABLET"}) {
    InputMatch& match = matches.emplace_back();
    match.property = property;
    match.value = "1";
  }
  return matches;
}

} // namespace hotplug
