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

/// A VM that devices can be attached to, identified by exactly one of `socket`, `pid` and `config`.
struct VmEntry {
  std::string name;
  std::string socket;      ///< path of a QMP monitor
  std::optional<int> pid;  ///< of its QEMU process
  std::string config;      ///< path of the vm.json it is launched from
  bool auto_start = false; ///< launched when the service starts; needs `config`
  std::string monitor;     ///< "yield": released between our commands; "hold": kept; empty: see README
  bool operator==(const VmEntry&) const = default;
};

/// How much a client of the device API may do; each level includes those before it.
enum class ApiLevel {
  none,
  read,   ///< list devices and VMs, receive events
  attach, ///< attach and detach devices
  admin,  ///< start and stop VMs, use their screens and keyboards, reload the configuration
};

/// "none", "read", "attach", "admin".
std::string_view to_string(ApiLevel level) noexcept;

/// Who may do what through the device API.
struct ApiPermission {
  /// @name Who: all conditions that are set must hold; none set means everybody
  /// @{
  std::string transport; ///< "unix", "tcp", "vsock", "rest"
  std::optional<std::uint32_t> cid;
  std::optional<std::uint32_t> uid; ///< of the process at the other end of a Unix socket
  std::optional<std::uint32_t> gid; ///< one of its groups
  std::string token;                ///< name of the token, from `ApiConfig::token_file`, that the client presented
  /// @}
  ApiLevel may = ApiLevel::read;
  std::optional<std::vector<std::string>> vms; ///< limited to these VMs; unset: all
  bool own_vm = false; ///< limited to the VM that the client runs in (its vsock device has the client's CID)
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
  /// Lines of NAME TOKEN; a TCP client must present one of these tokens first. Empty: no token is required.
  std::string token_file;
  bool allow_unauthenticated = false; ///< listen on a non-local address without a token
  /// The rights of a client are the union of all permissions that apply to it. Unset: clients of Unix sockets and of
  /// REST, and those that presented a token, may do everything; others may `attach`.
  std::optional<std::vector<ApiPermission>> permissions;
  int max_connections_per_peer = 128; ///< per user, CID or address
  bool operator==(const ApiConfig&) const = default;
};

/// The REST API and the web page.
struct RestConfig {
  bool enable = false;
  std::string host = "127.0.0.1"; ///< an address to listen on
  int port = 5000;
  /// Lines of NAME TOKEN, as in `ApiConfig::token_file`; every request must carry one of these tokens. Empty: no token
  /// is required, and `host` must be a loopback address.
  std::string token_file;
  std::vector<std::string> allowed_origins; ///< origins of web pages that may use the API: "https://example.org"
  std::string devices_dir;                  ///< device templates for `/api/0`
  std::string vm_dir;                       ///< each `*.json` in it adds to `Config::vms`
  bool webvirt_compat = false;              ///< serve `/api/0`, which changes state by GET, without a token
  bool operator==(const RestConfig&) const = default;
};

struct GeneralConfig {
  ApiConfig api;
  RestConfig rest;
  bool persistency = true;
  std::string state_path = "/var/lib/vhotplug/vhotplug.state";
  /// How long the user has to choose among several VMs, in seconds; then the device goes to the VM it was in last, or
  /// to the first one. 0: no limit.
  int select_timeout = 0;
  std::string modprobe = "/sbin/modprobe"; ///< loads vfio-pci
  /// UEFI firmware and its variable store for `vmm_args`; empty: searched for where distributions install them.
  std::string ovmf_code, ovmf_vars;
  int max_arrivals_per_minute = 8; ///< per device; one that exceeds it is left alone for a while. 0: no limit
  bool operator==(const GeneralConfig&) const = default;
};

/// Which USB devices the host itself may use. The kernel then no longer authorises new devices by itself; the engine
/// authorises those that go to a VM and those that match `host_allow`.
struct UsbAuthorization {
  bool enable = false;
  bool deauthorize_unmatched = false; ///< also deauthorise present devices that no rule matches
  std::vector<UsbMatch> host_allow;
  bool operator==(const UsbAuthorization&) const = default;
};

/// The whole configuration: which VMs there are, and which devices go where.
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

/// A configuration, and warnings about it: one line each, with the path of the value.
struct ParsedConfig {
  Config config;
  std::vector<std::string> warnings;
};

/// Parses either of vhotplug's formats, with our additions: the older one, with rules inside `vms[]`
/// (`vms[].qmpSocket`), in which a device that two VMs want goes to the first; and the newer one, with separate rules
/// (`usbPassthrough[].targetVm`). A file that mixes them is rejected. Relative paths are resolved against `base_dir`.
///
/// Throws one `qemuctl::Error` (`errc::invalid_argument`) that lists every error with its path and calls the text
/// `source`. Settings for other hypervisors are skipped with a warning.
ParsedConfig parse_config(std::string_view text, const std::string& source = {},
                          const std::filesystem::path& base_dir = {});

/// The same from a file of at most 4 MiB.
ParsedConfig load_config(const std::filesystem::path& file);

/// Parses rules for one VM: a configuration without `vms` and `general`, in which a rule without `targetVm` applies to
/// `vm`. The result has no VMs and no persistent state (`general.persistency` is false). Same errors.
ParsedConfig read_rules(const qemuctl::Json& rules, const std::string& vm, const std::string& source = {},
                        const std::filesystem::path& base_dir = {});

/// The same from a file of at most 4 MiB.
ParsedConfig load_rules(const std::filesystem::path& file, const std::string& vm);

} // namespace hotplug
