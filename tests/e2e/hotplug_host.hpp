// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "host_vm.hpp"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace test {

/// A host in a VM with the service in it. As an example:
///
///     test::HotplugHost host;
///     host.start_vm("a");
///     host.start_daemon(R"([{"targetVm": "a", "allow": [{"vendorId": "0627"}]}])");
///     host.plug_tablet("tablet", "3");
///     host.wait_for("1-3", "a");
///
/// At its end what the service says of each device is compared with what each QEMU has.
class HotplugHost {
 public:
  HotplugHost() = default;
  explicit HotplugHost(HostVm::Options options) : host(std::move(options)) {}
  ~HotplugHost();
  HotplugHost(const HotplugHost&) = delete;
  HotplugHost& operator=(const HotplugHost&) = delete;

  HostVm host;
  /// Further members of the configuration: rules for other kinds of devices.
  qemuctl::Json more_rules;
  std::string environment; ///< of the service: "NAME=VALUE ..."

  /// @name VMs
  /// @{
  NestedQemu& start_vm(const std::string& name, const std::string& arguments = {});
  NestedQemu& vm(const std::string& name) { return *vms_.at(name); }
  void kill_vm(const std::string& name);
  /// Resets a VM that has been asked to let go of a card. QEMU 10.0 may die of that, where an assertion in
  /// hw/core/resetcontainer.c fails because the card's own reset goes with it; the VM is gone then, and so is the card.
  void reset_vm(const std::string& name);
  /// @}

  /// @name The service
  /// @{
  /// With these USB rules, for the VMs started so far and those named; `more` are further members of the configuration
  /// and `flags` of the command line. Returns when its API answers.
  void start_daemon(const std::string& usb_rules, const std::vector<std::string>& more_vms = {},
                    const std::string& flags = {});
  void start_daemon_again(const std::string& flags = {});
  void write_config(const std::string& usb_rules, const std::vector<std::string>& more_vms = {});
  void signal_daemon(const std::string& signal, bool wait_for_end = true);
  int daemon_pid() const noexcept { return daemon_; }
  /// An answer of the API.
  qemuctl::Json request(const std::string& json);
  /// What is known of the device in that port ("1-3"); null: there is none.
  qemuctl::Json device(const std::string& port_path);
  /// The notifications since the service began.
  std::vector<qemuctl::Json> notifications();
  /// @}

  void plug_tablet(const std::string& id, const std::string& port, const std::string& serial = {});

  /// Waits until the device in that port is in this VM, both as the service and as QEMU says; an empty name: in none.
  void wait_for(const std::string& port_path, const std::string& vm);

  static constexpr const char* config_path = "/tmp/hotplug.json";
  static constexpr const char* api_path = "/run/hotplug-test.sock";
  static constexpr const char* log_path = "/tmp/daemon.log";

 private:
  void expect_agreement();
  /// The VM that has the device with that address, as the VMs' own monitors say; "several", when it is so.
  std::string holder(int bus, int address);

  std::map<std::string, std::unique_ptr<NestedQemu>> vms_;
  std::vector<std::string> names_;
  int daemon_ = 0;
};

} // namespace test
