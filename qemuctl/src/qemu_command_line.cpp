// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "discovery.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/json.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

namespace qemuctl::detail {

namespace {

/// The options without an argument, of QEMU 1.0 and newer (those without HAS_ARG in `qemu-options.hx`). Every other one
/// consumes the next argument, whatever it looks like.
constexpr std::string_view flags[] = {
    "S",
    "alt-grab",
    "async-teardown",
    "audio-help",
    "ctrl-grab",
    "curses",
    "daemonize",
    "enable-fips",
    "enable-hax",
    "enable-kvm",
    "enable-sync-profile",
    "full-screen",
    "h",
    "help",
    "jitdump",
    "localtime",
    "mem-prealloc",
    "no-acpi",
    "no-fd-bootchk",
    "no-frame",
    "no-hpet",
    "no-kvm",
    "no-kvm-irqchip",
    "no-kvm-pit",
    "no-kvm-pit-reinjection",
    "no-quit",
    "no-reboot",
    "no-shutdown",
    "no-user-config",
    "nodefaults",
    "nodefconfig",
    "nographic",
    "old-param",
    "only-migratable",
    "perfmap",
    "portrait",
    "preconfig",
    "s",
    "sdl",
    "semihosting",
    "show-cursor",
    "singlestep",
    "snapshot",
    "tdf",
    "usb",
    "version",
    "win2k-hack",
    "xen-attach",
    "xen-create",
    "xen-domid-restrict",
};

/// `key=value,key=value,...` as QEMU reads it (`util/qemu-option.c`): a comma in a value is doubled, the last of
/// several equal keys counts, `key` alone means `key=on` and `nokey` means `key=off`.
class Options {
 public:
  Options() = default;

  /// A first item without '=' is the value of `implied`.
  Options(std::string_view text, std::string_view implied) {
    for (bool first = true; !text.empty(); first = false) {
      const std::size_t end = std::min(text.find_first_of("=,"), text.size());
      if (end < text.size() && text[end] == '=') {
        std::string key(text.substr(0, end));
        text.remove_prefix(end + 1);
        set(std::move(key), take_value(text));
      } else if (first && !implied.empty()) {
        set(std::string(implied), take_value(text));
      } else {
        std::string_view key = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        const bool off = key.starts_with("no");
        if (off) key.remove_prefix(2);
        set(std::string(key), off ? "off" : "on");
      }
    }
  }

  /// The members of a JSON object that are strings or booleans.
  explicit Options(const Json& object) {
    if (!object.is_object()) return;
    for (const auto& [key, value] : object.as_object()) {
      if (value.is_string()) set(key, value.as_string());
      if (value.is_bool()) set(key, value.as_bool() ? "on" : "off");
    }
  }

  void set(std::string key, std::string value) { values_.insert_or_assign(std::move(key), std::move(value)); }

  std::string get(const std::string& key) const {
    const auto found = values_.find(key);
    return found == values_.end() ? std::string() : found->second;
  }

  bool has(const std::string& key) const { return values_.contains(key); }

  bool is_on(const std::string& key, bool otherwise = false) const {
    const auto found = values_.find(key);
    if (found == values_.end()) return otherwise;
    const std::string& value = found->second;
    return value == "on" || value == "yes" || value == "true" || value == "y";
  }

 private:
  static std::string take_value(std::string_view& text) {
    std::string value;
    while (!text.empty()) {
      const char character = text.front();
      text.remove_prefix(1);
      if (character == ',') {
        if (!text.starts_with(',')) break;
        text.remove_prefix(1);
      }
      value += character;
    }
    return value;
  }

