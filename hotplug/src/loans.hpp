// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "journal.hpp"

#include <optional>
#include <string>

namespace hotplug::detail {

/// A PCI device that was taken from its driver for a VM.
struct Loan {
  std::string address;
  std::string driver;            ///< the driver to return it to; empty: it had none
  std::string override_before{}; ///< its previous `driver_override`; empty: none
  bool operator==(const Loan&) const = default;

  static constexpr const char* operation = "note the driver of a device";
  const std::string& name() const { return address; }
  std::string text() const; ///< a line for each driver
  static std::optional<Loan> parse(const std::string& name, const std::string& text);
};

/// The devices that were taken from their drivers.
using Loans = Journal<Loan>;

/// Removes the records of devices that have been unplugged since.
void remove_gone(const Loans& loans);

} // namespace hotplug::detail
