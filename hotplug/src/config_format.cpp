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

/// A value that is not read.
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

/// A valid regular expression.
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

/// `enable` or, instead, `disable`.
template<typename T>
std::pair<Key<T>, Key<T>> switches() {
  return {key<T>("enable", &T::enabled, boolean(), "`false`: ignored. Default: true"),
          instead_of({"enable"}, key<T>(
                                     "disable", [](T& target, bool value) { target.enabled = !value; }, boolean(),
                                     "`true`: ignored. Default: false"))};
}

Format<InterfaceMatch> interface_match() {
  using T = InterfaceMatch;
  return object<T>({
      key<T>("class", &T::code, byte(), "Interface class"),
      key<T>("subclass", &T::subclass, byte(), "Interface subclass"),
      key<T>("protocol", &T::protocol, byte(), "Interface protocol"),
  });
}

Format<InterfaceSet> interface_set() {
  using T = InterfaceSet;
  return object<T>({
      key<T>("anyOf", &T::any_of, list_of(interface_match()), "At least one of these is present"),
      key<T>("allOf", &T::all_of, list_of(interface_match()), "Each of these is present"),
      key<T>("noneOf", &T::none_of, list_of(interface_match()), "None of these is present"),
      key<T>("equals", &T::equals, list_of(interface_match()), "Each of these is present, and no other"),
  });
}

template<typename T>
Key<T> for_people() {
  return key<T>("description", &T::description, text(), "A note for people");
}

/// The conditions that both formats have, for a `UsbMatch` or what is made of one.
template<typename T>
std::vector<Key<T>> common_conditions() {
  return {
      key<T>("vendorId", &T::vendor_id, id(), "Vendor id, such as `\"046d\"`"),
      key<T>("productId", &T::product_id, id(), "Product id, such as `\"c52b\"`"),
      key<T>("vendorName", &T::vendor_name, expression(), "Regular expression, matched at the start"),
      key<T>("productName", &T::product_name, expression(), "Regular expression, matched at the start"),
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
      key<T>(names[0], field(&InterfaceMatch::code), byte(), "Class of an interface"),
      key<T>(names[1], field(&InterfaceMatch::subclass), byte(), "Subclass of the same interface"),
      key<T>(names[2], field(&InterfaceMatch::protocol), byte(), "Protocol of the same interface"),
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
      key<T>("interfaces", &T::interfaces, interface_set(), "Conditions on all interfaces together"),
      key<T>("deviceClass", &T::device_class, byte(), "Class of the device"),
      key<T>("deviceSubclass", &T::device_subclass, byte(), "Subclass of the device"),
      key<T>("deviceProtocol", &T::device_protocol, byte(), "Protocol of the device"),
      key<T>("bus", &T::bus, whole_number(1, 255), "Bus number, which may change at every boot"),
      key<T>("port", &T::port, whole_number(1, 255), "Port on the root hub"),
      key<T>("portPath", &T::port_path, text(), "Bus and ports, such as `\"3-1.4.2\"`"),
      key<T>("controller", &T::controller, text(), "PCI address of the host controller, such as `\"0000:00:14.0\"`"),
      key<T>("serial", &T::serial, text(), "Exact serial number"),
      key<T>("removable", &T::removable, list_of(word({"fixed", "removable", "unknown"})),
             "One of these, according to the firmware"),
      key<T>("speed", &T::speed, converted(whole_number(1, any_number), [](int value) { return double(value); }),
             "Mb/s: 12, 480, 5000, ..."),
      key<T>("driverPath", &T::driver_path, expression(),
             "Kernel module of a device without a valid interface, a regular expression"),
  };
  const std::vector<Key<T>> one_interface =
      interface_conditions<T>({"interfaceClass", "interfaceSubclass", "interfaceProtocol"});
  return object<T>(with(with(common_conditions<T>(), one_interface), more));
}

Format<UsbAuthorization> usb_authorization() {
  using T = UsbAuthorization;
  return object<T>({
      key<T>("enable", &T::enable, boolean(), "The kernel no longer authorises new devices by itself. Default: false"),
      key<T>("deauthorizeUnmatched", &T::deauthorize_unmatched, boolean(),
             "Also deauthorise present devices that no rule matches. Default: false"),
      key<T>("hostAllow", &T::host_allow, list_of(usb_match()), "Devices that the host may use"),
  });
}

