// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// qemuctl/vm.schema.json against the reader of vm.json, of which it is made.
#include "catch.hpp"
#include "config/formats.hpp"
#include "golden.hpp"
#include "skip.hpp"
#include "temp_dir.hpp"

#include <qemuctl/json.hpp>

#include <fmt/format.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <string>
#include <vector>

using namespace qemuctl;

namespace {

std::filesystem::path schema_file() {
  return test::source_dir() / "qemuctl/vm.schema.json";
}

bool has_right_shape(const Json& document) {
  detail::Problems problems;
  detail::ReadContext context{problems, {}};
  detail::vm_config_format().read(document, "", context);
  return problems.empty();
}

/// Calls `use` with `document` and then with every way to spoil the part of it at `place`.
template<typename Use>
void spoil(const Json& place, const std::function<Json(Json)>& whole, const Use& use) {
  const std::array<Json, 6> others{Json(), Json(true), Json(-1), Json("?"), Json::array(), Json::object()};
  for (const Json& other : others) use(whole(other));
  if (place.is_object()) {
    Json more = place;
    more.set("nobodyCallsAKeySo", 1);
    use(whole(more));
    for (const auto& [key, value] : place.as_object()) {
      Json less = Json::object();
      for (const auto& [name, member] : place.as_object())
        if (name != key) less.set(name, member);
      use(whole(less));
      spoil(
          value,
          [&, name = key](Json changed) {
            Json copy = place;
            copy.set(name, std::move(changed));
            return whole(std::move(copy));
          },
          use);
    }
  } else if (place.is_array()) {
    for (std::size_t i = 0; i < place.size(); ++i)
      spoil(
          place.at(i),
          [&, i](Json changed) {
            Json copy = Json::array();
            for (std::size_t j = 0; j < place.size(); ++j) copy.push_back(j == i ? changed : place.at(j));
            return whole(std::move(copy));
          },
          use);
  }
}

} // namespace

TEST_CASE("vm.schema.json is the schema of what is read") {
  Json schema = Json::object({{"$schema", "https://json-schema.org/draft/2020-12/schema"},
                              {"title", "A QEMU virtual machine, as qemuctl-run takes it"}});
  for (const auto& [key, value] : detail::vm_config_format().schema.as_object()) schema.set(key, value);
  std::string text = schema.dump();
  // A line for each key, so that a change can be read.
  for (std::size_t at = 0; (at = text.find("\":{\"", at)) != std::string::npos; at += 5) text.insert(at + 3, "\n");
  text += "\n";
  if (test::update_golden()) test::write_file(schema_file(), text);
  CHECK(text == test::read_file(schema_file()));
}

TEST_CASE("the schema and the reader accept and refuse the same shapes") {
  std::vector<Json> documents;
  for (const test::Golden& golden : test::goldens()) {
    const Json document = parse_json(golden.vm_json);
    CHECK(has_right_shape(document));
    spoil(
        document, [](Json changed) { return changed; }, [&](Json spoilt) { documents.push_back(std::move(spoilt)); });
  }
  REQUIRE(documents.size() > 1000);

  const test::TempDir dir;
  std::string list;
  for (const Json& document : documents) list += (list.empty() ? "[" : ",\n") + document.dump();
  test::write_file(dir / "documents", list + "]");
  const std::string command =
      fmt::format("'{}' '{}' '{}' 2>&1", (test::source_dir() / "tests/schema/verdicts").string(),
                  schema_file().string(), (dir / "documents").string());
  FILE* const program = ::popen(command.c_str(), "r");
  REQUIRE(program);
  std::size_t accepted = 0, refused = 0, answered = 0;
  std::array<char, 256> line{};
  while (std::fgets(line.data(), line.size(), program)) {
    const std::string verdict(line.data());
    if (verdict != "yes\n" && verdict != "no\n") {
      UNSCOPED_INFO(verdict);
      continue;
    }
    REQUIRE(answered < documents.size());
    const bool right = has_right_shape(documents[answered]);
    INFO(documents[answered].dump());
    CHECK((verdict == "yes\n") == right);
    ++(right ? accepted : refused);
    ++answered;
  }
  const int status = ::pclose(program);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) test::skip("python3-jsonschema is not installed");
  CHECK(answered == documents.size());
  CHECK(accepted > 100);
  CHECK(refused > 1000);
}
