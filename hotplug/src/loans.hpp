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
  std::string driver;            ///< the one to give it back to; empty: it had none
  std::string override_before{}; ///< what its `driver_override` was; empty: nothing
  bool operator==(const Loan&) const = default;

  static constexpr const char* operation = "note the driver of a device";
  const std::string& name() const { return address; }
  std::string text() const; ///< a line for each driver
  static std::optional<Loan> parse(const std::string& name, const std::string& text);
};

/// What was taken from which driver.
using Loans = Journal<Loan>;

/// Removes what is written of devices that were pulled meanwhile.
void remove_gone(const Loans& loans);

} // namespace hotplug::detail
