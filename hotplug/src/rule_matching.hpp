// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/input_rule.hpp>
#include <hotplug/pci_rule.hpp>
#include <hotplug/usb_rule.hpp>

#include <fmt/format.h>

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace re2 {
class RE2;
}

namespace hotplug::detail {

/// The regular expressions of rules, compiled once.
class Expressions {
 public:
  Expressions();
  ~Expressions();

  /// Throws `qemuctl::Error` (`errc::invalid_argument`), which has `place`, when it is none.
  void compile(const std::optional<std::string>& pattern, const std::string& place);
  /// Whether one that was compiled matches from the start.
  bool match(const std::string& pattern, const std::string& text) const;

 private:
  std::map<std::string, std::unique_ptr<re2::RE2>> compiled_;
};

/// One pass over the conditions for a device. Without a trace what comes after the first that does not hold is not
/// looked at.
class Conditions {
 public:
  Conditions(const Expressions& expressions, std::vector<FieldTrace>* trace)
      : expressions_(expressions), trace_(trace) {}

  /// All of them hold, and there is one.
  bool hold() const { return hold_ && count_ > 0; }
  bool done() const { return !trace_ && !hold_; }

  void add(const char* field, std::string wanted, std::string found, bool holds);

  template<typename Number>
  void number(const char* field, const std::optional<Number>& wanted, Number found, const char* format) {
    if (!wanted || done()) return;
    if (trace_)
      add(field, fmt::format(fmt::runtime(format), *wanted), fmt::format(fmt::runtime(format), found),
          *wanted == found);
    else
      add(field, {}, {}, *wanted == found);
  }

  void text(const char* field, const std::optional<std::string>& wanted, const std::string& found);
  void expression(const char* field, const std::optional<std::string>& wanted, const std::string& found);

 private:
  const Expressions& expressions_;
  std::vector<FieldTrace>* trace_;
  bool hold_ = true;
  int count_ = 0;
};

/// Which of `rules` decides about a device. `check(match, conditions)` adds the conditions of one match. Pure.
template<typename Rule, typename Check>
Verdict decide(const std::vector<Rule>& rules, const Expressions& expressions, const Check& check, bool explain) {
  using Outcome = RuleTrace::Outcome;
  const auto any_matches = [&](const auto& list, bool deny, RuleTrace* trace) {
    bool any = false;
    for (std::size_t i = 0; i < list.size() && (trace || !any); ++i) {
      if (!trace && !list[i].enabled) continue;
      MatchTrace* match = trace ? &trace->matches.emplace_back() : nullptr;
      Conditions conditions(expressions, match ? &match->fields : nullptr);
      check(list[i], conditions);
      const bool matches = conditions.hold() && list[i].enabled;
      any = any || matches;
      if (!match) continue;
      match->deny = deny;
      match->index = i;
      match->enabled = list[i].enabled;
      match->matches = matches;
    }
    return any;
  };
  Verdict verdict;
  for (std::size_t i = 0; i < rules.size() && !verdict.rule; ++i) {
    RuleTrace* trace = explain ? &verdict.trace.emplace_back() : nullptr;
    Outcome outcome = Outcome::disabled;
    if (rules[i].enabled)
      outcome = !any_matches(rules[i].allow, false, trace) ? Outcome::not_allowed
                : any_matches(rules[i].deny, true, trace)  ? Outcome::denied
                                                           : Outcome::taken;
    if (trace) {
      trace->index = i;
      trace->outcome = outcome;
    }
    if (outcome == Outcome::taken) {
      verdict.rule = i;
      verdict.vms = rules[i].vms;
    }
  }
  return verdict;
}

/// What the conditions of each kind are; in `usb_rule.cpp`, `pci_rule.cpp` and `input_rule.cpp`. `compile` gets the
/// place of the match for its errors.
/// @{
void check(const UsbMatch& match, const UsbDevice& device, Conditions& conditions);
void check(const PciMatch& match, const PciDevice& device, Conditions& conditions);
void check(const InputMatch& match, const InputDevice& device, Conditions& conditions);
void compile(const UsbMatch& match, const std::string& place, Expressions& expressions);
void compile(const PciMatch& match, const std::string& place, Expressions& expressions);
void compile(const InputMatch& match, const std::string& place, Expressions& expressions);
/// @}

} // namespace hotplug::detail

namespace hotplug {

template<typename Rule, typename Device>
struct RuleSet<Rule, Device>::Compiled {
  std::vector<Rule> rules;
  detail::Expressions expressions;

  Verdict decide(const Device& device, bool explain) const {
    const auto check = [&](const auto& match, detail::Conditions& conditions) {
      detail::check(match, device, conditions);
    };
    return detail::decide(rules, expressions, check, explain);
  }
};

template<typename Rule, typename Device>
RuleSet<Rule, Device>::RuleSet(std::vector<Rule> rules) {
  auto compiled = std::make_shared<Compiled>();
  compiled->rules = std::move(rules);
  const auto compile_all = [&](const auto& matches, std::size_t rule, const char* list) {
    for (std::size_t i = 0; i < matches.size(); ++i)
      detail::compile(matches[i], fmt::format("rules[{}].{}[{}]", rule, list, i), compiled->expressions);
  };
  for (std::size_t i = 0; i < compiled->rules.size(); ++i) {
    compile_all(compiled->rules[i].allow, i, "allow");
    compile_all(compiled->rules[i].deny, i, "deny");
  }
  compiled_ = std::move(compiled);
}

template<typename Rule, typename Device>
const std::vector<Rule>& RuleSet<Rule, Device>::rules() const noexcept {
  static const std::vector<Rule> none;
  return compiled_ ? compiled_->rules : none;
}

template<typename Rule, typename Device>
Verdict RuleSet<Rule, Device>::evaluate(const Device& device) const {
  return compiled_ ? compiled_->decide(device, false) : Verdict();
}

template<typename Rule, typename Device>
Verdict RuleSet<Rule, Device>::explain(const Device& device) const {
  return compiled_ ? compiled_->decide(device, true) : Verdict();
}

} // namespace hotplug
