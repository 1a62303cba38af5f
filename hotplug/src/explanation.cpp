// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "pci_group.hpp"
#include "problems.hpp"

#include <hotplug/explanation.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace hotplug {

using qemuctl::detail::in_quotes;
using qemuctl::detail::quoted_if_needed;

namespace {

std::string conclusion(const RuleBase& rule, const RuleTrace& trace) {
  switch (trace.outcome) {
  case RuleTrace::Outcome::disabled:
    return "is disabled";
  case RuleTrace::Outcome::not_allowed:
    return "does not match";
  case RuleTrace::Outcome::denied:
    return "matches, but denies this device";
  case RuleTrace::Outcome::taken:
    break;
  }
  return rule.vms.size() == 1 ? fmt::format("matches: it goes to VM {}", rule.vms.front())
                              : fmt::format("matches: a person chooses one of {}", fmt::join(rule.vms, ", "));
}

} // namespace

std::string explanation(const Rules& rules, const Device& device, const std::vector<Device>& all) {
  const Verdict verdict = rules.explain(device);
  std::string text = short_description(device) + "\n";
  for (const RuleTrace& trace : verdict.trace) {
    const RuleBase& rule = rules.rule(kind_of(device), trace.index);
    text += fmt::format("rule {}{} {}\n", trace.index,
                        rule.description.empty() ? "" : fmt::format(" ({})", quoted_if_needed(rule.description)),
                        conclusion(rule, trace));
    for (const MatchTrace& match : trace.matches) {
      text += fmt::format("  {}[{}] {}\n", match.deny ? "deny" : "allow", match.index,
                          !match.enabled  ? "is disabled"
                          : match.matches ? "matches"
                                          : "does not match");
      for (const FieldTrace& field : match.fields)
        text += fmt::format("    {} {}: wanted {}, found {}\n", field.holds ? "yes" : "no ", field.field, field.wanted,
                            field.found.empty() ? "nothing" : in_quotes(field.found));
    }
  }
  std::string end = verdict.rule ? "" : "no rule matches: it stays with the host\n";
  if (const auto* pci = std::get_if<PciDevice>(&device)) {
    std::vector<PciDevice> cards;
    for (const Device& each : all)
      if (const auto* card = std::get_if<PciDevice>(&each)) cards.push_back(*card);
    const detail::PciVerdict in_group = detail::decide_pci(cards, rules.pci())[pci->address()];
    if (in_group.member)
      end = fmt::format("no rule matches, but rule {} takes the whole IOMMU group ({}) to VM {} (pciIommuAddAll)\n",
                        *in_group.rule, pci->iommu_group.value_or(-1), fmt::join(in_group.vms, " or "));
    else if (!in_group.skipped.empty())
      end = fmt::format("it stays with the host all the same: {}\n", in_group.skipped);
  }
  return text + end;
}

} // namespace hotplug
