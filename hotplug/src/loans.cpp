// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "loans.hpp"

#include <hotplug/pci_device.hpp>
#include <qemuctl/error.hpp>
#include <qemuctl/file_descriptor.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <system_error>

namespace hotplug::detail {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(const fs::path& file, int error) {
  qemuctl::Diagnostics diagnostics;
  diagnostics.operation = "note the driver of a device";
  diagnostics.subject = file.string();
  diagnostics.detail = std::generic_category().message(error);
  throw qemuctl::Error(std::error_code(error, std::generic_category()), std::move(diagnostics));
}

} // namespace

std::optional<Loan> Loans::find(const std::string& address) const {
  std::ifstream file(folder_ / address);
  Loan loan;
  loan.address = address;
  if (!file) return std::nullopt;
  std::getline(file, loan.driver);
  std::getline(file, loan.override_before);
  // A name goes into a path.
  if (loan.driver.find('/') != std::string::npos) return std::nullopt;
  return loan;
}

std::vector<Loan> Loans::all() const {
  std::vector<Loan> loans;
  std::error_code ec;
  for (fs::directory_iterator file(folder_, ec), end; !ec && file != end; file.increment(ec)) {
    const std::string address = file->path().filename().string();
    if (!is_pci_address(address)) continue;
    if (std::optional<Loan> loan = find(address)) loans.push_back(std::move(*loan));
  }
  return loans;
}

void Loans::add(const Loan& loan) const {
  std::error_code ec;
  fs::create_directories(folder_, ec);
  if (ec) fail(folder_, ec.value());
  const fs::path path = folder_ / loan.address, fresh = path.string() + ".new";
  qemuctl::FileDescriptor file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file) fail(fresh, errno);
  const std::string lines = loan.driver + "\n" + loan.override_before + "\n";
  const ssize_t written = ::write(file.get(), lines.data(), lines.size());
  if (written != static_cast<ssize_t>(lines.size())) fail(fresh, written < 0 ? errno : ENOSPC);
  file.reset();
  if (::rename(fresh.c_str(), path.c_str()) != 0) fail(path, errno);
}

void Loans::remove_gone() const {
  std::error_code ec;
  for (const Loan& loan : all())
    if (!fs::exists("/sys/bus/pci/devices/" + loan.address, ec)) remove(loan.address);
}

void Loans::remove(const std::string& address) const {
  std::error_code ec;
  fs::remove(folder_ / address, ec);
}

} // namespace hotplug::detail
