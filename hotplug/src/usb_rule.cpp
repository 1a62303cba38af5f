// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include <hotplug/usb_rule.hpp>
#include <qemuctl/error.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <re2/re2.h>

#include <algorithm>
#include <map>
#include <utility>

namespace hotplug {

namespace {

/// Enough for every name that a person writes, and little for a machine.
constexpr std::int64_t max_expression_memory = 1 << 20;

RE2::Options options() {
  RE2::Options options;
  options.set_case_sensitive(false);
  options.set_log_errors(false);
  options.set_max_mem(max_expression_memory);
  // Names are bytes that a device chose: not always UTF-8.
  options.set_encoding(RE2::Options::EncodingLatin1);
  options.set_dot_nl(true);
  return options;
}

std::string printed(const InterfaceMatch& match) {
  const auto part = [](const std::optional<std::uint8_t>& value) {
    return value ? fmt::format("{:02x}", *value) : "*";
  };
  return part(match.code) + part(match.subclass) + part(match.protocol);
}

std::string printed(const std::vector<InterfaceMatch>& matches) {
  std::vector<std::string> texts;
  for (const InterfaceMatch& match : matches) texts.push_back(printed(match));
  return fmt::format("{}", fmt::join(texts, " "));
}

std::string printed(const std::vector<UsbClass>& interfaces) {
  if (interfaces.empty()) return "none";
  std::string text;
  for (const UsbClass& one : interfaces)
    text += fmt::format("{}{:02x}{:02x}{:02x}", text.empty() ? "" : " ", one.code, one.subclass, one.protocol);
  return text;
}

bool holds(const InterfaceMatch& match, const UsbClass& interface) {
  return (!match.code || *match.code == interface.code) && (!match.subclass || *match.subclass == interface.subclass) &&
         (!match.protocol || *match.protocol == interface.protocol);
}

bool has(const UsbDevice& device, const InterfaceMatch& match) {
  return std::ranges::any_of(device.interfaces, [&](const UsbClass& one) { return holds(match, one); });
}

/// Vendor specific interfaces have drivers of their own; the kernel module is asked for what has nothing better.
bool has_valid_interface(const UsbDevice& device) {
  constexpr std::uint8_t vendor_specific = 0xff;
  return std::ranges::any_of(device.interfaces,
                             [](const UsbClass& one) { return one.code != 0 && one.code != vendor_specific; });
}

using Expressions = std::map<std::string, std::unique_ptr<RE2>>;

/// One pass over the conditions of a `UsbMatch`. Without a trace it ends at the first that does not hold.
class Matcher {
 public:
  Matcher(const UsbMatch& match, const UsbDevice& device, const Expressions& expressions,
          std::vector<FieldTrace>* trace)
      : match_(match), device_(device), expressions_(expressions), trace_(trace) {}

  bool run() {
    number("vendorId", match_.vendor_id, device_.vendor_id, "{:04x}");
    number("productId", match_.product_id, device_.product_id, "{:04x}");
    expression("vendorName", match_.vendor_name, device_.vendor_name);
    expression("productName", match_.product_name, device_.product_name);
    text("serial", match_.serial, device_.serial);
    number("bus", match_.bus, device_.bus, "{}");
    number("port", match_.port, device_.root_port(), "{}");
    if (match_.port_path) port_path();
    text("controller", match_.controller, device_.controller);
    number("deviceClass", match_.device_class, device_.device_class.code, "{:02x}");
    number("deviceSubclass", match_.device_subclass, device_.device_class.subclass, "{:02x}");
    number("deviceProtocol", match_.device_protocol, device_.device_class.protocol, "{:02x}");
    if (match_.interface != InterfaceMatch())
      condition("interface", printed(match_.interface), printed(device_.interfaces), has(device_, match_.interface));
    interface_set();
    if (!match_.removable.empty())
      condition("removable", fmt::format("{}", fmt::join(match_.removable, " or ")), device_.removable,
                std::ranges::find(match_.removable, device_.removable) != match_.removable.end());
    number("speed", match_.speed, device_.speed, "{}");
    if (match_.driver_path) {
      const bool valid = has_valid_interface(device_);
      if (valid)
        condition("driverPath", *match_.driver_path, "a device with an interface that has a class", false);
      else
        expression("driverPath", match_.driver_path, device_.driver_path);
    }
    return holds_ && conditions_ > 0;
  }

 private:
  bool done() const { return !trace_ && !holds_; }

  void condition(const char* field, std::string wanted, std::string found, bool holds) {
    ++conditions_;
    holds_ = holds_ && holds;
    if (trace_) trace_->push_back({field, std::move(wanted), std::move(found), holds});
  }

  template<typename Number>
  void number(const char* field, const std::optional<Number>& wanted, Number found, const char* format) {
    if (!wanted || done()) return;
    if (trace_)
      condition(field, fmt::format(fmt::runtime(format), *wanted), fmt::format(fmt::runtime(format), found),
                *wanted == found);
    else
      condition(field, {}, {}, *wanted == found);
  }

  void text(const char* field, const std::optional<std::string>& wanted, const std::string& found) {
    if (wanted && !done()) condition(field, *wanted, found, *wanted == found);
  }

  void expression(const char* field, const std::optional<std::string>& wanted, const std::string& found) {
    if (!wanted || done()) return;
    const RE2& expression = *expressions_.at(*wanted);
    condition(field, *wanted, found, expression.Match(found, 0, found.size(), RE2::ANCHOR_START, nullptr, 0));
  }

