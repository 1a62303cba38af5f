// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hotplug_host.hpp"

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

namespace test {

/// For `start_vm`: a VM with so many ports for cards.
constexpr const char* one_port = "-m 64 -device pcie-root-port,id=ep0,chassis=1,slot=1";
constexpr const char* two_ports = "-m 64 -device pcie-root-port,id=ep0,chassis=1,slot=1 "
                                  "-device pcie-root-port,id=ep1,chassis=2,slot=2";
/// The folder of the host in which it is written down what was taken from which driver.
constexpr const char* lent = "/run/qemuctl/lent/";

/// A host with an IOMMU and cards, and a service with rules for them.
struct PciHost : HotplugHost {
  /// With more arguments for the machine that the host is.
  explicit PciHost(const std::vector<std::string>& more = {});

  /// Plugs a card; the address that the host gives it.
  std::string plug_card(const std::string& driver, const std::string& id, const std::string& bus);

  /// For `more_rules`: what VM "a" is to have, and further members of the rule.
  static qemuctl::Json rules_for(const std::string& allow, const std::string& more = {});
  static std::string by_address(const std::string& address) { return R"({"address": ")" + address + "\"}"; }
  /// A command of `qemuctl` for the service.
  static std::string command(const std::string& arguments);

  std::string driver_of(const std::string& address);
  void wait_for_driver(const std::string& address, const std::string& driver,
                       std::chrono::seconds deadline = HostVm::patience);
  /// Until VM "a" has so many.
  void wait_for_cards(std::size_t count);
  /// Until a line in the service's log has this basic regular expression.
  void wait_for_log(const std::string& pattern);

  /// The process that writes for the service, which nothing can end until it is thawed. Its PID.
  std::string freeze_helper();
  void thaw_helper();
  /// The kernel takes for ever to do what is written to this file of sysfs: in its place is one that nobody reads.
  void block(const std::string& file);
  /// When those who wrote to it are gone.
  void unblock(const std::string& file);
};

} // namespace test
