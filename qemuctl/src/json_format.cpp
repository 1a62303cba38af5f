// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "json_format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>
#include <string_view>

namespace qemuctl::detail {

namespace {

template<typename T>
std::optional<T> report(const Json& json, const std::string& path, const std::string& expected, ReadContext& context) {
  context.problems.add(path, describe(json), expected);
  return std::nullopt;
}

Format<std::string> string_format(std::string expected, std::string (*convert)(const std::string&, ReadContext&)) {
  const auto recognise = [](const Json& json) { return json.is_string(); };
  const auto read = [expected, convert](const Json& json, const std::string& path,
                                        ReadContext& context) -> std::optional<std::string> {
    if (!json.is_string()) return report<std::string>(json, path, expected, context);
    if (json.as_string().find('\0') != std::string::npos) {
      context.problems.add(path, describe(json), expected + " without NUL characters");
      return std::nullopt;
    }
    return convert(json.as_string(), context);
  };
  return {expected, recognise, read, Json::object({{"type", "string"}})};
}

std::string resolve(const std::string& path, ReadContext& context) {
  if (path.empty() || context.base_dir.empty()) return path;
  // Not normalised: "link/.." is not the folder that has the link.
  return (context.base_dir / path).string();
}

/// Bytes; nullopt when the text is no size with a unit.
std::optional<std::uint64_t> parse_size(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (text.starts_with(' ')) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  constexpr std::string_view units = "KMGT";
  const char letter = text[0] >= 'a' && text[0] <= 'z' ? static_cast<char>(text[0] - 'a' + 'A') : text[0];
  const std::size_t unit = units.find(letter);
  const std::string_view rest = text.substr(1);
  if (unit == std::string_view::npos || (rest != "" && rest != "B" && rest != "iB")) return std::nullopt;
  const std::uint64_t factor = std::uint64_t{1} << (10 * (unit + 1));
  if (number > std::numeric_limits<std::uint64_t>::max() / factor) return std::nullopt;
  return number * factor;
}

/// An unknown key may be anything.
std::string printable_key(const std::string& key) {
  const bool plain = !key.empty() && key.size() <= 64 && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '$';
  });
  return plain ? key : in_quotes(key);
}

/// The member at a path such as `machine.accel`; nullptr when it is not there.
const Json* find_path(const Json& object, std::string_view path) {
  const Json* place = &object;
  while (place && !path.empty()) {
    const std::size_t dot = path.find('.');
    place = place->find(path.substr(0, dot));
    path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  }
  return place;
}

/// Unknown keys, missing ones, and those that cannot be used together.
void check_keys(const Json& object, const std::vector<AnyKey>& keys, const std::string& path, ReadContext& context) {
  std::vector<std::string> names;
  for (const AnyKey& key : keys) names.push_back(key.name);
  std::set<std::string> suggested;
  for (const auto& [name, value] : object.as_object()) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    const std::string near = nearest_word(name, names);
    context.problems.add(member_path(path, printable_key(name)),
                         "unknown key; " + (near.empty() ? "known here: " + listed(names, "and")
                                                         : fmt::format("did you mean {}?", in_quotes(near))));
    suggested.insert(near);
  }
  for (const AnyKey& key : keys) {
    if (!object.contains(key.name)) {
      // A misspelt key is one mistake, not two.
      if (key.required && !suggested.contains(key.name))
        context.problems.add(member_path(path, key.name), "is missing, expected " + key.expected);
      continue;
    }
    const auto other = std::find_if(key.instead_of.begin(), key.instead_of.end(),
                                    [&](const std::string& place) { return find_path(object, place) != nullptr; });
    if (other != key.instead_of.end())
      context.problems.add(member_path(path, key.name),
                           fmt::format("says the same as {}; leave one of them out", member_path(path, *other)));
  }
}

} // namespace

std::string describe(const Json& json) {
  switch (json.kind()) {
  case Json::Kind::string:
    return in_quotes(json.as_string());
  case Json::Kind::array:
    return "a list";
  case Json::Kind::object:
    return "an object";
  default:
    return json.dump();
  }
}

std::string member_path(const std::string& path, const std::string& key) {
  return path.empty() ? key : path + "." + key;
}

Format<std::string> text(const std::string& expected) {
  return string_format(expected, [](const std::string& value, ReadContext&) { return value; });
}

Format<std::string> file_path() {
  return string_format("a path", resolve);
}

Format<std::string> file_path_or(const std::vector<std::string>& words) {
  Format<std::string> format = file_path();
  format.read = [words, read = std::move(format.read)](const Json& json, const std::string& path,
                                                       ReadContext& context) -> std::optional<std::string> {
    if (json.is_string() && std::find(words.begin(), words.end(), json.as_string()) != words.end())
      return json.as_string();
    return read(json, path, context);
  };
  return format;
}

Format<std::string> program_path() {
  return string_format("a path", [](const std::string& value, ReadContext& context) {
    return value.find('/') == std::string::npos ? value : resolve(value, context);
  });
}

