// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "config_format.hpp"
#include "text_file.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/vm_config_json.hpp>

#include <asio/ip/address.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <system_error>
#include <utility>

namespace hotplug {

namespace {

using qemuctl::Json;
using qemuctl::detail::in_quotes;
using qemuctl::detail::nearest_word;
using qemuctl::detail::Problems;

constexpr const char* operation = "read the configuration";
constexpr std::size_t max_file_size = 4 << 20;
constexpr std::size_t max_nesting = 64;

/// The first place in the file that only one of the formats has; empty: none.
struct FormatSigns {
  std::string first, later;
};

FormatSigns signs_of(const Json& file) {
  FormatSigns signs;
  if (!file.is_object()) return signs;
  const auto note = [](std::string& sign, std::string place) {
    if (sign.empty()) sign = std::move(place);
  };
  for (const char* key :
       {"usbPassthrough", "pciPassthrough", "evdevPassthrough", "acpiPassthrough", "usbAuthorization"})
    if (file.contains(key)) note(signs.later, key);
  const Json* vms = file.find("vms");
  if (!vms || !vms->is_array()) return signs;
  for (std::size_t i = 0; i < vms->size(); ++i) {
    const Json& vm = vms->at(i);
    if (!vm.is_object()) continue;
    for (const char* key : {"qmpSocket", "usbPassthrough", "evdevPassthrough"})
      if (vm.contains(key)) note(signs.first, fmt::format("vms[{}].{}", i, key));
    for (const char* key : {"socket", "pid", "config", "type", "monitor"})
      if (vm.contains(key)) note(signs.later, fmt::format("vms[{}].{}", i, key));
  }
  return signs;
}

void check_vms(const Config& config, Problems& problems) {
  std::map<std::string, std::size_t> names;
  for (std::size_t i = 0; i < config.vms.size(); ++i) {
    const VmEntry& vm = config.vms[i];
    const std::string path = fmt::format("vms[{}]", i);
    if (vm.name.empty()) problems.add(path + ".name", "nothing", "a name");
    const auto [first, inserted] = names.emplace(vm.name, i);
    if (!inserted)
      problems.add(path + ".name", fmt::format("{}, which vms[{}] has, too", in_quotes(vm.name), first->second),
                   "a different one for each VM");
    if (int{!vm.socket.empty()} + int{vm.pid.has_value()} + int{!vm.config.empty()} != 1)
      problems.add(path, "how the VM is found is not clear", "one of socket, pid and config");
    if (vm.auto_start && vm.config.empty()) problems.add(path + ".autoStart", "has no effect without config");
  }
}

/// Adds the VMs whose files are in `general.rest.vmDir`. A file that is wrong is left out with a warning, so that it
/// does not keep the others from being served.
void add_vms_of_folder(Config& config, Problems& problems, std::vector<std::string>& warnings) {
  const std::string& folder = config.general.rest.vm_dir;
  if (folder.empty()) return;
  constexpr const char* path = "general.rest.vmDir";
  std::error_code ec;
  std::vector<std::filesystem::path> files;
  for (std::filesystem::directory_iterator entry(folder, ec), end; !ec && entry != end; entry.increment(ec))
    // An empty one is about to be written.
    if (std::error_code ignored; entry->path().extension() == ".json" && entry->file_size(ignored) > 0)
      files.push_back(entry->path());
  if (ec)
    return problems.add(path, fmt::format("{}: {}", in_quotes(folder), ec.message()), "a folder that can be read");
  std::ranges::sort(files);
  for (const std::filesystem::path& file : files) {
    try {
      const std::string name = qemuctl::load_vm_config(file).name;
      const auto known = std::ranges::find(config.vms, name, &VmEntry::name);
      if (known == config.vms.end()) {
        VmEntry& vm = config.vms.emplace_back();
        vm.name = name;
        vm.config = file.string();
      } else if (known->config != file.string()) {
        warnings.push_back(
            fmt::format("{}: {} is skipped: there is another VM {}", path, file.string(), in_quotes(name)));
      }
    } catch (const qemuctl::Error& error) {
      warnings.push_back(fmt::format("{}: {} is skipped: {}", path, file.string(), error.what()));
    }
  }
}

/// A condition that is none.
template<typename Match>
void check_match(const Match& match, const std::string& path, Problems& problems) {
  Match nothing;
  nothing.description = match.description;
  nothing.enabled = match.enabled;
  if (match == nothing) problems.add(path, "no condition", "at least one, or nothing would ever match");
}

void check_input_match(const InputMatch& match, const std::string& path, Problems& problems) {
  check_match(match, path, problems);
  if (match.property.has_value() != match.value.has_value())
    problems.add(path, match.property ? "property without value" : "value without property", "both of them");
}

void check_pci_match(const PciMatch& match, const std::string& path, Problems& problems) {
  check_match(match, path, problems);
  if (match.address && !is_pci_address(*match.address))
    problems.add(path + ".address", in_quotes(*match.address), "an address with its domain, such as \"0000:01:00.0\"");
}

/// The VMs that there are. A name that is none of them is a mistake, unless VMs are files in a folder: one that is
/// absent or cannot be read now may be there later, and keeps nobody else from being served.
class KnownVms {
 public:
  KnownVms(const Config& config, std::vector<std::string>& warnings)
      : folder_(config.general.rest.vm_dir), warnings_(warnings) {
    for (const VmEntry& vm : config.vms) names_.push_back(vm.name);
  }

