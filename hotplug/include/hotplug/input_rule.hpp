// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/input_device.hpp>
#include <hotplug/rule.hpp>

#include <optional>
#include <string>
#include <vector>

namespace hotplug {

/// Conditions for an input device. All that are there must hold; none at all match no device. About regular expressions
/// see `regular_expression_error`.
struct InputMatch {
  std::optional<std::string> name, path_tag; ///< regular expressions
  std::optional<std::string> property;       ///< one of udev's, such as "ID_INPUT_KEYBOARD" ...
  std::optional<std::string> value;          ///< ... which has this value, exactly
  std::string description;
  bool enabled = true; ///< otherwise it is as if it were not there
  bool operator==(const InputMatch&) const = default;
};

/// Which VM an input device goes to.
struct InputRule : RuleBase {
  std::vector<InputMatch> allow, deny;
  std::string port_prefix; ///< the ids of the VM's PCI Express ports for it begin with this; empty: any port
  bool operator==(const InputRule&) const = default;
};

extern template class RuleSet<InputRule, InputDevice>;
using InputRules = RuleSet<InputRule, InputDevice>;

/// The conditions for keyboards, mice, touchpads, touchscreens and tablets: what the first format's
/// `evdevPassthrough.enable` takes. Power buttons and switches of lids are input devices, too, and stay with the host.
std::vector<InputMatch> all_input_matches();

} // namespace hotplug
