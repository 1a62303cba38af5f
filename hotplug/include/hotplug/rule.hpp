// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace hotplug {

/// What rules for all kinds of devices have in common. The first enabled rule with a matching `allow` and no matching
/// `deny` decides.
struct RuleBase {
  std::string description;
  std::vector<std::string> vms; ///< one: the device goes there; several: the user chooses
  bool enabled = true;
  bool skip_on_suspend = false; ///< stays in the VM when the host suspends
  std::string tag;              ///< lets requests name many devices at once
  bool operator==(const RuleBase&) const = default;
};

/// The outcome of one condition, for people.
struct FieldTrace {
  std::string field;  ///< as in the configuration: "vendorId"
  std::string wanted; ///< "046d"
  std::string found;  ///< "0627"
  bool holds = false;
};

struct MatchTrace {
  bool deny = false; ///< false: one of `allow`
  std::size_t index = 0;
  bool enabled = true;
  bool matches = false;
  std::vector<FieldTrace> fields; ///< all of them, including those after the first that does not hold
};

struct RuleTrace {
  std::size_t index = 0;
  enum class Outcome { taken, not_allowed, denied, disabled } outcome = Outcome::not_allowed;
  std::vector<MatchTrace> matches; ///< empty when disabled
};

/// Where a device may go, and why.
struct Verdict {
  std::optional<std::size_t> rule; ///< the rule that decided; nullopt: none, the device stays with the host
  std::vector<std::string> vms;    ///< of that rule
  std::vector<RuleTrace> trace;    ///< each rule up to the deciding one; only from `explain`
};

/// Rules of one kind with their regular expressions compiled: `UsbRules`, `PciRules` and `InputRules`.
///
/// Thread-safe after construction. Copies share the compiled rules.
template<typename Rule, typename Device>
class RuleSet {
 public:
  RuleSet() = default;
  /// Throws `qemuctl::Error` (`errc::invalid_argument`) for a regular expression that RE2 does not understand, naming
  /// the rule, the condition and what is wrong.
  explicit RuleSet(std::vector<Rule> rules);

  const std::vector<Rule>& rules() const noexcept;

  /// Pure. Does not consider IOMMU groups.
  Verdict evaluate(const Device& device) const;
  /// The same with the trace.
  Verdict explain(const Device& device) const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
};

/// What is wrong with a regular expression; empty if it is valid.
///
/// Regular expressions use RE2 syntax, ignore case and match at the start of the text. RE2 takes linear time, which
/// matters because devices choose the text.
std::string regular_expression_error(const std::string& pattern);

} // namespace hotplug