  void check(const std::string& name, const std::string& path, Problems& problems) const {
    if (std::ranges::find(names_, name) != names_.end()) return;
    const std::string near = nearest_word(name, names_);
    const std::string hint = near.empty() ? "" : fmt::format("; did you mean {}?", in_quotes(near));
    if (folder_.empty())
      problems.add(path, in_quotes(name), "the name of a VM in vms" + hint);
    else
      warnings_.push_back(fmt::format("{}: there is no VM {} now, neither in vms nor in {}{}", path, in_quotes(name),
                                      in_quotes(folder_), hint));
  }

 private:
  std::vector<std::string> names_;
  std::string folder_;
  std::vector<std::string>& warnings_;
};

void check_vms_of(const RuleBase& rule, const std::string& path, const char* wanted, const KnownVms& known,
                  Problems& problems) {
  if (rule.vms.empty()) problems.add(path, "no VM", wanted);
  for (std::size_t j = 0; j < rule.vms.size(); ++j)
    known.check(rule.vms[j], rule.vms.size() == 1 ? path + ".targetVm" : fmt::format("{}.allowedVms[{}]", path, j),
                problems);
}

void check_acpi_rules(const Config& config, const KnownVms& known, Problems& problems) {
  for (std::size_t i = 0; i < config.acpi_rules.size(); ++i) {
    const AcpiRule& rule = config.acpi_rules[i];
    const std::string path = fmt::format("acpiPassthrough[{}]", i);
    RuleBase vms; // the rest of it is not that of a rule for devices
    if (!rule.vm.empty()) vms.vms.push_back(rule.vm);
    check_vms_of(vms, path, "targetVm", known, problems);
    if (rule.allow.empty()) problems.add(path + ".allow", "an empty list", "at least one table");
  }
}

template<typename Rule, typename Check>
void check_rules(const std::vector<Rule>& rules, const char* key, const char* wanted_vms, const KnownVms& known,
                 const Check& check, Problems& problems) {
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const Rule& rule = rules[i];
    const std::string path = fmt::format("{}[{}]", key, i);
    check_vms_of(rule, path, wanted_vms, known, problems);
    if (rule.allow.empty()) problems.add(path + ".allow", "an empty list", "at least one device");
    for (std::size_t j = 0; j < rule.allow.size(); ++j)
      check(rule.allow[j], fmt::format("{}.allow[{}]", path, j), problems);
    for (std::size_t j = 0; j < rule.deny.size(); ++j)
      check(rule.deny[j], fmt::format("{}.deny[{}]", path, j), problems);
  }
}

void check_rules(const Config& config, const KnownVms& known, Problems& problems) {
  check_rules(config.usb_rules, "usbPassthrough", "targetVm, or allowedVms", known, check_match<UsbMatch>, problems);
  check_rules(config.pci_rules, "pciPassthrough", "targetVm", known, check_pci_match, problems);
  check_acpi_rules(config, known, problems);
  for (std::size_t i = 0; i < config.usb_authorization.host_allow.size(); ++i)
    check_match(config.usb_authorization.host_allow[i], fmt::format("usbAuthorization.hostAllow[{}]", i), problems);
  check_rules(config.input_rules, "evdevPassthrough", "targetVm", known, check_input_match, problems);
}

bool is_loopback(const std::string& host) {
  std::error_code ec;
  const asio::ip::address address = asio::ip::make_address(host, ec);
  return host == "localhost" || (!ec && address.is_loopback());
}

void check_permissions(const Config& config, const KnownVms& known, Problems& problems) {
  const ApiConfig& api = config.general.api;
  if (!api.permissions) return;
  for (std::size_t i = 0; i < api.permissions->size(); ++i) {
    const ApiPermission& permission = (*api.permissions)[i];
    const std::string path = fmt::format("general.api.permissions[{}]", i);
    if (!permission.token.empty() && api.token_file.empty() && config.general.rest.token_file.empty())
      problems.add(path + ".who.token", "has no effect without general.api.tokenFile or general.rest.tokenFile");
    if ((permission.uid || permission.gid) && !permission.transport.empty() && permission.transport != "unix")
      problems.add(path + ".who", "only clients of Unix sockets have a uid and a gid");
    if (permission.cid && !permission.transport.empty() && permission.transport != "vsock")
      problems.add(path + ".who", "only clients of VSOCK have a CID");
    if (permission.own_vm && !permission.cid && permission.transport != "vsock")
      problems.add(path + ".ownVm", "only clients of VSOCK run in a VM: name a cid, or the transport \"vsock\"");
    if (permission.own_vm && permission.vms) problems.add(path, "vms and ownVm cannot be used together");
    if (!permission.vms) continue;
    for (std::size_t j = 0; j < permission.vms->size(); ++j)
      known.check((*permission.vms)[j], fmt::format("{}.vms[{}]", path, j), problems);
  }
}

void check_api(const ApiConfig& api, Problems& problems, std::vector<std::string>& warnings) {
  if (!api.enable) return;
  const auto has = [&](const char* transport) {
    return std::ranges::find(api.transports, transport) != api.transports.end();
  };
  if (api.transports.empty())
    problems.add("general.api.transports", "none", "at least one of \"tcp\", \"vsock\" and \"unix\"");
  if (has("tcp") && !is_loopback(api.host) && api.token_file.empty() && !api.allow_unauthenticated)
    problems.add("general.api.host", fmt::format("{} lets every host in the network move devices", in_quotes(api.host)),
                 "\"127.0.0.1\", or general.api.tokenFile with what clients have to know, or "
                 "general.api.allowUnauthenticated: true");
  if (has("vsock") && !api.allowed_cids)
    warnings.push_back("general.api.allowedCids: is not there, so every guest may connect");
}

/// "https://example.org:8443": what a browser sends, without a path.
bool is_origin(const std::string& text) {
  for (const char* scheme : {"http://", "https://"})
    if (const std::string begin = scheme; text.starts_with(begin) && text.size() > begin.size())
      return text.find_first_of("/ ,\t\r\n\"'", begin.size()) == std::string::npos;
  return false;
}

void check_rest(const RestConfig& rest, Problems& problems) {
  for (std::size_t i = 0; i < rest.allowed_origins.size(); ++i)
    if (!is_origin(rest.allowed_origins[i]))
      problems.add(fmt::format("general.rest.allowedOrigins[{}]", i), in_quotes(rest.allowed_origins[i]),
                   "scheme, host and port of a page, such as \"https://example.org:8443\"");
  if (!rest.enable) return;
  std::error_code ec;
  asio::ip::make_address(rest.host, ec);
  if (ec && rest.host != "localhost")
    problems.add("general.rest.host", in_quotes(rest.host), "an IP address of this host");
  else if (!is_loopback(rest.host) && rest.token_file.empty())
    problems.add("general.rest.host",
                 fmt::format("{} lets every host in the network move devices and start VMs", in_quotes(rest.host)),
                 "\"127.0.0.1\", or general.rest.tokenFile with what clients have to know");
}

/// Those whose type is not ours are left out with everything about them: a file that works elsewhere starts here.
Json without_other_hypervisors(const Json& file, std::vector<std::string>& warnings) {
  const Json* vms = file.is_object() ? file.find("vms") : nullptr;
  if (!vms || !vms->is_array()) return file;
  Json kept = Json::array();
  bool any = false;
  for (std::size_t i = 0; i < vms->size(); ++i) {
    const Json* type = vms->at(i).is_object() ? vms->at(i).find("type") : nullptr;
    const bool other =
        type && type->is_string() && (type->as_string() == "crosvm" || type->as_string() == "cloud-hypervisor");
    if (other)
      warnings.push_back(
          fmt::format("vms[{}].type: {} is skipped: only QEMU is supported", i, in_quotes(type->as_string())));
    else
      kept.push_back(vms->at(i));
    any = any || other;
  }
  if (!any) return file;
  Json copy = file;
  copy.set("vms", std::move(kept));
  return copy;
}

Json parse_file(std::string_view text, const std::string& source) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  qemuctl::JsonParseOptions options;
  options.max_depth = max_nesting;
  options.refuse_duplicate_keys = true;
  options.source = source;
  try {
    return qemuctl::parse_json(text, options);
  } catch (const qemuctl::Error& error) {
    qemuctl::Diagnostics diagnostics = error.diagnostics();
    diagnostics.operation = operation;
    throw qemuctl::Error(error.code(), std::move(diagnostics));
  }
}

