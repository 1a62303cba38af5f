// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "cache.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/file_descriptor.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string_view>
#include <system_error>

namespace qemuctl::detail {

namespace {

namespace fs = std::filesystem;

/// `query-qmp-schema` is about 200 kB; nothing larger is kept.
constexpr std::size_t max_file_size = std::size_t{4} << 20;

/// FNV-1a; a collision is found out by the key in the file.
std::uint64_t hash(std::string_view text) noexcept {
  std::uint64_t value = 14'695'981'039'346'656'037u;
  for (const char character : text) value = (value ^ static_cast<unsigned char>(character)) * 1'099'511'628'211u;
  return value;
}

fs::path file_of(const CacheKey& key) {
  const fs::path folder = cache_dir();
  return folder.empty() ? fs::path() : folder / fmt::format("{}-{:016x}.json", key.kind, hash(key.subject.dump()));
}

Json whole_key(const CacheKey& key) {
  Json json;
  json.set("kind", key.kind);
  json.set("subject", key.subject);
  json.set("state", key.state);
  return json;
}

/// The whole file; empty when it is missing, too large, somebody else's or no plain file.
std::string read_own_file(const fs::path& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode) || info.st_uid != ::geteuid()) return {};
  if (info.st_size <= 0 || static_cast<std::size_t>(info.st_size) > max_file_size) return {};
  std::string text(static_cast<std::size_t>(info.st_size), '\0');
  const ssize_t count = ::read(file.get(), text.data(), text.size());
  return count == info.st_size ? text : std::string();
}

bool write_all(int fd, std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

/// As `mkdir -p`, each new folder for this user alone (XDG Base Directory Specification).
void make_folders(const fs::path& folder) {
  fs::path path;
  for (const fs::path& part : folder) {
    path /= part;
    ::mkdir(path.c_str(), 0700);
  }
}

std::int64_t modified_ns(const struct stat& info) noexcept {
  return std::int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

bool is_script(const fs::path& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  char start[2] = {};
  return !file || ::read(file.get(), start, sizeof start) != sizeof start || std::string_view(start, 2) == "#!";
}

/// The folders where a QEMU under `prefix` looks for modules: `lib/qemu`, `lib64/qemu` and, on Debian,
/// `lib/x86_64-linux-gnu/qemu`.
std::set<fs::path> module_folders(const fs::path& prefix) {
  std::set<fs::path> folders{prefix / "lib/qemu", prefix / "lib64/qemu"};
  std::error_code ec;
  for (fs::directory_iterator entry(prefix / "lib", ec), end; !ec && entry != end; entry.increment(ec))
    if (entry->path().filename().native().find("-linux-") != std::string::npos) folders.insert(entry->path() / "qemu");
  return folders;
}

} // namespace

fs::path cache_dir() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache && cache[0] == '/') return fs::path(cache) / "qemuctl"; // the specification has relative ones ignored
  if (::geteuid() == 0) return "/var/cache/qemuctl";
  const char* home = std::getenv("HOME");
  return home && home[0] == '/' ? fs::path(home) / ".cache/qemuctl" : fs::path();
}

std::optional<Json> cache_load(const CacheKey& key) {
  const fs::path path = file_of(key);
  const std::string text = path.empty() ? std::string() : read_own_file(path);
  if (text.empty()) return std::nullopt;
  try {
    const Json content = parse_json(text);
    const Json* stored = content.find("key");
    const Json* value = content.find("value");
    if (!stored || !value || *stored != whole_key(key)) return std::nullopt;
    return *value;
  } catch (const Error&) { // damaged
    return std::nullopt;
  }
}

void cache_store(const CacheKey& key, const Json& value) noexcept {
  try {
    const fs::path path = file_of(key);
    Json content;
    content.set("key", whole_key(key));
    content.set("value", value);
    const std::string text = content.dump();
    if (path.empty() || text.size() > max_file_size) return;

    make_folders(path.parent_path());
    std::string temporary = path.native() + ".XXXXXX";
    const FileDescriptor file(::mkostemp(temporary.data(), O_CLOEXEC)); // mode 0600
    if (!file) return;
    if (!write_all(file.get(), text) || std::rename(temporary.c_str(), path.c_str()) != 0) ::unlink(temporary.c_str());
  } catch (...) { // it will be found out again
  }
}

Json program_state(const fs::path& program) {
  struct stat info {};
  if (::stat(program.c_str(), &info) != 0 || is_script(program)) return {};

  std::error_code ec;
  Json modules = Json::array();
  for (const fs::path& folder : module_folders(fs::canonical(program, ec).parent_path().parent_path()))
    if (struct stat entry{}; ::stat(folder.c_str(), &entry) == 0)
      modules.push_back(Json::array({folder.native(), modified_ns(entry)}));
  return Json::object({{"size", static_cast<std::int64_t>(info.st_size)},
                       {"modified", modified_ns(info)},
                       {"modules", std::move(modules)}});
}

} // namespace qemuctl::detail
