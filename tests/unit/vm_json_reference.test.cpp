// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// qemuctl/VM_JSON.md against the table of keys that the parser uses.
#include "catch.hpp"
#include "config/formats.hpp"
#include "golden.hpp"

#include <qemuctl/json.hpp>
#include <qemuctl/vm_config_json.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <set>
#include <string>
#include <string_view>

using namespace qemuctl;

namespace {

constexpr std::string_view begin_mark = "<!-- keys: written by the tests, see UPDATE_GOLDEN -->\n";
constexpr std::string_view end_mark = "<!-- end of keys -->\n";

/// What a value looks like, in a few words.
std::string value_text(const Json& schema) {
  for (const char* alternatives : {"anyOf", "oneOf"}) {
    const Json* list = schema.find(alternatives);
    if (!list) continue;
    std::string text;
    for (const Json& one : list->as_array()) {
      const std::string part = value_text(one);
      if (text.find(part) == std::string::npos) text += (text.empty() ? "" : " or ") + part;
    }
    return text;
  }
  if (const Json* words = schema.find("enum")) {
    std::string text;
    for (const Json& word : words->as_array())
      text += fmt::format("{}`\"{}\"`", text.empty() ? "" : ", ", word.as_string());
    return text;
  }
  const std::string& type = schema.at("type").as_string();
  if (type == "boolean") return "`true`, `false`";
  if (type == "array") return "list: " + value_text(schema.at("items"));
  if (type == "integer" && schema.at("maximum") == Json(std::numeric_limits<int>::max()))
    return fmt::format("number from {}", schema.at("minimum").dump());
  if (type == "integer")
    return fmt::format("number, {} to {}", schema.at("minimum").dump(), schema.at("maximum").dump());
  return type;
}

void add_rows(const Json& schema, const std::string& path, std::set<std::string>& seen, std::string& rows) {
  for (const char* alternatives : {"anyOf", "oneOf"})
    if (const Json* list = schema.find(alternatives))
      for (const Json& one : list->as_array()) add_rows(one, path, seen, rows);
  if (const Json* items = schema.find("items")) add_rows(*items, path + "[]", seen, rows);
  const Json* properties = schema.find("properties");
  if (!properties) return;
  for (const auto& [key, value] : properties->as_object()) {
    const std::string name = path.empty() ? key : path + "." + key;
    if (seen.insert(name).second) {
      const Json* required = schema.find("required");
      const bool is_required = required && std::ranges::count(required->as_array(), Json(key)) > 0;
      std::string meaning = is_required ? "*Required.* " : "";
      for (const char c : value.at("description").as_string())
        meaning += c == '|' ? std::string("\\|") : std::string(1, c);
      rows += fmt::format("| `{}` | {} | {} |\n", name, value_text(value), meaning);
    }
    add_rows(value, name, seen, rows);
  }
}

} // namespace

TEST_CASE("VM_JSON.md lists every key that vm.json can have") {
  std::set<std::string> seen;
  std::string table = "\n| key | value | meaning |\n|---|---|---|\n";
  add_rows(detail::vm_config_format().schema, "", seen, table);
  table += "\n";
  CHECK(seen.contains("disks[].backend.path"));

  const auto file = test::source_dir() / "qemuctl/VM_JSON.md";
  std::string text = test::read_file(file);
  const std::size_t begin = text.find(begin_mark), end = text.find(end_mark);
  REQUIRE(begin != std::string::npos);
  REQUIRE(end != std::string::npos);
  const std::size_t from = begin + begin_mark.size();
  if (test::update_golden()) {
    text.replace(from, end - from, table);
    test::write_file(file, text);
  }
  CHECK(test::read_file(file).substr(from, table.size() + end_mark.size()) == table + std::string(end_mark));
}

TEST_CASE("the examples in VM_JSON.md are read without errors") {
  const std::string text = test::read_file(test::source_dir() / "qemuctl/VM_JSON.md");
  constexpr std::string_view fence = "```json\n";
  int examples = 0;
  for (std::size_t at = text.find(fence); at != std::string::npos; at = text.find(fence, at + 1)) {
    const std::size_t from = at + fence.size();
    INFO(text.substr(from, text.find("```", from) - from));
    CHECK_NOTHROW(parse_vm_config(text.substr(from, text.find("```", from) - from), "VM_JSON.md"));
    ++examples;
  }
  CHECK(examples > 0);
}
