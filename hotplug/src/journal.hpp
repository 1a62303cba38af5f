// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hotplug::detail {

/// Short texts that outlive the engine: a file for each in a folder, which has the whole text or is not there.
class JournalFolder {
 public:
  /// The folder is made when something is written. `operation` is for errors: "note the driver of a device".
  JournalFolder(std::filesystem::path folder, const char* operation)
      : folder_(std::move(folder)), operation_(operation) {}

  /// In alphabetical order.
  std::vector<std::string> names() const;
  /// nullopt: there is none that can be read, or it is longer than any that was written here.
  std::optional<std::string> read(const std::string& name) const;
  /// Replaces what is there. Throws `qemuctl::Error`.
  void write(const std::string& name, const std::string& text) const;
  void remove(const std::string& name) const;

 private:
  std::filesystem::path folder_;
  const char* operation_;
};

/// What the engine changes on the host, written down before it is changed and removed once it is as it was, so that the
/// next engine can undo what one leaves that dies. It need not outlive the host, where all begins anew when it boots.
///
/// A `Record` has a `name()`, which is a file name, and a `text()`; `Record::parse(name, text)` makes it of both, or
/// nullopt of what no record wrote; and `Record::operation` is what writing it is called in errors.
template<class Record>
class Journal {
 public:
  explicit Journal(std::filesystem::path folder) : folder_(std::move(folder), Record::operation) {}

  /// nullopt: there is none, or it cannot be understood.
  std::optional<Record> find(const std::string& name) const {
    const std::optional<std::string> text = folder_.read(name);
    return text ? Record::parse(name, *text) : std::nullopt;
  }
  /// Those that can be understood.
  std::vector<Record> all() const {
    std::vector<Record> records;
    for (const std::string& name : folder_.names())
      if (std::optional<Record> record = find(name)) records.push_back(std::move(*record));
    return records;
  }
  /// Keeps one with that name that is there already: it says what was so before anything was changed. Throws
  /// `qemuctl::Error`.
  void add(const Record& record) const {
    if (!find(record.name())) folder_.write(record.name(), record.text());
  }
  void remove(const std::string& name) const { folder_.remove(name); }

 private:
  JournalFolder folder_;
};

} // namespace hotplug::detail
