// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "cache.hpp"
#include "programs.hpp"
#include "qemu_info_json.hpp"
#include "qemu_probe.hpp"
#include "qmp_schema.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/qemu_info.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <utility>

namespace qemuctl {

namespace {

namespace fs = std::filesystem;

struct Architecture {
  std::string_view name;    ///< GOARCH
  std::string_view machine; ///< as uname(2) calls it
  std::string_view qemu;    ///< as QEMU calls it
  std::string_view package; ///< Debian's
};

constexpr Architecture architectures[] = {
    {"amd64", "x86_64", "x86_64", "qemu-system-x86"},
    {"386", "i686", "i386", "qemu-system-x86"},
    {"arm64", "aarch64", "aarch64", "qemu-system-arm"},
    {"arm", "armv7l", "arm", "qemu-system-arm"},
    {"riscv64", "riscv64", "riscv64", "qemu-system-misc, in Debian 13 qemu-system-riscv"},
    {"ppc64", "ppc64", "ppc64", "qemu-system-ppc"},
    {"ppc64le", "ppc64le", "ppc64", "qemu-system-ppc"},
    {"mips", "mips", "mips", "qemu-system-mips"},
    {"mips64", "mips64", "mips64", "qemu-system-mips"},
    {"s390x", "s390x", "s390x", "qemu-system-misc, in Debian 13 qemu-system-s390x"},
};

Error failure(errc code, std::string operation, std::string subject, std::string detail, std::string advice = {}) {
  Diagnostics diagnostics;
  diagnostics.operation = std::move(operation);
  diagnostics.subject = std::move(subject);
  diagnostics.detail = std::move(detail);
  diagnostics.advice = std::move(advice);
  return {make_error_code(code), std::move(diagnostics)};
}

/// The host's architecture in uname(2)'s words, the many 32-bit ones of a family as one.
std::string host_machine() {
  utsname host{};
  ::uname(&host);
  const std::string machine = host.machine;
  if (machine.starts_with("armv")) return "armv7l";
  return machine.size() == 4 && machine.front() == 'i' && machine.ends_with("86") ? "i686" : machine;
}

/// The entry for `arch`, or for the host when that is empty.
const Architecture& find_architecture(std::string_view arch) {
  const auto key = arch.empty() ? &Architecture::machine : &Architecture::name;
  const std::string wanted = arch.empty() ? host_machine() : std::string(arch);
  const auto found = std::ranges::find(architectures, wanted, key);
  if (found != std::end(architectures)) return *found;

  std::vector<std::string_view> known;
  std::string name_here;
  for (const Architecture& architecture : architectures) {
    known.push_back(architecture.name);
    if (name_here.empty() && (architecture.machine == wanted || architecture.qemu == wanted))
      name_here = fmt::format("; '{}' is '{}'", wanted, architecture.name);
  }
  throw failure(errc::invalid_argument, "choose a QEMU", arch.empty() ? "this host's architecture" : "architecture",
                fmt::format("'{}' is not known", wanted),
                fmt::format("Known are {}{}", fmt::join(known, ", "), name_here));
}

fs::path find_program(const std::string& name, const std::string& advice) {
  const std::vector<fs::path> folders =
      detail::program_folders({"/pkg/main/app-emulation.qemu.core/bin", "/usr/bin", "/usr/local/bin"});
  for (const fs::path& folder : folders)
    if (detail::is_program(folder / name)) return fs::absolute(folder / name);
  std::vector<std::string> searched;
  for (const fs::path& folder : folders) searched.push_back(folder.native());
  throw failure(errc::not_found, "find QEMU", name, fmt::format("it is not in any of {}", fmt::join(searched, ", ")),
                advice);
}

fs::path check_program(const fs::path& path) {
  std::error_code ec;
  if (detail::is_program(path)) return fs::absolute(path);
  throw failure(errc::not_found, "find QEMU", path.native(),
                !fs::exists(path, ec)            ? "there is no such file"
                : !fs::is_regular_file(path, ec) ? "it is no file that could be executed"
                                                 : "it is not executable");
}

/// The names in the reply to `qom-list-types`.
std::vector<std::string> type_names(const Json& reply) {
  std::vector<std::string> names;
  for (const Json& type : reply.as_array()) names.push_back(type.at("name").as_string());
  std::ranges::sort(names);
  return names;
}

std::optional<QemuInfo> load(const fs::path& binary, const detail::CacheKey& key) {
  try {
    if (const auto json = detail::cache_load(key)) return detail::qemu_info_from_json(binary, *json);
  } catch (const Error&) { // not what we would have written
  }
  return std::nullopt;
}

/// Another one whenever `ask` asks for more: what older versions of this library have remembered is not enough.
constexpr const char* cache_kind = "qemu-3";

Json concrete_types(std::string_view base) {
  Json arguments;
  arguments.set("implements", base);
  arguments.set("abstract", false);
  return arguments;
}

/// The commands that describe what `-machine` and `-cpu` take call it so.
std::vector<std::string> names_and_aliases(const Json& list) {
  std::vector<std::string> names;
  for (const Json& entry : list.as_array())
    for (const char* key : {"name", "alias"})
      if (entry.contains(key)) names.push_back(entry.at(key).as_string());
  std::ranges::sort(names);
  return names;
}

bool has_command(const Json& schema, std::string_view name) {
  return std::ranges::any_of(schema.as_array(), [&](const Json& entity) {
    return entity.at("meta-type") == Json("command") && entity.at("name") == Json(name);
  });
}

/// The schema lists all block drivers that were built, but these are modules that may not be installed. QEMU says so
/// only when one is used: here with a secret that does not exist, which is rejected before anything is connected
/// to.
asio::awaitable<bool> lacks_module(detail::QemuProbe& probe, std::string driver) {
  Json node;
  node.set("driver", driver);
  node.set("node-name", "probe");
  if (driver == "rbd") {
    node.set("pool", "none");
    node.set("image", "none");
    node.set("key-secret", "none");
  } else {
    node.set("transport", "tcp");
    node.set("portal", "none");
    node.set("target", "none");
    node.set("user", "none");
    node.set("password-secret", "none");
  }
  const std::string why = co_await probe.refusal("blockdev-add", std::move(node));
  co_return why.find("Unknown driver") != std::string::npos;
}

asio::awaitable<QemuInfo> ask(fs::path binary) {
  constexpr std::chrono::seconds timeout(20);
  // The machine without parts runs under any accelerator; TCG is not built in everywhere.
  std::vector<std::string> arguments{"-machine", "none,accel=tcg:kvm"};
  detail::QemuProbe probe = co_await detail::QemuProbe::start(binary, std::move(arguments), timeout);
  const Json version = co_await probe.execute("query-version");
  Json accel = concrete_types("accel");
  const Json accelerators = co_await probe.execute("qom-list-types", std::move(accel));
  Json device = concrete_types("device");
  const Json devices = co_await probe.execute("qom-list-types", std::move(device));
  Json pci_device = concrete_types("pci-device");
  const Json pci_devices = co_await probe.execute("qom-list-types", std::move(pci_device));
  Json object = concrete_types("user-creatable");
  const Json objects = co_await probe.execute("qom-list-types", std::move(object));
  Json chardev = concrete_types("chardev");
  const Json chardevs = co_await probe.execute("qom-list-types", std::move(chardev));
  const Json schema = co_await probe.execute("query-qmp-schema");
  const Json machines = co_await probe.execute("query-machines");
  Json cpu_models = Json::array({});
  if (has_command(schema, "query-cpu-definitions")) cpu_models = co_await probe.execute("query-cpu-definitions");
  std::vector<std::string> features = detail::schema_features(schema);
  for (const char* driver : {"iscsi", "rbd"}) {
    const std::string feature = fmt::format("blockdev/{}", driver);
    const bool known = std::ranges::binary_search(features, feature);
    if (known && co_await lacks_module(probe, driver)) std::erase(features, feature);
  }
  co_await probe.end();

  QemuInfo info;
  info.path = std::move(binary);
  const Json& numbers = version.at("qemu");
  const auto number = [&](const char* name) { return static_cast<int>(numbers.at(name).as_int()); };
  info.version = {number("major"), number("minor"), number("micro")};
  info.package = version.at("package").as_string();
  info.devices = type_names(devices);
  info.pci_devices = type_names(pci_devices);
  info.objects = type_names(objects);
  constexpr std::string_view prefix = "chardev-";
  for (const std::string& name : type_names(chardevs))
    if (name.starts_with(prefix)) info.chardevs.push_back(name.substr(prefix.size()));
  info.machines = names_and_aliases(machines);
  info.cpu_models = names_and_aliases(cpu_models);
  info.features = std::move(features);
  constexpr std::string_view suffix = "-accel";
  for (std::string& name : type_names(accelerators))
    if (name.ends_with(suffix)) info.accelerators.push_back(name.substr(0, name.size() - suffix.size()));
  co_return info;
}

} // namespace

std::string to_string(const QemuVersion& version) {
  return fmt::format("{}.{}.{}", version.major, version.minor, version.micro);
}

bool QemuInfo::has_accelerator(std::string_view name) const noexcept {
  return std::ranges::find(accelerators, name) != accelerators.end();
}

bool QemuInfo::has_device(std::string_view type) const noexcept {
  return std::ranges::binary_search(devices, type);
}

bool QemuInfo::has_object(std::string_view type) const noexcept {
  return std::ranges::binary_search(objects, type);
}

bool QemuInfo::has_chardev(std::string_view type) const noexcept {
  return std::ranges::binary_search(chardevs, type);
}

bool QemuInfo::has_feature(std::string_view feature) const noexcept {
  return std::ranges::binary_search(features, feature);
}

std::string qemu_binary_name(std::string_view arch) {
  return fmt::format("qemu-system-{}", find_architecture(arch).qemu);
}

fs::path find_qemu(std::string_view arch, std::string_view qemu_path) {
  if (qemu_path.find('/') != std::string_view::npos) return check_program(qemu_path);
  if (!qemu_path.empty()) return find_program(std::string(qemu_path), {});
  const Architecture& architecture = find_architecture(arch);
  return find_program(fmt::format("qemu-system-{}", architecture.qemu),
                      fmt::format("Debian has it in the package {}", architecture.package));
}

asio::awaitable<QemuInfo> probe_qemu(fs::path binary) {
  detail::CacheKey key{cache_kind, binary.native(), detail::program_state(binary)};
  const bool cacheable = !key.state.is_null();
  if (cacheable)
    if (std::optional<QemuInfo> known = load(binary, key)) co_return std::move(*known);
  QemuInfo info = co_await ask(std::move(binary));
  if (cacheable) detail::cache_store(key, detail::qemu_info_to_json(info));
  co_return info;
}

} // namespace qemuctl