/// The keys of every rule. `match` is the format of its conditions.
template<typename T, typename Match>
std::vector<Key<T>> rule_keys(const Format<Match>& match) {
  const auto set_target = [](T& rule, std::string vm) { rule.vms = {std::move(vm)}; };
  return {
      for_people<T>(),
      key<T>("targetVm", set_target, text(), "The VM that the devices go to"),
      required(key<T>("allow", &T::allow, list_of(match), "Devices, each given by conditions that must all hold")),
      key<T>("deny", &T::deny, list_of(match), "Exceptions"),
      switches<T>().first,
      switches<T>().second,
      key<T>("skipOnSuspend", &T::skip_on_suspend, boolean(), "Stays in the VM when the host suspends. Default: false"),
      key<T>("tag", &T::tag, text(), "A name for all devices of the rule in requests"),
  };
}

template<typename T>
Key<T> force_key() {
  return key<T>("force", &T::force, boolean(), "Also take devices that the host itself is using. Default: false");
}

Format<UsbRule> usb_rule() {
  using T = UsbRule;
  const std::vector<Key<T>> more{
      instead_of({"targetVm"}, key<T>("allowedVms", &T::vms, list_of(text()), "The VMs that the user chooses from")),
      force_key<T>(),
      key<T>("guestReset", &T::guest_reset, boolean(), "QEMU's `guest-reset`. Default: QEMU's"),
      key<T>("guestResetsAll", &T::guest_resets_all, boolean(), "QEMU's `guest-resets-all`. Default: QEMU's"),
  };
  return object<T>(with(rule_keys<T>(usb_match()), more));
}

Format<InputMatch> input_match() {
  using T = InputMatch;
  return object<T>({
      key<T>("name", &T::name, expression(), "Regular expression, matched at the start"),
      key<T>("pathTag", &T::path_tag, expression(), "The same, on udev's `ID_PATH_TAG`"),
      key<T>("property", &T::property, text(), "A udev property, such as `\"ID_INPUT_TOUCHPAD\"`; needs `value`"),
      key<T>("value", &T::value, text(), "Its exact value"),
      for_people<T>(),
      switches<T>().first,
      switches<T>().second,
  });
}

Format<InputRule> input_rule() {
  using T = InputRule;
  const std::vector<Key<T>> more{
      key<T>("pcieBusPrefix", &T::port_prefix, text(), "Id prefix of the PCI Express ports to use"),
  };
  return object<T>(with(rule_keys<T>(input_match()), more));
}

Format<PciMatch> pci_match() {
  using T = PciMatch;
  return object<T>({
      key<T>("address", &T::address, text(), "PCI address, such as `\"0000:01:00.0\"`"),
      key<T>("vendorId", &T::vendor_id, id(), "Vendor id, such as `\"8086\"`"),
      key<T>("deviceId", &T::device_id, id(), "Device id, such as `\"10d3\"`"),
      key<T>("deviceClass", &T::device_class, byte(), "Class, such as 2 for network cards"),
      key<T>("deviceSubclass", &T::device_subclass, byte(), "Subclass"),
      key<T>("deviceProgIf", &T::device_prog_if, byte(), "Programming interface"),
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
             "Also take the rest of its IOMMU group, unless a rule sends it elsewhere. Default: false"),
      key<T>("pciIommuSkipIfShared", &T::iommu_skip_if_shared, boolean(),
             "Do not take it if its IOMMU group has other devices. Default: false"),
      key<T>("autoOvmf", &T::auto_ovmf, boolean(),
             "Start the VM with UEFI firmware if this is an NVIDIA graphics card. No effect on a running VM. Default: "
             "false"),
      key<T>("qemuUseRootBus", &T::use_root_bus, boolean(),
             "At VM start put it on the root bus. No effect on a running VM. Default: false"),
  };
  return object<T>(with(rule_keys<T>(pci_match()), more));
}

