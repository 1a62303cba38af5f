// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "loans.hpp"

#include <hotplug/pci_device.hpp>

#include <filesystem>
#include <sstream>
#include <system_error>

namespace hotplug::detail {

std::string Loan::text() const {
  return driver + "\n" + override_before + "\n";
}

std::optional<Loan> Loan::parse(const std::string& name, const std::string& text) {
  Loan loan;
  loan.address = name;
  std::istringstream lines(text);
  if (!is_pci_address(name) || !std::getline(lines, loan.driver)) return std::nullopt;
  std::getline(lines, loan.override_before);
  if (loan.driver.find('/') != std::string::npos) return std::nullopt; // it goes into a path
  return loan;
}

void remove_gone(const Loans& loans) {
  std::error_code ec;
  for (const Loan& loan : loans.all())
    if (!std::filesystem::exists("/sys/bus/pci/devices/" + loan.address, ec)) loans.remove(loan.address);
}

} // namespace hotplug::detail
