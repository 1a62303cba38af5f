// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "qmp_schema.hpp"

#include "catch.hpp"

#include <string>
#include <vector>

using namespace qemuctl;
using detail::schema_features;

namespace {

/// As QEMU writes it: types have numbers for names.
constexpr const char* schema = R"([
  {"name": "netdev_add", "meta-type": "command", "arg-type": "7", "ret-type": "0"},
  {"name": "7", "meta-type": "object", "tag": "type", "members": [{"name": "id", "type": "str"}],
   "variants": [{"case": "user", "type": "8"}, {"case": "stream", "type": "9"}]},
  {"name": "8", "meta-type": "object", "members": []},
  {"name": "9", "meta-type": "object", "members": [{"name": "addr", "type": "10"}, {"name": "reconnect-ms", "type": "int"}]},
  {"name": "chardev-add", "meta-type": "command", "arg-type": "20", "ret-type": "0"},
  {"name": "20", "meta-type": "object", "members": [{"name": "id", "type": "str"}, {"name": "backend", "type": "21"}]},
  {"name": "21", "meta-type": "object", "tag": "type", "members": [], "variants": [{"case": "socket", "type": "22"}]},
  {"name": "22", "meta-type": "object", "members": [{"name": "data", "type": "23"}]},
  {"name": "23", "meta-type": "object", "members": [{"name": "reconnect", "type": "int"}]},
  {"name": "blockdev-add", "meta-type": "command", "arg-type": "30", "ret-type": "0"},
  {"name": "30", "meta-type": "object", "variants": [{"case": "rbd", "type": "8"}]},
  {"name": "query-audiodevs", "meta-type": "command", "arg-type": "0", "ret-type": "[40]"},
  {"name": "[40]", "meta-type": "array", "element-type": "40"},
  {"name": "40", "meta-type": "object", "variants": [{"case": "pa", "type": "8"}]},
  {"name": "query-display-options", "meta-type": "command", "arg-type": "0", "ret-type": "50"},
  {"name": "50", "meta-type": "object", "members": [{"name": "type", "type": "51"}]},
  {"name": "51", "meta-type": "enum", "members": [{"name": "gtk"}], "values": ["gtk"]}
])";

} // namespace

TEST_CASE("features are found by walking the schema from its commands") {
  CHECK(schema_features(parse_json(schema)) == std::vector<std::string>{"audiodev/pa", "blockdev/rbd", "chardev/socket",
                                                                        "chardev/socket/reconnect", "display/gtk",
                                                                        "netdev/stream", "netdev/stream/addr",
                                                                        "netdev/stream/reconnect-ms", "netdev/user"});
}

TEST_CASE("a schema of another shape has fewer features and is not an error") {
  for (const char* other :
       {"[]", "{}", "null", "[1, {}, {\"name\": 3}]", R"([{"name": "netdev_add"}])",
        R"([{"name": "netdev_add", "arg-type": "netdev_add"}])",
        R"([{"name": "chardev-add", "arg-type": "1"}, {"name": "1", "members": [{"name": "backend"}]}])"})
    CHECK(schema_features(parse_json(other)).empty());
}