Format<AcpiTable> acpi_table() {
  using T = AcpiTable;
  return object<T>({
      required(key<T>("acpiTable", &T::file, file_path(), "Its file, such as `\"/sys/firmware/acpi/tables/NHLT\"`")),
      key<T>("setUser", &T::set_user, text(), "New owner of the file, set before QEMU starts"),
      key<T>("setGroup", &T::set_group, text(), "New group of the file, likewise"),
      for_people<T>(),
      switches<T>().first,
      switches<T>().second,
  });
}

Format<AcpiRule> acpi_rule() {
  using T = AcpiRule;
  return object<T>({
      for_people<T>(),
      key<T>("targetVm", &T::vm, text(), "The VM that starts with them"),
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
      key<T>("transport", &T::transport, word({"tcp", "vsock", "unix", "rest"}), "Its transport"),
      key<T>("cid", &T::cid, number_32(0, any_id), "CID of the guest"),
      key<T>("uid", &T::uid, number_32(0, any_id), "User of the client's process, on a Unix socket"),
      key<T>("gid", &T::gid, number_32(0, any_id), "One of that process's groups"),
      key<T>("token", &T::token, text(), "Name of the token, from `tokenFile`, that it presented"),
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
      required(key<T>("who", set_who, api_who(), "Conditions that must all hold; `{}` is everybody")),
      required(key<T>("may", &T::may, converted(word({"read", "attach", "admin"}), level),
                      "Each level includes the previous ones")),
      key<T>("vms", &T::vms, list_of(text()), "Limited to these VMs and their devices. Default: all"),
      key<T>("ownVm", &T::own_vm, boolean(),
             "Limited to the VM whose vsock device has the client's CID. Default: false"),
  });
}

