// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Compares JSON Schemas derived from the file readers with another implementation of JSON Schema.
#pragma once

#include <qemuctl/json.hpp>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace test {

/// The text of a schema file: `schema` with a title, one line per key so that diffs are readable.
std::string schema_text(const qemuctl::Json& schema, const std::string& title);

/// `document` with each of its parts corrupted in several ways.
std::vector<qemuctl::Json> spoilt(const qemuctl::Json& document);

/// Which of `documents` python3-jsonschema accepts for the schema in `file`. Skips the case if it is not installed.
std::vector<bool> verdicts(const std::filesystem::path& file, const std::vector<qemuctl::Json>& documents);

} // namespace test
