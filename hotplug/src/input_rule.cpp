// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "rule_matching.hpp"

#include <hotplug/input_rule.hpp>

#include <utility>

namespace hotplug {

namespace {

void check(const InputMatch& match, const InputDevice& device, detail::Conditions& conditions) {
  conditions.expression("name", match.name, device.name);
  conditions.expression("pathTag", match.path_tag, device.path_tag);
  if (!match.property || conditions.done()) return;
  const auto found = device.properties.find(*match.property);
  const std::string value = found == device.properties.end() ? std::string() : found->second;
  conditions.add("property", *match.property + "=" + match.value.value_or(""),
                 found == device.properties.end() ? std::string() : *match.property + "=" + value,
                 found != device.properties.end() && value == match.value.value_or(""));
}

} // namespace

struct InputRules::Compiled {
  std::vector<InputRule> rules;
  detail::Expressions expressions;

  Verdict decide(const InputDevice& device, bool explain) const {
    return detail::decide(
        rules, expressions,
        [&](const InputMatch& match, detail::Conditions& conditions) { check(match, device, conditions); }, explain);
  }
};

InputRules::InputRules(std::vector<InputRule> rules) {
  auto compiled = std::make_shared<Compiled>();
  compiled->rules = std::move(rules);
  detail::compile_all(compiled->rules, [&](const InputMatch& match, const std::string& place) {
    compiled->expressions.compile(match.name, place + ".name");
    compiled->expressions.compile(match.path_tag, place + ".pathTag");
  });
  compiled_ = std::move(compiled);
}

const std::vector<InputRule>& InputRules::rules() const noexcept {
  static const std::vector<InputRule> none;
  return compiled_ ? compiled_->rules : none;
}

Verdict InputRules::evaluate(const InputDevice& device) const {
  return compiled_ ? compiled_->decide(device, false) : Verdict();
}

Verdict InputRules::explain(const InputDevice& device) const {
  return compiled_ ? compiled_->decide(device, true) : Verdict();
}

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
