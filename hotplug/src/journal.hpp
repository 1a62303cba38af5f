// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hotplug::detail {

/// Short texts that outlive the engine, one file each in a folder. A file is complete or absent.
class JournalFolder {
 public:
  /// The folder is created by the first write. `operation` is for errors: "note the driver of a device".
  JournalFolder(std::filesystem::path folder, const char* operation)
      : folder_(std::move(folder)), operation_(operation) {}

  /// In alphabetical order.
  std::vector<std::string> names() const;
  /// nullopt: it does not exist, cannot be read, or is longer than anything written here.
  std::optional<std::string> read(const std::string& name) const;
  /// Replaces the file atomically. Throws `qemuctl::Error`.
  void write(const std::string& name, const std::string& text) const;
  void remove(const std::string& name) const;

 private:
  std::filesystem::path folder_;
  const char* operation_;
};

/// Records changes to the host before they are made, until they are undone, so that the next engine can undo those of
/// one that died. Need not survive a reboot, which undoes them all.
///
/// A `Record` has a `name()`, which is a file name, and a `text()`; `Record::parse(name, text)` reverses that, with
/// nullopt for anything else; `Record::operation` describes the write in errors.
template<class Record>
class Journal {
 public:
  explicit Journal(std::filesystem::path folder) : folder_(std::move(folder), Record::operation) {}

  /// nullopt: it does not exist or is invalid.
  std::optional<Record> find(const std::string& name) const {
    const std::optional<std::string> text = folder_.read(name);
    return text ? Record::parse(name, *text) : std::nullopt;
  }
  /// All valid records.
  std::vector<Record> all() const {
    std::vector<Record> records;
    for (const std::string& name : folder_.names())
      if (std::optional<Record> record = find(name)) records.push_back(std::move(*record));
    return records;
  }
  /// Keeps an existing record of that name: it has the state before the first change. Throws `qemuctl::Error`.
  void add(const Record& record) const {
    if (!find(record.name())) folder_.write(record.name(), record.text());
  }
  void remove(const std::string& name) const { folder_.remove(name); }

 private:
  JournalFolder folder_;
};

} // namespace hotplug::detail
