// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "discovery.hpp"

#include "socket_tables.hpp"
#include "text.hpp"

#include <qemuctl/error.hpp>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <system_error>
#include <utility>

namespace qemuctl::detail {

namespace {

constexpr std::string_view need_rights = "run this as root or as QEMU's user";

std::string proc(int pid, std::string_view name) {
  return fmt::format("/proc/{}/{}", pid, name);
}

/// At most `limit` bytes of a file; empty when it cannot be read.
std::string read_file(const std::string& path, std::size_t limit) {
  constexpr std::size_t piece = 16'384; // files in /proc do not tell their size
  std::ifstream file(path, std::ios::binary);
  std::string text;
  while (file && text.size() < limit) {
    const std::size_t before = text.size();
    text.resize(before + std::min(piece, limit - before));
    file.read(text.data() + before, static_cast<std::streamsize>(text.size() - before));
    text.resize(before + static_cast<std::size_t>(file.gcount()));
  }
  return text;
}

std::vector<std::string> split_at_nul(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const auto end = std::min(text.find('\0'), text.size());
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

std::string_view base_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

Error not_found(int pid, std::string detail, std::string advice = {}) {
  Diagnostics diagnostics;
  diagnostics.operation = "attach to a QEMU by its PID";
  diagnostics.subject = fmt::format("process {}", pid);
  diagnostics.detail = std::move(detail);
  diagnostics.advice = std::move(advice);
  return {make_error_code(errc::not_found), std::move(diagnostics)};
}

/// The process that thread `id` belongs to: `id` itself when that is a process.
int thread_group(int id) {
  std::istringstream status(read_file(proc(id, "status"), 4'096));
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("Tgid:")) return std::atoi(line.c_str() + 5);
  return id;
}

/// Why a process has no command line.
std::string why_no_command_line(int pid) {
  if (process_state(pid) == 'Z') return "it has ended; its parent has not collected its exit status";
  struct stat program {};
  if (::stat(proc(pid, "exe").c_str(), &program) != 0 && errno == ENOENT)
    return "it is a thread of the kernel, or has just ended";
  return "it has no command line; it may be just starting";
}

/// The program and its arguments, without the dynamic loader in front when that was called by name
/// (`ld-linux-x86-64.so.2 --library-path DIR /path/qemu-system-x86_64 ...`).
std::vector<std::string> without_loader(std::vector<std::string> argv) {
  const std::string_view name = base_name(argv[0]);
  if (!name.starts_with("ld") || name.find(".so") == std::string_view::npos) return argv;
  constexpr std::string_view with_value[] = {
      "--library-path",         "--preload",          "--audit", "--argv0", "--inhibit-rpath",
      "--glibc-hwcaps-prepend", "--glibc-hwcaps-mask"};
  std::size_t index = 1;
  while (index < argv.size() && argv[index].starts_with("--"))
    index += std::ranges::find(with_value, argv[index]) == std::end(with_value) ? 1 : 2;
  if (index >= argv.size()) return argv;
  argv.erase(argv.begin(), argv.begin() + static_cast<std::ptrdiff_t>(index));
  return argv;
}

bool is_qemu(int pid, const std::string& program) {
  const auto names_qemu = [](std::string_view path) { return base_name(path).find("qemu") != std::string_view::npos; };
  std::error_code ec; // the link can only be read with the right to trace the process
  return names_qemu(program) || names_qemu(std::filesystem::read_symlink(proc(pid, "exe"), ec).native());
}

/// A socket that listens, from /proc/PID/net/unix; its name as shown there, where NUL bytes are '@'.
std::optional<std::string> listening_unix_socket(int pid, std::uint64_t inode) {
  constexpr unsigned long accepts_connections = 0x10000; // __SO_ACCEPTCON
  std::ifstream table(proc(pid, "net/unix"));
  for (std::string line; std::getline(table, line);) {
    // Num RefCount Protocol Flags Type St Inode Path
    std::istringstream words(line);
    std::string number, references, protocol, type, state, name;
    unsigned long socket_flags = 0;
    std::uint64_t entry = 0;
    words >> number >> references >> protocol >> std::hex >> socket_flags >> type >> state >> std::dec >> entry;
    if (!words || entry != inode) continue;
    if (words.get() != ' ' || !std::getline(words, name) || (socket_flags & accepts_connections) == 0)
      return std::nullopt;
    return name;
  }
  return std::nullopt;
}

std::optional<TcpAddress> listening_tcp_socket(int pid, std::uint64_t inode) {
  for (const char* name : {"net/tcp", "net/tcp6"}) {
    std::ifstream table(proc(pid, name));
    for (std::string line; std::getline(table, line);) {
      const auto socket = parse_tcp_socket(line);
      if (!socket || socket->inode != inode || socket->state != SocketState::listening) continue;
      const bool ipv6 = std::string_view(name) == "net/tcp6";
      if (is_any_address(socket->local.address)) return TcpAddress{ipv6 ? "::1" : "127.0.0.1", socket->local.port};
      char text[INET6_ADDRSTRLEN] = {};
      const auto* address = socket->local.address.data();
      ::inet_ntop(ipv6 ? AF_INET6 : AF_INET, ipv6 ? address : address + 12, text, sizeof text);
      return TcpAddress{text, socket->local.port};
    }
  }
  return std::nullopt;
}

/// Turns what the command line says into addresses that can be connected to from here.
class Resolver {
 public:
  explicit Resolver(int pid)
      : pid_(pid), files_(compare("ns/mnt", "/proc/self/ns/mnt")), network_(compare("ns/net", "/proc/self/ns/net")) {
    if (files_ == View::same) files_ = compare("root", "/");
  }

  struct Result {
    std::optional<MonitorAddress> address;
    std::string problem; ///< why there is no address
  };

  Result operator()(const MonitorOption::Unusable& unusable) const { return problem(unusable.what); }

  Result operator()(const MonitorAddress& address) const { return std::visit(*this, address); }

  Result operator()(const TcpAddress& address) const { return in_our_network(address); }

  Result operator()(const UnixAbstract& address) const { return in_our_network(address); }

  Result operator()(const UnixPath& socket) const {
    const bool relative = !socket.path.starts_with('/');
    if (relative && files_ == View::unknown)
      return problem(
          fmt::format("its path is relative to QEMU's working folder, which cannot be read; {}", need_rights));

    const std::vector<std::string> places = relative ? relative_places(socket.path) : absolute_places(socket.path);
    for (const std::string& path : places) {
      struct stat info {};
      const bool found = ::stat(path.c_str(), &info) == 0;
      // One that may not be looked at may still be there; connecting to it will tell.
      if (found ? S_ISSOCK(info.st_mode) : errno == EACCES) return {UnixPath{path}, {}};
    }
    return problem(fmt::format("there is no socket at {} (any more)", places.front()));
  }

  Result operator()(const MonitorOption::InheritedFd& inherited) const {
    constexpr std::string_view prefix = "socket:[";
    std::error_code ec;
    const std::string link = std::filesystem::read_symlink(proc(pid_, fmt::format("fd/{}", inherited.fd)), ec).native();
    if (ec == std::errc::permission_denied)
      return problem(fmt::format("QEMU inherited its socket, and its descriptors cannot be read; {}", need_rights));
    if (ec) return problem(fmt::format("QEMU has closed its descriptor {}", inherited.fd));
    std::uint64_t inode = 0;
    if (!link.starts_with(prefix) ||
        std::from_chars(link.data() + prefix.size(), link.data() + link.size(), inode).ec != std::errc())
      return problem(fmt::format("QEMU's descriptor {} is no socket", inherited.fd));

    if (const auto name = listening_unix_socket(pid_, inode))
      return name->starts_with('@') ? (*this)(abstract_name(*name)) : (*this)(UnixPath{*name});
    if (const auto address = listening_tcp_socket(pid_, inode)) return (*this)(*address);
    return problem("it is a socket that is connected to the program that started QEMU");
  }

 private:
  enum class View { same, other, unknown };

  static Result problem(std::string text) { return {std::nullopt, std::move(text)}; }

  View compare(std::string_view its_file, const char* our_file) const {
    struct stat its {};
    struct stat ours {};
    if (::stat(proc(pid_, its_file).c_str(), &its) != 0 || ::stat(our_file, &ours) != 0) return View::unknown;
    return its.st_dev == ours.st_dev && its.st_ino == ours.st_ino ? View::same : View::other;
  }

  Result in_our_network(MonitorAddress address) const {
    if (network_ != View::other) return {std::move(address), {}};
    return problem(fmt::format(
        "it listens in another network namespace; run this there: nsenter --net=/proc/{}/ns/net ...", pid_));
  }

  /// The kernel shows every NUL as '@': the one in front, and those QEMU pads the name with when it is not `tight`.
  static UnixAbstract abstract_name(std::string shown) {
    constexpr std::size_t longest = 108;
    const bool padded = shown.size() == longest && shown.ends_with('@');
    shown.erase(0, 1);
    if (padded) shown.erase(shown.find_last_not_of('@') + 1);
    return {std::move(shown), !padded};
  }

  std::vector<std::string> absolute_places(const std::string& path) const {
    if (files_ != View::other) return {path};
    // The plain path counts when whoever made the socket changed QEMU's root afterwards, or lives where we do.
    return {proc(pid_, "root") + path, path};
  }

  std::vector<std::string> relative_places(const std::string& path) const {
    std::vector<std::string> places;
    std::error_code ec;
    const auto folder = std::filesystem::read_symlink(proc(pid_, "cwd"), ec);
    if (files_ == View::same && !ec)
      places.push_back((folder / path).lexically_normal().native());
    else
      places.push_back(proc(pid_, "cwd/") + path);
    // With -daemonize QEMU goes to / after it has made the socket.
    for (const std::string& variable : split_at_nul(read_file(proc(pid_, "environ"), 1 << 20)))
      if (variable.starts_with("PWD=/"))
        for (std::string& place : absolute_places(variable.substr(4) + "/" + path)) places.push_back(std::move(place));
    return places;
  }

  int pid_;
  View files_;
  View network_;
};

} // namespace

char process_state(int pid) noexcept {
  try {
    const std::string stat = read_file(proc(pid, "stat"), 4'096);
    const auto name_end = stat.rfind(") "); // the name may hold anything
    return name_end == std::string::npos || name_end + 2 >= stat.size() ? '\0' : stat[name_end + 2];
  } catch (...) {
    return '\0';
  }
}

std::vector<std::string> read_command_line(int pid) {
  constexpr std::size_t limit = std::size_t{8} << 20; // the kernel allows 6 MiB
  return split_at_nul(read_file(proc(pid, "cmdline"), limit));
}

QemuProcess inspect_qemu_process(int pid) {
  struct stat info {};
  if (pid <= 0 || ::stat(proc(pid, "").c_str(), &info) != 0) throw not_found(pid, "there is no such process");
  if (const int group = thread_group(pid); group != pid)
    throw not_found(pid, fmt::format("it is a thread of process {}", group), "Use that number instead");

  std::vector<std::string> argv = read_command_line(pid);
  if (argv.empty()) throw not_found(pid, why_no_command_line(pid));
  argv = without_loader(std::move(argv));
  if (!is_qemu(pid, argv[0])) throw not_found(pid, fmt::format("it is no QEMU but {}", printable(argv[0])));

  QemuCommandLine line = parse_qemu_command_line(argv);
  QemuProcess process;
  process.pid = pid;
  process.name = std::move(line.name);
  process.argv = std::move(argv);
  const Resolver resolver(pid);
  for (const MonitorOption& monitor : line.monitors) {
    Resolver::Result result = std::visit(resolver, monitor.target);
    std::string description = printable(monitor.option);
    if (!result.address) description += ": " + printable(result.problem);
    process.monitors.push_back({std::move(result.address), std::move(description)});
  }
  return process;
}

} // namespace qemuctl::detail