  std::map<std::string, std::string> values_;
};

/// A character device, from `-chardev` or from the short form that `-qmp` takes. "backend" is its type.
struct Chardev {
  Options options;
  std::string written;
};

/// What `-qmp` accepts instead of a chardev id (`qemu_chr_parse_compat` in `chardev/char.c`): "unix:PATH,...",
/// "tcp:HOST:PORT,...", "stdio", ...
Options parse_short_chardev(std::string_view text) {
  const auto colon = std::min(text.find(':'), text.size());
  const std::string_view kind = text.substr(0, colon);
  std::string_view rest = text.substr(std::min(colon + 1, text.size()));

  if (kind == "unix") {
    Options options(rest, "path");
    options.set("backend", "socket");
    return options;
  }
  const bool wrapped = kind == "telnet" || kind == "tn3270" || kind == "websocket" || kind == "websock";
  if (kind == "tcp" || wrapped) {
    const std::string_view address = rest.substr(0, std::min(rest.find(','), rest.size()));
    rest.remove_prefix(std::min(address.size() + 1, rest.size()));
    Options options(rest, {});
    options.set("backend", "socket");
    const auto port = address.rfind(':');
    options.set("host", std::string(address.substr(0, std::min(port, address.size()))));
    options.set("port", std::string(port == std::string_view::npos ? "" : address.substr(port + 1)));
    if (wrapped) options.set(kind == "websock" ? "websocket" : std::string(kind), "on");
    return options;
  }
  Options options;
  options.set("backend", std::string(kind.substr(0, std::min(kind.find(','), kind.size()))));
  return options;
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return port;
}

using Target = decltype(MonitorOption::target);

Target unusable(std::string what) {
  return MonitorOption::Unusable{std::move(what)};
}

Target describe_tcp(const Options& options) {
  const auto port = parse_port(options.get("port"));
  if (!port) return unusable(fmt::format("its port is not a number: '{}'", options.get("port")));
  if (*port == 0 || options.has("to")) return unusable("QEMU chose its port when it started");
  std::string host = options.get("host");
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return MonitorAddress(TcpAddress{host.empty() ? "localhost" : host, *port});
}

Target describe(const Options& options) {
  const std::string backend = options.get("backend");
  if (backend == "stdio") return unusable("it is QEMU's standard input and output");
  if (backend == "pty") return unusable("it is a pseudo-terminal");
  if (backend != "socket") return unusable(fmt::format("its character device is of type '{}', not a socket", backend));

  for (const char* protocol : {"telnet", "tn3270", "websocket"})
    if (options.is_on(protocol)) return unusable(fmt::format("it speaks {}, not plain QMP", protocol));
  if (options.has("tls-creds")) return unusable("it uses TLS");

  const bool server = options.is_on("server");
  if (options.has("fd")) {
    int fd = -1;
    const std::string text = options.get("fd");
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), fd);
    if (error != std::errc() || *end != '\0' || fd < 0)
      return unusable(fmt::format("its descriptor is not a number: '{}'", text));
    if (!server) return unusable("it is a socket that is connected to the program that started QEMU");
    return MonitorOption::InheritedFd{fd};
  }
  if (!server) return unusable("it is a client: QEMU connects to somebody and does not listen");
  if (!options.has("path")) return describe_tcp(options);
  if (options.is_on("abstract")) return MonitorAddress(UnixAbstract{options.get("path"), options.is_on("tight", true)});
  return MonitorAddress(UnixPath{options.get("path")});
}

/// Collects what the options say, in any order, and puts it together at the end.
class Reader {
 public:
  void read(const std::string& option, const std::string& value) {
    const std::string_view name = std::string_view(option).substr(option.starts_with("--") ? 2 : 1);
    const std::string written = option + " " + value;
    if (name == "name") {
      const Options options(value, "guest");
      if (options.has("guest")) line_.name = options.get("guest");
    } else if (name == "chardev") {
      const Options options(value, "backend");
      chardevs_.insert_or_assign(options.get("id"), Chardev{options, written});
    } else if (name == "qmp" || name == "qmp-pretty") {
      constexpr std::string_view by_id = "chardev:";
      if (value.starts_with(by_id))
        monitors_.push_back({value.substr(by_id.size()), {}, written});
      else
        monitors_.push_back({{}, parse_short_chardev(value), written});
    } else if (name == "mon") {
      const Options options(value, "chardev");
      if (options.get("mode") == "control") monitors_.push_back({options.get("chardev"), {}, written});
    } else if (name == "object") {
      const Options options = object_options(value);
      if (options.get("qom-type") == "monitor-qmp") monitors_.push_back({options.get("chardev"), {}, written});
    }
  }

  QemuCommandLine finish() {
    for (Monitor& monitor : monitors_) {
      if (monitor.chardev_id.empty()) {
        line_.monitors.push_back({describe(monitor.chardev), std::move(monitor.written)});
      } else if (const auto chardev = chardevs_.find(monitor.chardev_id); chardev != chardevs_.end()) {
        line_.monitors.push_back({describe(chardev->second.options), chardev->second.written + " " + monitor.written});
      } else {
        line_.monitors.push_back({unusable("its character device is not on the command line"), monitor.written});
      }
    }
    return std::move(line_);
  }

 private:
  struct Monitor {
    std::string chardev_id; ///< empty: `chardev` says it
    Options chardev;
    std::string written;
  };

  static Options object_options(std::string value) {
    if (!value.starts_with('{')) return Options(value, "qom-type");
    // QEMU's parser takes single quotes, too, which spare backslashes in shell scripts.
    if (value.find('"') == std::string::npos) std::ranges::replace(value, '\'', '"');
    try {
      return Options(parse_json(value));
    } catch (const Error&) { // something QEMU reads and we do not; no program writes such a thing
      return {};
    }
  }

  QemuCommandLine line_;
  std::map<std::string, Chardev> chardevs_;
  std::vector<Monitor> monitors_;
};

} // namespace

QemuCommandLine parse_qemu_command_line(const std::vector<std::string>& argv) {
  Reader reader;
  for (std::size_t index = 1; index < argv.size(); ++index) {
    const std::string& option = argv[index];
    if (!option.starts_with('-')) continue; // a disk image
    const std::string_view name = std::string_view(option).substr(option.starts_with("--") ? 2 : 1);
    if (std::ranges::find(flags, name) != std::end(flags)) continue;
    if (++index < argv.size()) reader.read(option, argv[index]);
  }
  return reader.finish();
}

} // namespace qemuctl::detail