Format<ApiConfig> api() {
  using T = ApiConfig;
  return object<T>({
      key<T>("enable", &T::enable, boolean(), "Default: false"),
      key<T>("transports", &T::transports, list_of(word({"tcp", "vsock", "unix"})), "Transports to listen on"),
      key<T>("host", &T::host, text(), "TCP address to listen on. Default: `127.0.0.1`"),
      key<T>("port", &T::port, whole_number(1, 65535), "Port of TCP and VSOCK. Default: 2000"),
      key<T>("unixSocket", &T::unix_socket, file_path(),
             "Path of the Unix socket. Default: `/var/lib/vhotplug/vhotplug.sock`"),
      key<T>("unixSocketUser", &T::unix_socket_user, text(), "Owner of the Unix socket"),
      key<T>("unixSocketGroup", &T::unix_socket_group, text(), "Group of the Unix socket"),
      key<T>("unixSocketMode", &T::unix_socket_mode, file_mode(), "Mode of the Unix socket. Default: `\"0660\"`"),
      key<T>("allowedCids", &T::allowed_cids, list_of(number_32(0, 4'294'967'295)),
             "Guests that may connect by VSOCK. Default: all"),
      key<T>("tokenFile", &T::token_file, file_path(),
             "Lines of NAME TOKEN; TCP clients must present one of these tokens"),
      key<T>("allowUnauthenticated", &T::allow_unauthenticated, boolean(),
             "Allow a TCP address that other hosts can reach without a token. Default: false"),
      key<T>("permissions", &T::permissions, list_of(api_permission()),
             "Who may do what. Default: everything for Unix sockets and clients with a token, `attach` for others"),
      key<T>("maxConnectionsPerPeer", &T::max_connections_per_peer, whole_number(1, 4096),
             "Limit of connections per user, guest or address. Default: 128"),
  });
}

Format<RestConfig> rest() {
  using T = RestConfig;
  return object<T>({
      key<T>("enable", &T::enable, boolean(), "Default: false"),
      key<T>("host", &T::host, text(), "Address to listen on. Default: `127.0.0.1`"),
      key<T>("port", &T::port, whole_number(1, 65535), "TCP port. Default: 5000"),
      key<T>("tokenFile", &T::token_file, file_path(), "Lines of NAME TOKEN; requests must carry one of these tokens"),
      key<T>("allowedOrigins", &T::allowed_origins, list_of(text()),
             "Origins of other web pages that may use the API, such as `\"https://example.org\"`"),
      key<T>("devicesDir", &T::devices_dir, file_path(), "Folder of device templates for `/api/0`"),
      key<T>("vmDir", &T::vm_dir, file_path(),
             "Folder whose `*.json` files are VMs that can be started; changes take effect at once"),
      key<T>("webvirtCompat", &T::webvirt_compat, boolean(),
             "Serve `/api/0`, which changes state by GET, without a token. Default: false"),
  });
}

constexpr const char* other_hypervisor = "is for other hypervisors and has no effect";
constexpr const char* not_needed = "is not needed and has no effect";

/// A valid key without effect.
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
      key<T>("persistency", &T::persistency, boolean(), "Keep the choices of users in a file. Default: true"),
      key<T>("statePath", &T::state_path, file_path(), "That file. Default: `/var/lib/vhotplug/vhotplug.state`"),
      key<T>("selectTimeout", &T::select_timeout, whole_number(0, 86'400),
             "Seconds that a user has to choose a VM; then the device goes to its last VM, or to the first one. 0: no "
             "limit. Default: 0"),
      key<T>(
          "maxArrivalsPerMinute", &T::max_arrivals_per_minute, whole_number(0, 10'000),
          "A device that is plugged in more often is left alone until it has stayed for 30 s. 0: no limit. Default: 8"),
      hotplug::detail::skipped<T>("crosvm", "general.crosvm", other_hypervisor),
      key<T>("modprobe", &T::modprobe, file_path(), "The program that loads vfio-pci. Default: `/sbin/modprobe`"),
      hotplug::detail::skipped<T>("modinfo", "general.modinfo", not_needed),
      key<T>("ovmfCode", &T::ovmf_code, file_path(),
             "UEFI firmware for `autoOvmf`. Default: `/usr/share/OVMF/OVMF_CODE.fd` or its variants"),
      key<T>("ovmfVars", &T::ovmf_vars, file_path(),
             "Its variable store. Default: `/usr/share/OVMF/OVMF_VARS.fd` or its variants"),
  });
}

Key<ConfigFile> general_key() {
  using T = ConfigFile;
  const auto set = [](T& file, GeneralPart part) {
    file.skipped.insert(file.skipped.end(), part.skipped.begin(), part.skipped.end());
    file.config.general = std::move(part);
  };
  return key<T>("general", set, general(), "Settings of the service");
}

Format<VmEntry> vm_entry() {
  using T = VmEntry;
  return object<T>({
      required(key<T>("name", &T::name, text(), "The name that rules use")),
      // Other types are reported when the rest of the file is known to be valid.
      key<T>(
          "type", [](T&, const std::string&) {}, word({"qemu"}), "The hypervisor: QEMU"),
      key<T>("socket", &T::socket, file_path(), "QMP socket; exactly one of `socket`, `pid` and `config`"),
      key<T>("pid", &T::pid, whole_number(1, any_number), "PID of QEMU"),
      key<T>("config", &T::config, file_path(), "The vm.json to launch it from"),
      key<T>("autoStart", &T::auto_start, boolean(), "Launch it with the service; needs `config`. Default: false"),
      key<T>("monitor", &T::monitor, word({"yield", "hold"}),
             "`yield`: release its monitor between commands; `hold`: keep it"),
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
      key<T>("usbPassthrough", set_rules, list_of(usb_rule()), "Rules for USB devices; the first match decides"),
      key<T>("evdevPassthrough", set_input_rules, list_of(input_rule()),
             "Rules for input devices that are not on USB; the first match decides"),
      general_key(),
      key<T>("pciPassthrough", set_pci_rules, list_of(pci_rule()), "Rules for PCI devices; the first match decides"),
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
      key<T>("pcieBusPrefix", &T::port_prefix, text(), "Id prefix of the PCI Express ports to use"),
  });
}

Format<ConfigFile> first_whole() {
  using V = FirstVm;
  auto vm = object<V>({
      required(key<V>("name", &V::name, text(), "The name of the VM")),
      required(key<V>("qmpSocket", &V::socket, file_path(), "Its QMP socket")),
      key<V>("usbPassthrough", &V::rules, list_of(first_rule()), "Its USB devices"),
      key<V>("evdevPassthrough", &V::input, first_input(), "Its input devices that are not on USB"),
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
