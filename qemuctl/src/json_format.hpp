// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// How values of C++ types are written in a JSON file: small formats that are put together to the format of the whole.
// Each of them both reads and describes itself as JSON Schema, so that the two can not differ.
#pragma once

#include "nearest_word.hpp"
#include "problems.hpp"

#include <qemuctl/json.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace qemuctl::detail {

/// What is being read, for those who report problems or resolve relative paths.
struct ReadContext {
  Problems& problems;
  std::filesystem::path base_dir;
};

/// How a T is written.
template<typename T>
struct Format {
  std::string expected;                       ///< as it follows "expected": "true or false"
  std::function<bool(const Json&)> recognise; ///< by the kind alone: is this how somebody tried to write it?
  /// The value, or nullopt after a problem was reported for `path`.
  std::function<std::optional<T>(const Json& json, const std::string& path, ReadContext& context)> read;
  Json schema; ///< draft 2020-12
};

/// One key of an object that is read into a T.
template<typename T>
struct Key {
  std::string name;
  bool required = false;
  std::vector<std::string> instead_of; ///< keys (`cpu.cores`) that say the same, so that only one can be there
  std::function<void(T& target, const Json& json, const std::string& path, ReadContext& context)> read;
  std::string expected;
  Json schema;
};

/// What stands there, for messages: a short value itself, otherwise its kind.
std::string describe(const Json& json);
std::string member_path(const std::string& path, const std::string& key);

// --- single values ------------------------------------------------------------------------------------------------

Format<std::string> text(const std::string& expected = "a string");
/// A path; a relative one is relative to the folder of the file.
Format<std::string> file_path();
/// A path, or the name of a program, which is searched elsewhere: what has no slash stays as it is.
Format<std::string> program_path();
Format<std::string> word(const std::vector<std::string>& words);
Format<bool> boolean();
Format<int> whole_number(int min, int max);
/// MiB as a number, or a string with a unit ("2G"; K, M, G, T, also as "GiB" or "GB", all of them powers of 1024).
Format<std::uint64_t> size_in_mib(std::uint64_t min, std::uint64_t max);

// --- compositions -------------------------------------------------------------------------------------------------

/// A T that is written as an A.
template<typename A, typename Convert>
auto converted(Format<A> format, Convert convert) {
  using T = std::invoke_result_t<Convert, A>;
  return Format<T>{format.expected, format.recognise,
                   [read = std::move(format.read), convert](const Json& json, const std::string& path,
                                                            ReadContext& context) -> std::optional<T> {
                     std::optional<A> value = read(json, path, context);
                     if (!value) return std::nullopt;
                     return convert(std::move(*value));
                   },
                   std::move(format.schema)};
}

/// A T that is written in one of two ways, which differ in kind.
template<typename T>
Format<T> either(Format<T> first, Format<T> second) {
  Json schema = Json::object({{"anyOf", Json::array({first.schema, second.schema})}});
  std::string expected = first.expected + " or " + second.expected;
  const auto recognise = [a = first.recognise, b = second.recognise](const Json& json) { return a(json) || b(json); };
  const auto read = [a = std::move(first), b = std::move(second), expected](const Json& json, const std::string& path,
                                                                            ReadContext& context) -> std::optional<T> {
    if (a.recognise(json)) return a.read(json, path, context);
    if (b.recognise(json)) return b.read(json, path, context);
    context.problems.add(path, describe(json), expected);
    return std::nullopt;
  };
  return {expected, recognise, read, std::move(schema)};
}

template<typename T>
Format<std::vector<T>> list_of(Format<T> item) {
  Json schema = Json::object({{"type", "array"}, {"items", item.schema}});
  const auto recognise = [](const Json& json) { return json.is_array(); };
  const auto read = [item = std::move(item)](const Json& json, const std::string& path,
                                             ReadContext& context) -> std::optional<std::vector<T>> {
    if (!json.is_array()) {
      context.problems.add(path, describe(json), "a list");
      return std::nullopt;
    }
    std::vector<T> values;
    for (std::size_t i = 0; i < json.size(); ++i) {
      std::optional<T> value = item.read(json.at(i), path + "[" + std::to_string(i) + "]", context);
      // A place holder keeps the indexes of what follows right, for checks of the whole.
      values.push_back(value ? std::move(*value) : T());
    }
    return values;
  };
  return {"a list", recognise, read, std::move(schema)};
}

