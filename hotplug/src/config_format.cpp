// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "config_format.hpp"

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hotplug::detail {

using namespace qemuctl::detail;
using qemuctl::Json;

namespace {

constexpr int any_number = std::numeric_limits<int>::max();

/// A value that nobody looks at.
Format<Json> anything() {
  const auto recognise = [](const Json&) { return true; };
  const auto read = [](const Json& json, const std::string&, ReadContext&) { return std::optional<Json>(json); };
  return {"anything", recognise, read, Json::object()};
}

Format<std::uint8_t> byte() {
  return converted(whole_number(0, 255), [](int value) { return static_cast<std::uint8_t>(value); });
}

Format<std::uint16_t> id() {
  return converted(hexadecimal_16(), [](int value) { return static_cast<std::uint16_t>(value); });
}

/// A regular expression, which has to be one.
Format<std::string> expression() {
  Format<std::string> format = text("a regular expression");
  format.read = [read = std::move(format.read)](const Json& json, const std::string& path,
                                                ReadContext& context) -> std::optional<std::string> {
    std::optional<std::string> pattern = read(json, path, context);
    if (!pattern) return std::nullopt;
    if (const std::string error = regular_expression_error(*pattern); !error.empty()) {
      context.problems.add(path, in_quotes(*pattern), "a regular expression (" + error + ")");
      return std::nullopt;
    }
    return pattern;
  };
  return format;
}

/// `enable` or `disable`, of which one is enough.
template<typename T>
std::pair<Key<T>, Key<T>> switches() {
  return {key<T>("enable", &T::enabled, boolean(), "`false`: as if it were not there. Default: true"),
          instead_of({"enable"}, key<T>(
                                     "disable", [](T& target, bool value) { target.enabled = !value; }, boolean(),
                                     "`true`: as if it were not there. Default: false"))};
}

Format<InterfaceMatch> interface_match() {
  using T = InterfaceMatch;
  return object<T>({
      key<T>("class", &T::code, byte(), "The class"),
      key<T>("subclass", &T::subclass, byte(), "The subclass"),
      key<T>("protocol", &T::protocol, byte(), "The protocol"),
  });
}

Format<InterfaceSet> interface_set() {
  using T = InterfaceSet;
  return object<T>({
      key<T>("anyOf", &T::any_of, list_of(interface_match()), "At least one of these is there"),
      key<T>("allOf", &T::all_of, list_of(interface_match()), "Each of these is there"),
      key<T>("noneOf", &T::none_of, list_of(interface_match()), "None of these is there"),
      key<T>("equals", &T::equals, list_of(interface_match()), "Each of these is there, and nothing else"),
  });
}

template<typename T>
Key<T> for_people() {
  return key<T>("description", &T::description, text(), "For people");
}

/// The conditions that both formats have, for a `UsbMatch` or what is made of one.
template<typename T>
std::vector<Key<T>> common_conditions() {
  return {
      key<T>("vendorId", &T::vendor_id, id(), "`\"046d\"`"),
      key<T>("productId", &T::product_id, id(), "`\"c52b\"`"),
      key<T>("vendorName", &T::vendor_name, expression(), "A regular expression, matched from the start"),
      key<T>("productName", &T::product_name, expression(), "A regular expression, matched from the start"),
      for_people<T>(),
      switches<T>().first,
      switches<T>().second,
  };
}

/// `names`: of the class, the subclass and the protocol of one interface.
template<typename T>
std::vector<Key<T>> interface_conditions(const std::array<const char*, 3>& names) {
  const auto field = [](std::optional<std::uint8_t> InterfaceMatch::*part) {
    return [part](T& match, std::uint8_t value) { match.interface.*part = value; };
  };
  return {
      key<T>(names[0], field(&InterfaceMatch::code), byte(), "Of an interface"),
      key<T>(names[1], field(&InterfaceMatch::subclass), byte(), "Of the same interface"),
      key<T>(names[2], field(&InterfaceMatch::protocol), byte(), "Of the same interface"),
  };
}

template<typename T>
std::vector<Key<T>> with(std::vector<Key<T>> keys, const std::vector<Key<T>>& more) {
  keys.insert(keys.end(), more.begin(), more.end());
  return keys;
}

template<typename T>
std::vector<Key<T>> first_conditions() {
  return with(common_conditions<T>(), interface_conditions<T>({"class", "subclass", "protocol"}));
}

Format<UsbMatch> usb_match() {
  using T = UsbMatch;
  const std::vector<Key<T>> more{
      key<T>("interfaces", &T::interfaces, interface_set(), "Of all interfaces together"),
      key<T>("deviceClass", &T::device_class, byte(), "Of the device"),
      key<T>("deviceSubclass", &T::device_subclass, byte(), "Of the device"),
      key<T>("deviceProtocol", &T::device_protocol, byte(), "Of the device"),
      key<T>("bus", &T::bus, whole_number(1, 255), "The number of the bus, which may change with every boot"),
      key<T>("port", &T::port, whole_number(1, 255), "The port of the root hub"),
      key<T>("portPath", &T::port_path, text(), "Bus and ports: `\"3-1.4.2\"`"),
      key<T>("controller", &T::controller, text(), "The PCI address of the host controller: `\"0000:00:14.0\"`"),
      key<T>("serial", &T::serial, text(), "The serial number, exactly"),
      key<T>("removable", &T::removable, list_of(word({"fixed", "removable", "unknown"})), "One of these"),
      key<T>("speed", &T::speed, converted(whole_number(1, any_number), [](int value) { return double(value); }),
             "Mb/s: 12, 480, 5000, ..."),
      key<T>("driverPath", &T::driver_path, expression(), "The kernel module of a device without a valid interface"),
  };
  const std::vector<Key<T>> one_interface =
      interface_conditions<T>({"interfaceClass", "interfaceSubclass", "interfaceProtocol"});
  return object<T>(with(with(common_conditions<T>(), one_interface), more));
}

Format<UsbAuthorization> usb_authorization() {
  using T = UsbAuthorization;
  return object<T>({
      key<T>("enable", &T::enable, boolean(),
             "New devices are used by nobody before they have been looked at. Default: false"),
      key<T>("deauthorizeUnmatched", &T::deauthorize_unmatched, boolean(),
             "Also what is there already and no rule is for. Default: false"),
      key<T>("hostAllow", &T::host_allow, list_of(usb_match()), "What the host may use"),
  });
}

/// What all rules have. `match`: how a condition is written.
template<typename T, typename Match>
std::vector<Key<T>> rule_keys(const Format<Match>& match) {
  const auto set_target = [](T& rule, std::string vm) { rule.vms = {std::move(vm)}; };
  return {
      for_people<T>(),
      key<T>("targetVm", set_target, text(), "The VM"),
      required(key<T>("allow", &T::allow, list_of(match), "Devices: each with conditions that must all hold")),
      key<T>("deny", &T::deny, list_of(match), "Exceptions"),
      switches<T>().first,
      switches<T>().second,
      key<T>("skipOnSuspend", &T::skip_on_suspend, boolean(), "Stays in the VM when the host suspends. Default: false"),
      key<T>("tag", &T::tag, text(), "For requests that name many devices at once"),
  };
}

template<typename T>
Key<T> force_key() {
  return key<T>("force", &T::force, boolean(), "Also what the host itself uses. Default: false");
}

Format<UsbRule> usb_rule() {
  using T = UsbRule;
  const std::vector<Key<T>> more{
      instead_of({"targetVm"}, key<T>("allowedVms", &T::vms, list_of(text()), "The VMs a user chooses from")),
      force_key<T>(),
      key<T>("guestReset", &T::guest_reset, boolean(), "QEMU's `guest-reset`. Default: QEMU's"),
      key<T>("guestResetsAll", &T::guest_resets_all, boolean(), "QEMU's `guest-resets-all`. Default: QEMU's"),
  };
  return object<T>(with(rule_keys<T>(usb_match()), more));
}

Format<InputMatch> input_match() {
  using T = InputMatch;
  return object<T>({
      key<T>("name", &T::name, expression(), "A regular expression, matched from the start"),
      key<T>("pathTag", &T::path_tag, expression(), "The same, for udev's `ID_PATH_TAG`"),
      key<T>("property", &T::property, text(), "One of udev's, such as `\"ID_INPUT_TOUCHPAD\"`; needs `value`"),
      key<T>("value", &T::value, text(), "Its value, exactly"),
      for_people<T>(),
      switches<T>().first,
      switches<T>().second,
  });
}

Format<InputRule> input_rule() {
  using T = InputRule;
  const std::vector<Key<T>> more{
      key<T>("pcieBusPrefix", &T::port_prefix, text(), "The ids of the ports it may go to begin with this"),
  };
  return object<T>(with(rule_keys<T>(input_match()), more));
}

Format<PciMatch> pci_match() {
  using T = PciMatch;
  return object<T>({
      key<T>("address", &T::address, text(), "`\"0000:01:00.0\"`"),
      key<T>("vendorId", &T::vendor_id, id(), "`\"8086\"`"),
      key<T>("deviceId", &T::device_id, id(), "`\"10d3\"`"),
      key<T>("deviceClass", &T::device_class, byte(), "Its class: 2 of network cards"),
      key<T>("deviceSubclass", &T::device_subclass, byte(), "Its subclass"),
      key<T>("deviceProgIf", &T::device_prog_if, byte(), "Its programming interface"),
      for_people<T>(),
      switches<T>().first,
      switches<T>().second,
  });
}

Format<PciRule> pci_rule() {
  using T = PciRule;
  const std::vector<Key<T>> more{
      force_key<T>(),
      key<T>("pciIommuAddAll", &T::iommu_add_all, boolean(),
             "With all others of its IOMMU group that no rule sends elsewhere. Default: false"),
      key<T>("pciIommuSkipIfShared", &T::iommu_skip_if_shared, boolean(),
             "Not at all, when there are others in its IOMMU group. Default: false"),
      key<T>("autoOvmf", &T::auto_ovmf, boolean(),
             "A VM that starts with an NVIDIA graphics card has UEFI firmware. No effect on a running VM. Default: "
             "false"),
      key<T>("qemuUseRootBus", &T::use_root_bus, boolean(),
             "A VM that starts with it has it on its root bus. No effect on a running VM. Default: false"),
  };
  return object<T>(with(rule_keys<T>(pci_match()), more));
}

Format<AcpiTable> acpi_table() {
  using T = AcpiTable;
  return object<T>({
      required(key<T>("acpiTable", &T::file, file_path(), "`\"/sys/firmware/acpi/tables/NHLT\"`")),
      key<T>("setUser", &T::set_user, text(), "The file is given to that user before QEMU starts"),
      key<T>("setGroup", &T::set_group, text(), "The same with a group"),
      for_people<T>(),
      switches<T>().first,
      switches<T>().second,
  });
}

Format<AcpiRule> acpi_rule() {
  using T = AcpiRule;
  return object<T>({
      for_people<T>(),
      key<T>("targetVm", &T::vm, text(), "The VM"),
      required(key<T>("allow", &T::allow, list_of(acpi_table()), "The tables")),
      switches<T>().first,
      switches<T>().second,
  });
}

Format<int> file_mode() {
  const std::string expected = "an octal mode such as \"0660\"";
  const auto recognise = [](const Json& json) { return json.is_string(); };
  const auto read = [expected](const Json& json, const std::string& path, ReadContext& context) -> std::optional<int> {
    const std::string& digits = json.is_string() ? json.as_string() : std::string();
    const bool octal =
        !digits.empty() && digits.size() <= 4 && digits.find_first_not_of("01234567") == std::string::npos;
    if (octal) return std::stoi(digits, nullptr, 8);
    context.problems.add(path, describe(json), expected);
    return std::nullopt;
  };
  return {expected, recognise, read, Json::object({{"type", "string"}, {"pattern", "^[0-7]{1,4}$"}})};
}

struct ApiWho : ApiPermission {};

Format<ApiWho> api_who() {
  using T = ApiWho;
  constexpr std::uint32_t any_id = 4'294'967'295;
  return object<T>({
      key<T>("transport", &T::transport, word({"tcp", "vsock", "unix", "rest"}), "The transport it comes by"),
      key<T>("cid", &T::cid, number_32(0, any_id), "The CID of the guest"),
      key<T>("uid", &T::uid, number_32(0, any_id), "The user of the process at the other end of the Unix socket"),
      key<T>("gid", &T::gid, number_32(0, any_id), "One of that process's groups"),
      key<T>("token", &T::token, text(), "The name of a token in `tokenFile` that it has shown"),
  });
}

Format<ApiPermission> api_permission() {
  using T = ApiPermission;
  const auto set_who = [](T& permission, ApiWho who) {
    permission.transport = std::move(who.transport);
    permission.cid = who.cid;
    permission.uid = who.uid;
    permission.gid = who.gid;
    permission.token = std::move(who.token);
  };
  const auto level = [](const std::string& name) {
    return name == "read" ? ApiLevel::read : name == "attach" ? ApiLevel::attach : ApiLevel::admin;
  };
  return object<T>({
      required(key<T>("who", set_who, api_who(), "All that is there must hold; `{}` is everybody")),
      required(
          key<T>("may", &T::may, converted(word({"read", "attach", "admin"}), level), "Each includes those before it")),
      key<T>("vms", &T::vms, list_of(text()), "Only with these VMs and their devices. Default: with all"),
      key<T>("ownVm", &T::own_vm, boolean(),
             "Only with the VM whose vsock device has the client's CID. Default: false"),
  });
}

Format<ApiConfig> api() {
  using T = ApiConfig;
  return object<T>({
      key<T>("enable", &T::enable, boolean(), "Default: false"),
      key<T>("transports", &T::transports, list_of(word({"tcp", "vsock", "unix"})), "Which of them"),
      key<T>("host", &T::host, text(), "The address of TCP. Default: `127.0.0.1`"),
      key<T>("port", &T::port, whole_number(1, 65535), "Of TCP and VSOCK. Default: 2000"),
      key<T>("unixSocket", &T::unix_socket, file_path(), "Default: `/var/lib/vhotplug/vhotplug.sock`"),
      key<T>("unixSocketUser", &T::unix_socket_user, text(), "Its owner"),
      key<T>("unixSocketGroup", &T::unix_socket_group, text(), "Its group"),
      key<T>("unixSocketMode", &T::unix_socket_mode, file_mode(), "Its mode. Default: `\"0660\"`"),
      key<T>("allowedCids", &T::allowed_cids, list_of(number_32(0, 4'294'967'295)),
             "The guests that may connect. Default: all"),
      key<T>("tokenFile", &T::token_file, file_path(), "Lines of NAME TOKEN; clients of TCP have to show one of them"),
      key<T>("allowUnauthenticated", &T::allow_unauthenticated, boolean(),
             "TCP clients of other hosts need not show who they are. Default: false"),
      key<T>("permissions", &T::permissions, list_of(api_permission()),
             "Who may do what. Default: clients of Unix sockets and those with a token everything, others attach"),
      key<T>("maxConnectionsPerPeer", &T::max_connections_per_peer, whole_number(1, 4096),
             "Connections of one user, guest or address. Default: 128"),
  });
}

Format<RestConfig> rest() {
  using T = RestConfig;
  return object<T>({
      key<T>("enable", &T::enable, boolean(), "Default: false"),
      key<T>("host", &T::host, text(), "An address to listen on. Default: `127.0.0.1`"),
      key<T>("port", &T::port, whole_number(1, 65535), "Default: 5000"),
      key<T>("tokenFile", &T::token_file, file_path(), "Lines of NAME TOKEN; requests have to show one of them"),
      key<T>("allowedOrigins", &T::allowed_origins, list_of(text()),
             "Web pages of others that may use the API: `\"https://example.org\"`"),
      key<T>("devicesDir", &T::devices_dir, file_path(), "Templates of devices for `/api/0`"),
      key<T>("vmDir", &T::vm_dir, file_path(), "Each `*.json` in it is a VM that can be started; it is watched"),
      key<T>("webvirtCompat", &T::webvirt_compat, boolean(),
             "`/api/0`, which changes things by GET, without a token. Default: false"),
  });
}

constexpr const char* other_hypervisor = "is for other hypervisors, and has no effect";
constexpr const char* not_needed = "is not needed, and has no effect";

/// Keys that are right, but without effect.
template<typename T>
Key<T> skipped(const char* name, std::string path, const char* why) {
  return key<T>(
      name, [text = path + ": " + why](T& target, const Json&) { target.skipped.push_back(text); }, anything(), why);
}

struct GeneralPart : GeneralConfig {
  std::vector<std::string> skipped;
};

Format<GeneralPart> general() {
  using T = GeneralPart;
  return object<T>({
      key<T>("api", &T::api, api(), "The device API"),
      key<T>("rest", &T::rest, rest(), "The REST API and the web page"),
      key<T>("persistency", &T::persistency, boolean(), "People's choices are kept in a file. Default: true"),
      key<T>("statePath", &T::state_path, file_path(), "That file. Default: `/var/lib/vhotplug/vhotplug.state`"),
      key<T>("selectTimeout", &T::select_timeout, whole_number(0, 86'400),
             "Seconds for a person to choose a VM; then the last one, or the first of them, is taken; 0: no limit. "
             "Default: 0"),
      key<T>("maxArrivalsPerMinute", &T::max_arrivals_per_minute, whole_number(0, 10'000),
             "A device that is plugged in more often is kept out until it has stayed for 30 s; 0: never. Default: 8"),
      hotplug::detail::skipped<T>("crosvm", "general.crosvm", other_hypervisor),
      key<T>("modprobe", &T::modprobe, file_path(), "The program that loads vfio-pci. Default: `/sbin/modprobe`"),
      hotplug::detail::skipped<T>("modinfo", "general.modinfo", not_needed),
      key<T>("ovmfCode", &T::ovmf_code, file_path(),
             "UEFI firmware for `autoOvmf`. Default: `/usr/share/OVMF/OVMF_CODE.fd`, or what is there instead"),
      key<T>("ovmfVars", &T::ovmf_vars, file_path(),
             "Its variables. Default: `/usr/share/OVMF/OVMF_VARS.fd`, likewise"),
  });
}

Key<ConfigFile> general_key() {
  using T = ConfigFile;
  const auto set = [](T& file, GeneralPart part) {
    file.skipped.insert(file.skipped.end(), part.skipped.begin(), part.skipped.end());
    file.config.general = std::move(part);
  };
  return key<T>("general", set, general(), "The service itself");
}

Format<VmEntry> vm_entry() {
  using T = VmEntry;
  return object<T>({
      required(key<T>("name", &T::name, text(), "What rules call it")),
      // Other types are told of once the whole file is known to be right.
      key<T>(
          "type", [](T&, const std::string&) {}, word({"qemu"}), "The hypervisor, which is QEMU"),
      key<T>("socket", &T::socket, file_path(), "A QMP socket; this, `pid` or `config`"),
      key<T>("pid", &T::pid, whole_number(1, any_number), "The process"),
      key<T>("config", &T::config, file_path(), "A vm.json that it is launched from"),
      key<T>("autoStart", &T::auto_start, boolean(), "Launched with the service; needs `config`. Default: false"),
      key<T>("monitor", &T::monitor, word({"yield", "hold"}),
             "`yield`: its monitor is free for others between our commands; `hold`: it is ours"),
  });
}

Format<ConfigFile> whole() {
  using T = ConfigFile;
  const auto set_vms = [](T& file, std::vector<VmEntry> vms) { file.config.vms = std::move(vms); };
  const auto set_rules = [](T& file, std::vector<UsbRule> rules) { file.config.usb_rules = std::move(rules); };
  const auto set_pci_rules = [](T& file, std::vector<PciRule> rules) { file.config.pci_rules = std::move(rules); };
  const auto set_authorization = [](T& file, UsbAuthorization value) {
    file.config.usb_authorization = std::move(value);
  };
  const auto set_acpi_rules = [](T& file, std::vector<AcpiRule> rules) { file.config.acpi_rules = std::move(rules); };
  const auto set_input_rules = [](T& file, std::vector<InputRule> rules) {
    file.config.input_rules = std::move(rules);
  };
  return object<T>({
      required(key<T>("vms", set_vms, list_of(vm_entry()), "The VMs")),
      key<T>("usbPassthrough", set_rules, list_of(usb_rule()), "Rules for USB devices; the first that fits decides"),
      key<T>("evdevPassthrough", set_input_rules, list_of(input_rule()),
             "Rules for input devices that are not behind USB; the first that fits decides"),
      general_key(),
      key<T>("pciPassthrough", set_pci_rules, list_of(pci_rule()),
             "Rules for PCI devices; the first that fits decides"),
      key<T>("acpiPassthrough", set_acpi_rules, list_of(acpi_rule()), "ACPI tables that VMs start with"),
      key<T>("usbAuthorization", set_authorization, usb_authorization(), "Which USB devices the host itself may use"),
  });
}

struct FirstRule : UsbMatch {
  std::vector<UsbMatch> ignore;
};

/// All input devices, or none.
struct FirstInput {
  bool enabled = false;
  std::string port_prefix;
};

struct FirstVm : VmEntry {
  std::vector<FirstRule> rules;
  FirstInput input;
};

Format<FirstRule> first_rule() {
  using T = FirstRule;
  const Format<UsbMatch> exception = object<UsbMatch>(first_conditions<UsbMatch>());
  const std::vector<Key<T>> more{key<T>("ignore", &T::ignore, list_of(exception), "Exceptions")};
  return object<T>(with(first_conditions<T>(), more));
}

Format<FirstInput> first_input() {
  using T = FirstInput;
  return object<T>({
      key<T>("enable", &T::enabled, boolean(), "Keyboards, mice, touchpads, touchscreens and tablets. Default: false"),
      key<T>("pcieBusPrefix", &T::port_prefix, text(), "The ids of the ports they may go to begin with this"),
  });
}

Format<ConfigFile> first_whole() {
  using V = FirstVm;
  auto vm = object<V>({
      required(key<V>("name", &V::name, text(), "What it is called")),
      required(key<V>("qmpSocket", &V::socket, file_path(), "Its QMP socket")),
      key<V>("usbPassthrough", &V::rules, list_of(first_rule()), "The USB devices it gets"),
      key<V>("evdevPassthrough", &V::input, first_input(), "The input devices that are not behind USB"),
  });
  using T = ConfigFile;
  const auto set_vms = [](T& file, std::vector<V> vms) {
    for (V& part : vms) {
      for (FirstRule& first : part.rules) {
        UsbRule rule;
        rule.description = first.description;
        rule.vms = {part.name};
        rule.enabled = std::exchange(first.enabled, true);
        rule.deny = std::move(first.ignore);
        UsbMatch& match = first;
        rule.allow = {std::move(match)};
        file.config.usb_rules.push_back(std::move(rule));
      }
      if (part.input.enabled) {
        InputRule& rule = file.config.input_rules.emplace_back();
        rule.vms = {part.name};
        rule.allow = all_input_matches();
        rule.port_prefix = part.input.port_prefix;
      }
      VmEntry& entry = part;
      file.config.vms.push_back(std::move(entry));
    }
  };
  return object<T>({required(key<T>("vms", set_vms, list_of(std::move(vm)), "The VMs")), general_key()});
}

} // namespace

const Format<ConfigFile>& config_format() {
  static const Format<ConfigFile> format = whole();
  return format;
}

const Format<ConfigFile>& first_config_format() {
  static const Format<ConfigFile> format = first_whole();
  return format;
}

} // namespace hotplug::detail
