// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// JSON Schemas that are made of the readers of files, against another implementation of JSON Schema.
#pragma once

#include <qemuctl/json.hpp>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace test {

/// The text of a schema file: `schema` with a title, a line for each key so that a change can be read.
std::string schema_text(const qemuctl::Json& schema, const std::string& title);

/// `document` with each of its parts spoilt in each of several ways.
std::vector<qemuctl::Json> spoilt(const qemuctl::Json& document);

/// Which of `documents` python3-jsonschema accepts by the schema in `file`. Skips the case when it is not there.
std::vector<bool> verdicts(const std::filesystem::path& file, const std::vector<qemuctl::Json>& documents);

} // namespace test