/// The part of the file that a value belongs to: one rule, one VM, `general.api`.
std::string_view part_of(std::string_view path) {
  const std::size_t index = path.find('['), member = path.find('.');
  if (index < member) return path.substr(0, path.find(']', index));
  return path.substr(0, path.find_first_of(".[", member == path.npos ? member : member + 1));
}

/// What is wrong with values that could be read. Of a part that could not be read in full nothing more can be said, nor
/// of names of VMs when one of these is such a part.
Problems check_config(ParsedConfig& parsed, const Problems& unread) {
  std::set<std::string_view> unread_parts;
  bool vms_are_known = true;
  for (const Problems::Problem& problem : unread.all()) {
    unread_parts.insert(part_of(problem.path));
    vms_are_known = vms_are_known && !problem.path.starts_with("vms");
  }
  Problems found;
  add_vms_of_folder(parsed.config, found, parsed.warnings);
  check_vms(parsed.config, found);
  if (vms_are_known) {
    const KnownVms known(parsed.config, parsed.warnings);
    check_rules(parsed.config, known, found);
    check_permissions(parsed.config, known, found);
  }
  check_api(parsed.config.general.api, found, parsed.warnings);
  check_rest(parsed.config.general.rest, found);
  Problems problems;
  for (const Problems::Problem& problem : found.all())
    if (!unread_parts.contains(part_of(problem.path))) problems.add(problem.path, problem.text);
  return problems;
}

