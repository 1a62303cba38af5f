// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "rule_matching.hpp"

#include <qemuctl/error.hpp>

#include <re2/re2.h>

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

} // namespace

std::string regular_expression_error(const std::string& pattern) {
  const RE2 expression(pattern, options());
  return expression.ok() ? std::string() : expression.error();
}

namespace detail {

Expressions::Expressions() = default;
Expressions::~Expressions() = default;

void Expressions::compile(const std::optional<std::string>& pattern, const std::string& place) {
  if (!pattern || compiled_.contains(*pattern)) return;
  auto expression = std::make_unique<RE2>(*pattern, options());
  if (!expression->ok()) {
    qemuctl::Diagnostics diagnostics;
    diagnostics.operation = "compile the rules";
    diagnostics.detail = fmt::format("{}: {} is no regular expression: {}", place, *pattern, expression->error());
    throw qemuctl::Error(qemuctl::errc::invalid_argument, std::move(diagnostics));
  }
  compiled_.emplace(*pattern, std::move(expression));
}

bool Expressions::match(const std::string& pattern, const std::string& text) const {
  return compiled_.at(pattern)->Match(text, 0, text.size(), RE2::ANCHOR_START, nullptr, 0);
}

void Conditions::add(const char* field, std::string wanted, std::string found, bool holds) {
  ++count_;
  hold_ = hold_ && holds;
  if (trace_) trace_->push_back({field, std::move(wanted), std::move(found), holds});
}

void Conditions::text(const char* field, const std::optional<std::string>& wanted, const std::string& found) {
  if (wanted && !done()) add(field, *wanted, found, *wanted == found);
}

void Conditions::expression(const char* field, const std::optional<std::string>& wanted, const std::string& found) {
  if (wanted && !done()) add(field, *wanted, found, expressions_.match(*wanted, found));
}

} // namespace detail

} // namespace hotplug
