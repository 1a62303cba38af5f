// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hotplug/acpi_rule.hpp>
#include <hotplug/input_rule.hpp>
#include <hotplug/pci_rule.hpp>
#include <hotplug/usb_rule.hpp>
#include <qemuctl/json.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hotplug {

/// A VM that devices can go to. It is known by one of `socket`, `pid` and `config`.
struct VmEntry {
  std::string name;
  std::string socket;      ///< of a QMP monitor
  std::optional<int> pid;  ///< of its QEMU
  std::string config;      ///< path of the vm.json it is launched from
  bool auto_start = false; ///< launched when the service starts; needs `config`
  std::string monitor;     ///< "yield": the monitor is free for others between our commands; "hold"; empty: see README
  bool operator==(const VmEntry&) const = default;
};

/// How much a client of the device API may do; each level includes those before it.
enum class ApiLevel {
  none,
  read,   ///< see devices, VMs and what happens to them
  attach, ///< put devices into VMs and take them out
  admin,  ///< start and stop VMs, use their screens and keyboards, have the configuration read anew
};

/// "none", "read", "attach", "admin".
std::string_view to_string(ApiLevel level) noexcept;

/// Who may do what through the device API.
struct ApiPermission {
  /// @name Who: all that are there must hold; without any it is everybody
  /// @{
  std::string transport; ///< "unix", "tcp", "vsock", "rest"
  std::optional<std::uint32_t> cid;
  std::optional<std::uint32_t> uid; ///< of the process at the other end of a Unix socket
  std::optional<std::uint32_t> gid; ///< one of its groups
  std::string token;                ///< the name of a token of `ApiConfig::token_file` that the client has shown
  /// @}
  ApiLevel may = ApiLevel::read;
  std::optional<std::vector<std::string>> vms; ///< only with these; unset: with all
  bool own_vm = false; ///< only with the VM that the client runs in: the one whose vsock device has its CID
  bool operator==(const ApiPermission&) const = default;
};

/// The device API's transports, and who may use it.
struct ApiConfig {
  bool enable = false;
  std::vector<std::string> transports; ///< "tcp", "vsock", "unix"
  std::string host = "127.0.0.1";
  int port = 2000; ///< of TCP and VSOCK
  std::string unix_socket = "/var/lib/vhotplug/vhotplug.sock";
  std::string unix_socket_user, unix_socket_group; ///< empty: unchanged
  int unix_socket_mode = 0660;
  std::optional<std::vector<std::uint32_t>> allowed_cids; ///< unset: every guest
  /// Lines of NAME TOKEN; a client of TCP has to show one of these tokens first. Empty: it need not.
  std::string token_file;
  bool allow_unauthenticated = false; ///< serve hosts of the network without a token
  /// What any of these permits is permitted. Unset: clients of Unix sockets and of REST and those that have shown a
  /// token may do everything, others may `attach`.
  std::optional<std::vector<ApiPermission>> permissions;
  int max_connections_per_peer = 128; ///< of one user, CID or address
  bool operator==(const ApiConfig&) const = default;
};

/// The REST API and the web page.
struct RestConfig {
  bool enable = false;
  std::string host = "127.0.0.1"; ///< an address to listen on
  int port = 5000;
  /// Lines of NAME TOKEN, as in `ApiConfig::token_file`; requests have to show one of these tokens. Empty: they need
  /// not, and `host` has to be one of this host alone.
  std::string token_file;
  std::vector<std::string> allowed_origins; ///< "https://example.org": web pages that may use the API
  std::string devices_dir;                  ///< templates of devices for `/api/0`
  std::string vm_dir;                       ///< each `*.json` in it is one of `Config::vms`, too
  bool webvirt_compat = false;              ///< `/api/0`, which changes things by GET, without a token
  bool operator==(const RestConfig&) const = default;
};

struct GeneralConfig {
  ApiConfig api;
  RestConfig rest;
  bool persistency = true;
  std::string state_path = "/var/lib/vhotplug/vhotplug.state";
  /// How long a person may choose among several VMs, in seconds; then the device goes where it was last, or to the
  /// first of them. 0: as long as it takes.
  int select_timeout = 0;
  std::string modprobe = "/sbin/modprobe"; ///< loads vfio-pci
  /// UEFI firmware for `vmm_args`, and its variables; empty: where distributions have them.
  std::string ovmf_code, ovmf_vars;
  int max_arrivals_per_minute = 8; ///< of one device; one that comes more often is kept out for a while. 0: no limit
  bool operator==(const GeneralConfig&) const = default;
};

/// Which USB devices the host itself may use. New ones are not authorised by the kernel then, before they have been
/// looked at: those that are on their way to a VM are, and those of `host_allow`.
struct UsbAuthorization {
  bool enable = false;
  bool deauthorize_unmatched = false; ///< also what is there already and no rule is for is taken away from the host
  std::vector<UsbMatch> host_allow;
  bool operator==(const UsbAuthorization&) const = default;
};

/// What the service does: which VMs there are, and which devices go where.
struct Config {
  std::vector<VmEntry> vms;
  std::vector<UsbRule> usb_rules;
  std::vector<InputRule> input_rules;
  std::vector<PciRule> pci_rules;
  std::vector<AcpiRule> acpi_rules;
  UsbAuthorization usb_authorization;
  GeneralConfig general;
  bool operator==(const Config&) const = default;
};

/// A configuration and what is worth a warning in it: one line each, with the path of the value.
struct ParsedConfig {
  Config config;
  std::vector<std::string> warnings;
};

/// Reads either of vhotplug's formats, with our additions: the one with rules inside of `vms[]`
/// (`vms[].qmpSocket`), in which a device that two VMs want goes to the first, and the later one with rules of their
/// own
/// (`usbPassthrough[].targetVm`). A file that mixes them is refused. Relative paths are relative to `base_dir`.
///
/// Throws one `qemuctl::Error` (`errc::invalid_argument`) with every mistake, each with its path; `source` names the
/// text in it. What belongs to other hypervisors is skipped with a warning.
ParsedConfig parse_config(std::string_view text, const std::string& source = {},
                          const std::filesystem::path& base_dir = {});

/// The same from a file of at most 4 MiB.
ParsedConfig load_config(const std::filesystem::path& file);

/// Reads rules for one VM: a configuration without `vms` and `general`, in which a rule without `targetVm` means `vm`.
/// The result has no VMs and remembers nothing (`general.persistency` is false). Same errors.
ParsedConfig read_rules(const qemuctl::Json& rules, const std::string& vm, const std::string& source = {},
                        const std::filesystem::path& base_dir = {});

/// The same from a file of at most 4 MiB.
ParsedConfig load_rules(const std::filesystem::path& file, const std::string& vm);

} // namespace hotplug
