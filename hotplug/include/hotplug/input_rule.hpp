// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/input_device.hpp>
#include <hotplug/rule.hpp>

#include <optional>
#include <string>
#include <vector>

namespace hotplug {

/// Conditions on an input device. All that are set must hold; without any it matches nothing. For regular expressions
/// see `regular_expression_error`.
struct InputMatch {
  std::optional<std::string> name, path_tag; ///< regular expressions
  std::optional<std::string> property;       ///< a udev property such as "ID_INPUT_KEYBOARD" ...
  std::optional<std::string> value;          ///< ... and its exact value
  std::string description;
  bool enabled = true; ///< false: ignored
  bool operator==(const InputMatch&) const = default;
};

/// Which VM an input device goes to.
struct InputRule : RuleBase {
  std::vector<InputMatch> allow, deny;
  std::string port_prefix; ///< id prefix of the PCI Express ports to use in the VM; empty: any port
  bool operator==(const InputRule&) const = default;
};

extern template class RuleSet<InputRule, InputDevice>;
using InputRules = RuleSet<InputRule, InputDevice>;

/// Matches keyboards, mice, touchpads, touchscreens and tablets, as `evdevPassthrough.enable` of the older format does.
/// Power buttons and lid switches are input devices as well, and stay with the host.
std::vector<InputMatch> all_input_matches();

} // namespace hotplug
