// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// How values of C++ types are written in a JSON file: small formats, composed into the format of the whole file. Each
// of them both reads values and describes itself as JSON Schema, so that the two cannot differ.
#pragma once

#include "nearest_word.hpp"
#include "problems.hpp"

#include <qemuctl/json.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace qemuctl::detail {

/// What is being read, for reporting problems and resolving relative paths.
struct ReadContext {
  Problems& problems;
  std::filesystem::path base_dir;
};

/// How a T is written.
template<typename T>
struct Format {
  std::string expected;                       ///< as it follows "expected": "true or false"
  std::function<bool(const Json&)> recognise; ///< by the kind alone: is this an attempt to write one?
  /// The value, or nullopt after a problem was reported for `path`.
  std::function<std::optional<T>(const Json& json, const std::string& path, ReadContext& context)> read;
  Json schema; ///< draft 2020-12
};

/// One key of an object.
struct AnyKey {
  std::string name;
  bool required = false;
  std::vector<std::string> instead_of; ///< equivalent keys (`cpu.cores`), of which only one may be present
  std::function<void(void* target, const Json& json, const std::string& path, ReadContext& context)> read;
  std::string expected;
  Json schema;
};

/// One key of an object that is read into a T.
template<typename T>
struct Key : AnyKey {};

/// What was found, for messages: a short value itself, otherwise its kind.
std::string describe(const Json& json);
std::string member_path(const std::string& path, const std::string& key);

// --- single values ------------------------------------------------------------------------------------------------

Format<std::string> text(const std::string& expected = "a string");
/// A path; a relative one is relative to the folder of the file.
Format<std::string> file_path();
/// The same, or one of these special words.
Format<std::string> file_path_or(const std::vector<std::string>& words);
/// A path, or the name of a program to be searched for: without a slash it stays as is.
Format<std::string> program_path();
Format<std::string> word(const std::vector<std::string>& words);
Format<bool> boolean();
Format<int> whole_number(int min, int max);
Format<std::uint32_t> number_32(std::uint32_t min, std::uint32_t max);
/// The id of a USB vendor or product, in hexadecimal as everywhere else: "046d", "0x046d".
Format<int> hexadecimal_16();
/// MiB as a number, or a string with a unit ("2G"; K, M, G, T, also as "GiB" or "GB", all of them powers of 1024).
Format<std::uint64_t> size_in_mib(std::uint64_t min, std::uint64_t max);
/// The same with bytes as a number.
Format<std::uint64_t> size_in_bytes(std::uint64_t min, std::uint64_t max);

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

/// A T that is written in one of two ways, told apart by kind.
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
      // A placeholder keeps the indexes of later items right, for checks of the whole.
      values.push_back(value ? std::move(*value) : T());
    }
    return values;
  };
  return {"a list", recognise, read, std::move(schema)};
}

/// A key whose value goes to `target`: a member of T, or a function that takes a T& and the value.
template<typename T, typename Target, typename V>
Key<T> key(const char* name, Target target, Format<V> format, const char* description) {
  Key<T> result;
  result.name = name;
  result.expected = std::move(format.expected);
  result.schema = std::move(format.schema);
  result.schema.set("description", description);
  result.read = [target, read = std::move(format.read)](void* object, const Json& json, const std::string& path,
                                                        ReadContext& context) {
    std::optional<V> value = read(json, path, context);
    if (!value) return;
    T& typed = *static_cast<T*>(object);
    if constexpr (std::is_member_object_pointer_v<Target>)
      typed.*target = std::move(*value);
    else
      target(typed, std::move(*value));
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

/// The key that distinguishes kinds of objects: see `one_of_kinds`.
template<typename T>
Key<T> kind_key(const char* name, const char* kind, const char* description) {
  return required(key<T>(
      name, [](T&, const std::string&) {}, word({kind}), description));
}

Json object_schema(const std::vector<AnyKey>& keys);
/// Reads the keys, in their order, into `target`, which has the type they were made for. False: `json` is not an
/// object.
bool read_object(void* target, const std::vector<AnyKey>& keys, const Json& json, const std::string& path,
                 ReadContext& context);

/// An object that is read into a T. The keys are read in this order, whatever the order in the file.
template<typename T>
Format<T> object(const std::vector<Key<T>>& list) {
  std::vector<AnyKey> keys(list.begin(), list.end());
  Json schema = object_schema(keys);
  const auto recognise = [](const Json& json) { return json.is_object(); };
  const auto read = [keys = std::move(keys)](const Json& json, const std::string& path,
                                             ReadContext& context) -> std::optional<T> {
    T value{};
    if (!read_object(&value, keys, json, path, context)) return std::nullopt;
    return value;
  };
  return {"an object", recognise, read, std::move(schema)};
}

template<typename T>
Format<T> object(std::initializer_list<Key<T>> list) {
  return object<T>(std::vector<Key<T>>(list));
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