/// A key whose value goes to `target`: a member of T, or a function that takes a T& and the value.
template<typename T, typename Target, typename V>
Key<T> key(std::string name, Target target, Format<V> format, std::string description) {
  Key<T> result;
  result.name = std::move(name);
  result.expected = format.expected;
  result.schema = std::move(format.schema);
  result.schema.set("description", std::move(description));
  result.read = [target, read = std::move(format.read)](T& object, const Json& json, const std::string& path,
                                                        ReadContext& context) {
    std::optional<V> value = read(json, path, context);
    if (!value) return;
    if constexpr (std::is_member_object_pointer_v<Target>)
      object.*target = std::move(*value);
    else
      target(object, std::move(*value));
  };
  return result;
}

template<typename T>
Key<T> required(Key<T> key) {
  key.required = true;
  return key;
}

template<typename T>
Key<T> instead_of(std::vector<std::string> others, Key<T> key) {
  key.instead_of = std::move(others);
  return key;
}

/// The key that tells one kind of object from others: see `one_of_kinds`.
template<typename T>
Key<T> kind_key(std::string name, const std::string& kind, std::string description) {
  return required(key<T>(
      std::move(name), [](T&, const std::string&) {}, word({kind}), std::move(description)));
}

/// The part of reading an object that does not depend on its type.
struct KeyFacts {
  std::string name;
  bool required = false;
  std::vector<std::string> instead_of;
  std::string expected;
};
void check_keys(const Json& object, const std::vector<KeyFacts>& keys, const std::string& path, ReadContext& context);

/// An object that is read into a T. The keys are read in this order, whatever the order in the file.
template<typename T>
Format<T> object(std::vector<Key<T>> keys) {
  std::vector<KeyFacts> facts;
  Json properties = Json::object();
  Json required_keys = Json::array();
  for (const Key<T>& key : keys) {
    facts.push_back({key.name, key.required, key.instead_of, key.expected});
    properties.set(key.name, key.schema);
    if (key.required) required_keys.push_back(key.name);
  }
  Json schema = Json::object({{"type", "object"}, {"properties", properties}, {"additionalProperties", false}});
  if (required_keys.size() > 0) schema.set("required", required_keys);
  const auto recognise = [](const Json& json) { return json.is_object(); };
  const auto read = [keys = std::move(keys), facts = std::move(facts)](const Json& json, const std::string& path,
                                                                       ReadContext& context) -> std::optional<T> {
    if (!json.is_object()) {
      context.problems.add(path, describe(json), "an object");
      return std::nullopt;
    }
    check_keys(json, facts, path, context);
    T value;
    for (const Key<T>& key : keys)
      if (const Json* member = json.find(key.name)) key.read(value, *member, member_path(path, key.name), context);
    return value;
  };
  return {"an object", recognise, read, std::move(schema)};
}

/// An object of one of several kinds, told apart by the word under `name`. Each has a `kind_key`.
template<typename T>
Format<T> one_of_kinds(const std::string& name, std::vector<std::pair<std::string, Format<T>>> kinds) {
  std::vector<std::string> words;
  Json schemas = Json::array();
  for (const auto& [kind, format] : kinds) {
    words.push_back(kind);
    schemas.push_back(format.schema);
  }
  const auto recognise = [](const Json& json) { return json.is_object(); };
  const auto read = [name, kinds = std::move(kinds), word_format = word(words)](
                        const Json& json, const std::string& path, ReadContext& context) -> std::optional<T> {
    if (!json.is_object()) {
      context.problems.add(path, describe(json), "an object");
      return std::nullopt;
    }
    const Json* member = json.find(name);
    if (!member) {
      context.problems.add(member_path(path, name), "is missing, expected " + word_format.expected);
      return std::nullopt;
    }
    const std::optional<std::string> kind = word_format.read(*member, member_path(path, name), context);
    for (const auto& [known, format] : kinds)
      if (kind == known) return format.read(json, path, context);
    return std::nullopt;
  };
  return {"an object", recognise, read, Json::object({{"oneOf", std::move(schemas)}})};
}

} // namespace qemuctl::detail
