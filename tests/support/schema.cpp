// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "schema.hpp"

#include "golden.hpp"
#include "skip.hpp"
#include "temp_dir.hpp"

#include <fmt/format.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <stdexcept>

namespace test {

namespace {

using qemuctl::Json;

/// Calls `use` with every corruption of the part of a document at `place`, from which `whole` rebuilds the document.
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

std::string schema_text(const Json& schema, const std::string& title) {
  Json whole = Json::object({{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", title}});
  for (const auto& [key, value] : schema.as_object()) whole.set(key, value);
  std::string text = whole.dump();
  for (std::size_t at = 0; (at = text.find("\":{\"", at)) != std::string::npos; at += 5) text.insert(at + 3, "\n");
  return text + "\n";
}

std::vector<Json> spoilt(const Json& document) {
  std::vector<Json> documents;
  spoil(
      document, [](Json changed) { return changed; }, [&](Json changed) { documents.push_back(std::move(changed)); });
  return documents;
}

std::vector<bool> verdicts(const std::filesystem::path& file, const std::vector<Json>& documents) {
  const TempDir dir;
  std::string list;
  for (const Json& document : documents) list += (list.empty() ? "[" : ",\n") + document.dump();
  write_file(dir / "documents", list + "]");
  const std::string command = fmt::format("'{}' '{}' '{}' 2>&1", (source_dir() / "tests/schema/verdicts").string(),
                                          file.string(), (dir / "documents").string());
  FILE* const program = ::popen(command.c_str(), "r");
  if (!program) throw std::runtime_error("cannot start " + command);
  std::vector<bool> accepted;
  std::string complaints;
  std::array<char, 256> line{};
  while (std::fgets(line.data(), line.size(), program)) {
    const std::string verdict(line.data());
    if (verdict == "yes\n" || verdict == "no\n")
      accepted.push_back(verdict == "yes\n");
    else
      complaints += verdict;
  }
  const int status = ::pclose(program);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 77) skip("python3-jsonschema is not installed");
  if (accepted.size() != documents.size()) throw std::runtime_error("not every document has a verdict: " + complaints);
  return accepted;
}

} // namespace test