ParsedConfig read_config(Json file, const std::string& source, const std::filesystem::path& base_dir) {
  ParsedConfig parsed;
  Problems problems;
  const FormatSigns signs = signs_of(file);
  if (!signs.first.empty() && !signs.later.empty()) {
    problems.add("", fmt::format("the file mixes two formats: {} is of the first one, {} of the later one", signs.first,
                                 signs.later));
    problems.throw_if_any(qemuctl::errc::invalid_argument, operation, source);
  }
  file = without_other_hypervisors(file, parsed.warnings);
  qemuctl::detail::ReadContext context{problems, base_dir};
  const auto& format = signs.first.empty() ? detail::config_format() : detail::first_config_format();
  std::optional<detail::ConfigFile> read = format.read(file, "", context);
  if (read) {
    parsed.config = std::move(read->config);
    parsed.warnings.insert(parsed.warnings.end(), read->skipped.begin(), read->skipped.end());
    problems.append(check_config(parsed, problems));
  }
  problems.throw_if_any(qemuctl::errc::invalid_argument, operation, source);
  return parsed;
}

} // namespace

ParsedConfig parse_config(std::string_view text, const std::string& source, const std::filesystem::path& base_dir) {
  return read_config(parse_file(text, source), source, base_dir);
}

ParsedConfig load_config(const std::filesystem::path& file) {
  const std::string text = qemuctl::detail::read_text_file(file, max_file_size, operation);
  return parse_config(text, file.string(), std::filesystem::absolute(file).parent_path());
}

ParsedConfig read_rules(const Json& rules, const std::string& vm, const std::string& source,
                        const std::filesystem::path& base_dir) {
  Problems problems;
  if (!rules.is_object()) problems.add("", qemuctl::detail::describe(rules), "an object with rules");
  for (const char* key : {"vms", "general"})
    if (rules.contains(key)) problems.add(key, "has no meaning here: the rules are for one VM");
  problems.throw_if_any(qemuctl::errc::invalid_argument, operation, source);
  // The same as a file with that one VM.
  Json file = rules;
  Json entry;
  entry.set("name", vm);
  entry.set("pid", 1);
  Json vms;
  vms.push_back(std::move(entry));
  file.set("vms", std::move(vms));
  for (auto& [key, list] : file.as_object())
    if (key.ends_with("Passthrough") && list.is_array())
      for (Json& rule : list.as_array())
        if (rule.is_object() && !rule.contains("targetVm") && !rule.contains("allowedVms")) rule.set("targetVm", vm);
  ParsedConfig parsed = read_config(std::move(file), source, base_dir);
  parsed.config.vms.clear();
  parsed.config.general.persistency = false;
  return parsed;
}

ParsedConfig load_rules(const std::filesystem::path& file, const std::string& vm) {
  const std::string text = qemuctl::detail::read_text_file(file, max_file_size, operation);
  return read_rules(parse_file(text, file.string()), vm, file.string(), std::filesystem::absolute(file).parent_path());
}

} // namespace hotplug
