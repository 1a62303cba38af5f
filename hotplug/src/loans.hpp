// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hotplug::detail {

/// A PCI device that was taken from its driver for a VM.
struct Loan {
  std::string address;
  std::string driver;            ///< the one to give it back to; empty: it had none
  std::string override_before{}; ///< what its `driver_override` was; empty: nothing
  bool operator==(const Loan&) const = default;
};

/// The journal of what was taken from which driver: a file for each device, written before the device is taken and
/// removed after it is back. It outlives the engine but not the host, whose drivers begin anew when it boots.
class Loans {
 public:
  /// The folder is made when something is written.
  explicit Loans(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// What is written of this device; nullopt: nothing.
  std::optional<Loan> find(const std::string& address) const;
  /// All of them; those that cannot be read are left out.
  std::vector<Loan> all() const;
  /// The file is complete or not there, whatever happens. Throws `qemuctl::Error`.
  void add(const Loan& loan) const;
  void remove(const std::string& address) const;
  /// Removes what is written of devices that were pulled meanwhile.
  void remove_gone() const;

 private:
  std::filesystem::path folder_;
};

} // namespace hotplug::detail
