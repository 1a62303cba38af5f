// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include <qemuctl/error.hpp>
#include <qemuctl/json.hpp>

#include <algorithm>

namespace qemuctl {

namespace {

const char* name_of(Json::Kind kind) {
  switch (kind) {
  case Json::Kind::null:
    return "null";
  case Json::Kind::boolean:
    return "a boolean";
  case Json::Kind::integer:
  case Json::Kind::unsigned_integer:
    return "an integer";
  case Json::Kind::real:
    return "a real number";
  case Json::Kind::string:
    return "a string";
  case Json::Kind::array:
    return "an array";
  case Json::Kind::object:
    return "an object";
  }
  return "an unknown value";
}

[[noreturn]] void refuse_access(std::string detail) {
  throw Error(errc::invalid_argument, {.operation = "use a JSON value", .detail = std::move(detail)});
}

[[noreturn]] void refuse_kind(const char* expected, Json::Kind found) {
  refuse_access(std::string(expected) + " is expected, not " + name_of(found));
}

} // namespace

Json Json::array(Array items) {
  return Json(std::move(items));
}

Json Json::object(Object members) {
  return Json(std::move(members));
}

Json::Kind Json::kind() const noexcept {
  static_assert(std::variant_size_v<decltype(value_)> == static_cast<std::size_t>(Kind::object) + 1);
  return static_cast<Kind>(value_.index());
}

bool Json::as_bool() const {
  if (const auto* value = std::get_if<bool>(&value_)) return *value;
  refuse_kind("a boolean", kind());
}

std::int64_t Json::as_int() const {
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return *value;
  if (is_integer()) refuse_access("the integer " + dump() + " is too big for 64 signed bits");
  refuse_kind("an integer", kind());
}

std::uint64_t Json::as_uint() const {
  if (const auto* value = std::get_if<std::uint64_t>(&value_)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&value_)) {
    if (*value < 0) refuse_access("an integer from 0 is expected, not " + dump());
    return static_cast<std::uint64_t>(*value);
  }
  refuse_kind("an integer", kind());
}

double Json::as_double() const {
  if (const auto* value = std::get_if<double>(&value_)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*value);
  if (const auto* value = std::get_if<std::uint64_t>(&value_)) return static_cast<double>(*value);
  refuse_kind("a number", kind());
}

const std::string& Json::as_string() const {
  if (const auto* value = std::get_if<std::string>(&value_)) return *value;
  refuse_kind("a string", kind());
}

const Json::Array& Json::as_array() const {
  if (const auto* value = std::get_if<Array>(&value_)) return *value;
  refuse_kind("an array", kind());
}

Json::Array& Json::as_array() {
  if (auto* value = std::get_if<Array>(&value_)) return *value;
  refuse_kind("an array", kind());
}

const Json::Object& Json::as_object() const {
  if (const auto* value = std::get_if<Object>(&value_)) return *value;
  refuse_kind("an object", kind());
}

Json::Object& Json::as_object() {
  if (auto* value = std::get_if<Object>(&value_)) return *value;
  refuse_kind("an object", kind());
}

const Json& Json::at(std::string_view key) const {
  if (!is_object()) refuse_kind("an object", kind());
  if (const Json* value = find(key)) return *value;
  refuse_access("the member " + Json(key).dump() + " is missing");
}

const Json& Json::at(std::size_t index) const {
  const Array& items = as_array();
  if (index >= items.size())
    refuse_access("the array has " + std::to_string(items.size()) + " items, none with index " + std::to_string(index));
  return items[index];
}

const Json* Json::find(std::string_view key) const noexcept {
  const auto* members = std::get_if<Object>(&value_);
  if (members == nullptr) return nullptr;
  const auto found = std::ranges::find(*members, key, &Member::first);
  return found == members->end() ? nullptr : &found->second;
}

Json& Json::set(std::string_view key, Json value) {
  if (is_null()) value_ = Object{};
  Object& members = as_object();
  const auto found = std::ranges::find(members, key, &Member::first);
  if (found == members.end())
    members.emplace_back(std::string(key), std::move(value));
  else
    found->second = std::move(value);
  return *this;
}

Json& Json::push_back(Json value) {
  if (is_null()) value_ = Array{};
  as_array().push_back(std::move(value));
  return *this;
}

std::size_t Json::size() const noexcept {
  if (const auto* items = std::get_if<Array>(&value_)) return items->size();
  if (const auto* members = std::get_if<Object>(&value_)) return members->size();
  return 0;
}

} // namespace qemuctl
