// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// qemuctl/vm.schema.json against the reader of vm.json, of which it is made.
#include "catch.hpp"
#include "config/formats.hpp"
#include "golden.hpp"
#include "schema.hpp"

#include <algorithm>
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

} // namespace

TEST_CASE("vm.schema.json is the schema the reader implements") {
  const std::string text =
      test::schema_text(detail::vm_config_format().schema, "A QEMU virtual machine, as qemuctl-run takes it");
  if (test::update_golden()) test::write_file(schema_file(), text);
  CHECK(text == test::read_file(schema_file()));
}

TEST_CASE("the schema of vm.json and its reader accept and reject the same shapes") {
  std::vector<Json> documents;
  for (const test::Golden& golden : test::goldens()) {
    const Json document = parse_json(golden.vm_json);
    CHECK(has_right_shape(document));
    for (Json& spoilt : test::spoilt(document)) documents.push_back(std::move(spoilt));
  }
  const std::vector<bool> accepted = test::verdicts(schema_file(), documents);
  for (std::size_t i = 0; i < documents.size(); ++i) {
    INFO(documents[i].dump());
    CHECK(accepted[i] == has_right_shape(documents[i]));
  }
  CHECK(std::ranges::count(accepted, true) > 100);
  CHECK(std::ranges::count(accepted, false) > 1000);
}
