// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/rule.hpp>

#include <fmt/format.h>

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
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

/// Compiles what `compile(match, place)` finds in each match.
template<typename Rule, typename Compile>
void compile_all(const std::vector<Rule>& rules, const Compile& compile) {
  for (std::size_t i = 0; i < rules.size(); ++i) {
    for (std::size_t j = 0; j < rules[i].allow.size(); ++j)
      compile(rules[i].allow[j], fmt::format("rules[{}].allow[{}]", i, j));
    for (std::size_t j = 0; j < rules[i].deny.size(); ++j)
      compile(rules[i].deny[j], fmt::format("rules[{}].deny[{}]", i, j));
  }
}

} // namespace hotplug::detail
