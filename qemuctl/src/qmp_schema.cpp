// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "qmp_schema.hpp"

#include <algorithm>
#include <string_view>
#include <unordered_map>

namespace qemuctl::detail {

namespace {

class Schema {
 public:
  explicit Schema(const Json& entities) {
    if (!entities.is_array()) return;
    for (const Json& entity : entities.as_array()) by_name_.emplace(text(entity, "name"), &entity);
  }

  /// What a command takes; nullptr when there is no such command.
  const Json* arguments(std::string_view command) const {
    const Json* entity = find(command);
    return entity ? find(text(*entity, "arg-type")) : nullptr;
  }

  /// What a command answers; of a list, what is in it.
  const Json* answer(std::string_view command) const {
    const Json* entity = find(command);
    const Json* type = entity ? find(text(*entity, "ret-type")) : nullptr;
    return type && text(*type, "meta-type") == "array" ? find(text(*type, "element-type")) : type;
  }

  /// The type of a member of an object.
  const Json* member(const Json* object, std::string_view name) const {
    for (const Json* one : list(object, "members"))
      if (text(*one, "name") == name) return find(text(*one, "type"));
    return nullptr;
  }

  /// The type of what an object has besides when its tag has this value.
  const Json* variant(const Json* object, std::string_view value) const {
    for (const Json* one : list(object, "variants"))
      if (text(*one, "case") == value) return find(text(*one, "type"));
    return nullptr;
  }

  /// The values of an enumeration.
  static std::vector<std::string> values(const Json* enumeration) { return names(enumeration, "members", "name"); }

  static std::vector<std::string> names(const Json* object, const char* what, const char* key) {
    std::vector<std::string> all;
    for (const Json* one : list(object, what)) all.emplace_back(text(*one, key));
    return all;
  }

 private:
  static std::string_view text(const Json& object, std::string_view key) {
    const Json* value = object.is_object() ? object.find(key) : nullptr;
    return value && value->is_string() ? std::string_view(value->as_string()) : std::string_view();
  }

  static std::vector<const Json*> list(const Json* object, std::string_view key) {
    std::vector<const Json*> all;
    const Json* value = object && object->is_object() ? object->find(key) : nullptr;
    if (value && value->is_array())
      for (const Json& one : value->as_array()) all.push_back(&one);
    return all;
  }

  const Json* find(std::string_view name) const {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
  }

  std::unordered_map<std::string_view, const Json*> by_name_;
};

} // namespace

std::vector<std::string> schema_features(const Json& entities) {
  const Schema schema(entities);
  std::vector<std::string> features;
  const auto add = [&](const std::string& prefix, const std::vector<std::string>& names) {
    for (const std::string& name : names) features.push_back(prefix + name);
  };
  const Json* netdev = schema.arguments("netdev_add");
  add("netdev/", Schema::names(netdev, "variants", "case"));
  add("netdev/stream/", Schema::names(schema.variant(netdev, "stream"), "members", "name"));
  add("blockdev/", Schema::names(schema.arguments("blockdev-add"), "variants", "case"));
  const Json* chardev = schema.member(schema.arguments("chardev-add"), "backend");
  add("chardev/", Schema::names(chardev, "variants", "case"));
  const Json* socket = schema.member(schema.variant(chardev, "socket"), "data");
  add("chardev/socket/", Schema::names(socket, "members", "name"));
  add("audiodev/", Schema::names(schema.answer("query-audiodevs"), "variants", "case"));
  // Displays without options of their own have no variant, but are a value of the tag.
  const Json* display_type = schema.member(schema.answer("query-display-options"), "type");
  add("display/", Schema::values(display_type));
  std::ranges::sort(features);
  return features;
}

} // namespace qemuctl::detail