Format<std::string> word(const std::vector<std::string>& words) {
  Format<std::string> format;
  format.expected = listed(words);
  format.recognise = [](const Json& json) { return json.is_string(); };
  format.read = [words, expected = format.expected](const Json& json, const std::string& path,
                                                    ReadContext& context) -> std::optional<std::string> {
    if (json.is_string() && std::find(words.begin(), words.end(), json.as_string()) != words.end())
      return json.as_string();
    const std::string near = json.is_string() && words.size() > 2 ? nearest_word(json.as_string(), words) : "";
    const std::string hint = near.empty() ? "" : fmt::format("; did you mean {}?", in_quotes(near));
    return report<std::string>(json, path, expected + hint, context);
  };
  Json::Array choices(words.begin(), words.end());
  format.schema = Json::object({{"enum", Json::array(std::move(choices))}});
  return format;
}

Format<bool> boolean() {
  const auto recognise = [](const Json& json) { return json.is_bool(); };
  const auto read = [](const Json& json, const std::string& path, ReadContext& context) -> std::optional<bool> {
    if (!json.is_bool()) return report<bool>(json, path, "true or false", context);
    return json.as_bool();
  };
  return {"true or false", recognise, read, Json::object({{"type", "boolean"}})};
}

namespace {

template<typename Number>
Format<Number> number(Number min, Number max) {
  const std::string expected = max == std::numeric_limits<Number>::max()
                                   ? fmt::format("a whole number, at least {}", min)
                                   : fmt::format("a whole number from {} to {}", min, max);
  const auto recognise = [](const Json& json) { return json.is_number(); };
  const auto read = [min, max, expected](const Json& json, const std::string& path,
                                         ReadContext& context) -> std::optional<Number> {
    // What does not fit 64 signed bits is `unsigned_integer`.
    if (json.kind() != Json::Kind::integer || json.as_int() < min || json.as_int() > max)
      return report<Number>(json, path, expected, context);
    return static_cast<Number>(json.as_int());
  };
  Json schema = Json::object({{"type", "integer"}, {"minimum", min}, {"maximum", max}});
  return {expected, recognise, read, std::move(schema)};
}

/// A number of `unit` bytes, or a string with its own unit.
Format<std::uint64_t> size(std::uint64_t unit, std::string_view unit_name, std::uint64_t min, std::uint64_t max) {
  const std::string expected =
      fmt::format("a whole number of {} ({} to {}) or a string such as \"512M\" or \"2G\"", unit_name, min, max);
  const auto recognise = [](const Json& json) { return json.is_number() || json.is_string(); };
  const auto read = [unit, min, max, expected](const Json& json, const std::string& path,
                                               ReadContext& context) -> std::optional<std::uint64_t> {
    std::optional<std::uint64_t> size;
    if (json.is_string()) {
      size = parse_size(json.as_string());
      if (size) size = *size % unit == 0 ? std::optional(*size / unit) : std::nullopt;
    } else if (json.kind() == Json::Kind::integer && json.as_int() >= 0) {
      size = json.as_uint();
    }
    if (!size || *size < min || *size > max) return report<std::uint64_t>(json, path, expected, context);
    return size;
  };
  Json number = Json::object({{"type", "integer"}, {"minimum", min}, {"maximum", max}});
  Json string = Json::object({{"type", "string"}, {"pattern", "^[0-9]+ ?[KMGTkmgt](i?B)?$"}});
  return {expected, recognise, read, Json::object({{"anyOf", Json::array({std::move(number), std::move(string)})}})};
}

} // namespace

Format<int> whole_number(int min, int max) {
  return number(min, max);
}

Format<std::uint32_t> number_32(std::uint32_t min, std::uint32_t max) {
  return number(min, max);
}

Format<int> hexadecimal_16() {
  const std::string expected = "four hexadecimal digits, such as \"046d\"";
  const auto recognise = [](const Json& json) { return json.is_string(); };
  const auto read = [expected](const Json& json, const std::string& path, ReadContext& context) -> std::optional<int> {
    if (json.is_string()) {
      std::string_view digits = json.as_string();
      if (digits.starts_with("0x")) digits.remove_prefix(2);
      int value = 0;
      const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
      if (error == std::errc() && end == digits.data() + digits.size() && digits.size() <= 4 && value >= 0)
        return value;
    }
    return report<int>(json, path, expected, context);
  };
  Json schema = Json::object({{"type", "string"}, {"pattern", "^(0x)?[0-9a-fA-F]{1,4}$"}});
  return {expected, recognise, read, std::move(schema)};
}

Format<std::uint64_t> size_in_mib(std::uint64_t min, std::uint64_t max) {
  return size(std::uint64_t{1} << 20, "MiB", min, max);
}

Format<std::uint64_t> size_in_bytes(std::uint64_t min, std::uint64_t max) {
  return size(1, "bytes", min, max);
}

Json object_schema(const std::vector<AnyKey>& keys) {
  Json properties = Json::object();
  Json required_keys = Json::array();
  for (const AnyKey& key : keys) {
    properties.set(key.name, key.schema);
    if (key.required) required_keys.push_back(key.name);
  }
  Json schema = Json::object({{"type", "object"}});
  schema.set("properties", std::move(properties));
  schema.set("additionalProperties", false);
  if (required_keys.size() > 0) schema.set("required", std::move(required_keys));
  return schema;
}

bool read_object(void* target, const std::vector<AnyKey>& keys, const Json& json, const std::string& path,
                 ReadContext& context) {
  if (!json.is_object()) {
    context.problems.add(path, describe(json), "an object");
    return false;
  }
  check_keys(json, keys, path, context);
  for (const AnyKey& key : keys)
    if (const Json* member = json.find(key.name)) key.read(target, *member, member_path(path, key.name), context);
  return true;
}

} // namespace qemuctl::detail