  void port_path() {
    if (done()) return;
    // A connector has a path on each of its two buses, and a person knows one of them.
    const std::string& wanted = *match_.port_path;
    const std::string found = device_.port_path();
    condition("portPath", wanted,
              device_.peer_path.empty() ? found : fmt::format("{} ({} on the other side)", found, device_.peer_path),
              wanted == found || (!wanted.empty() && wanted == device_.peer_path));
  }

  void interface_set() {
    const InterfaceSet& set = match_.interfaces;
    const auto found = [&](const InterfaceMatch& match) { return has(device_, match); };
    const auto check = [&](const char* field, const std::vector<InterfaceMatch>& wanted, bool holds) {
      if (!wanted.empty()) condition(field, printed(wanted), printed(device_.interfaces), holds);
    };
    check("interfaces.anyOf", set.any_of, std::ranges::any_of(set.any_of, found));
    check("interfaces.allOf", set.all_of, std::ranges::all_of(set.all_of, found));
    check("interfaces.noneOf", set.none_of, std::ranges::none_of(set.none_of, found));
    const bool no_other = std::ranges::all_of(device_.interfaces, [&](const UsbClass& one) {
      return std::ranges::any_of(set.equals, [&](const InterfaceMatch& match) { return holds(match, one); });
    });
    check("interfaces.equals", set.equals, std::ranges::all_of(set.equals, found) && no_other);
  }

  const UsbMatch& match_;
  const UsbDevice& device_;
  const Expressions& expressions_;
  std::vector<FieldTrace>* trace_;
  bool holds_ = true;
  int conditions_ = 0;
};

} // namespace

std::string regular_expression_error(const std::string& pattern) {
  const RE2 expression(pattern, options());
  return expression.ok() ? std::string() : expression.error();
}

struct UsbRules::Compiled {
  std::vector<UsbRule> rules;
  Expressions expressions;

  void compile(const std::optional<std::string>& pattern, const std::string& place) {
    if (!pattern || expressions.contains(*pattern)) return;
    auto expression = std::make_unique<RE2>(*pattern, options());
    if (!expression->ok()) {
      qemuctl::Diagnostics diagnostics;
      diagnostics.operation = "compile the rules";
      diagnostics.detail = fmt::format("{}: {} is no regular expression: {}", place, *pattern, expression->error());
      throw qemuctl::Error(qemuctl::errc::invalid_argument, std::move(diagnostics));
    }
    expressions.emplace(*pattern, std::move(expression));
  }

  void compile(const std::vector<UsbMatch>& matches, const std::string& place) {
    for (std::size_t i = 0; i < matches.size(); ++i) {
      const std::string path = fmt::format("{}[{}]", place, i);
      compile(matches[i].vendor_name, path + ".vendorName");
      compile(matches[i].product_name, path + ".productName");
      compile(matches[i].driver_path, path + ".driverPath");
    }
  }

  bool matches(const std::vector<UsbMatch>& list, const UsbDevice& device, bool deny, RuleTrace* trace) const {
    bool any = false;
    for (std::size_t i = 0; i < list.size() && (trace || !any); ++i) {
      if (!trace) {
        any = list[i].enabled && Matcher(list[i], device, expressions, nullptr).run();
        continue;
      }
      MatchTrace& match = trace->matches.emplace_back();
      match.deny = deny;
      match.index = i;
      match.enabled = list[i].enabled;
      match.matches = Matcher(list[i], device, expressions, &match.fields).run() && match.enabled;
      any = any || match.matches;
    }
    return any;
  }

  RuleTrace::Outcome outcome(const UsbRule& rule, const UsbDevice& device, RuleTrace* trace) const {
    using Outcome = RuleTrace::Outcome;
    if (!rule.enabled) return Outcome::disabled;
    if (!matches(rule.allow, device, false, trace)) return Outcome::not_allowed;
    return matches(rule.deny, device, true, trace) ? Outcome::denied : Outcome::taken;
  }

  Verdict evaluate(const UsbDevice& device, bool explain) const {
    Verdict verdict;
    for (std::size_t i = 0; i < rules.size() && !verdict.rule; ++i) {
      RuleTrace* trace = explain ? &verdict.trace.emplace_back() : nullptr;
      const RuleTrace::Outcome result = outcome(rules[i], device, trace);
      if (trace) {
        trace->index = i;
        trace->outcome = result;
      }
      if (result == RuleTrace::Outcome::taken) {
        verdict.rule = i;
        verdict.vms = rules[i].vms;
      }
    }
    return verdict;
  }
};

UsbRules::UsbRules(std::vector<UsbRule> rules) {
  auto compiled = std::make_shared<Compiled>();
  compiled->rules = std::move(rules);
  for (std::size_t i = 0; i < compiled->rules.size(); ++i) {
    compiled->compile(compiled->rules[i].allow, fmt::format("rules[{}].allow", i));
    compiled->compile(compiled->rules[i].deny, fmt::format("rules[{}].deny", i));
  }
  compiled_ = std::move(compiled);
}

const std::vector<UsbRule>& UsbRules::rules() const noexcept {
  static const std::vector<UsbRule> none;
  return compiled_ ? compiled_->rules : none;
}

Verdict UsbRules::evaluate(const UsbDevice& device) const {
  return compiled_ ? compiled_->evaluate(device, false) : Verdict();
}

Verdict UsbRules::explain(const UsbDevice& device) const {
  return compiled_ ? compiled_->evaluate(device, true) : Verdict();
}

} // namespace hotplug
