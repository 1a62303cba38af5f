// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "journal.hpp"

#include "catch.hpp"
#include "golden.hpp"
#include "loans.hpp"
#include "temp_dir.hpp"
#include "usb_authorization.hpp"

#include <filesystem>
#include <string>

using Catch::Matchers::ContainsSubstring;
using hotplug::detail::AuthorizationJournal;
using hotplug::detail::Loan;
using hotplug::detail::Loans;

TEST_CASE("incomplete and invalid entries of a journal are ignored") {
  const test::TempDir dir;
  const Loans loans(dir.path());
  test::write_file(dir / "0000:01:00.0.new", "e1000e\n\n"); // its writer was killed
  test::write_file(dir / "0000:02:00.0", "");
  test::write_file(dir / "0000:03:00.0", "../../evil\n\n");
  test::write_file(dir / "0000:04:00.0", std::string(1 << 20, 'x'));
  test::write_file(dir / "README", "e1000e\n\n");
  std::filesystem::create_directory(dir / "0000:05:00.0");
  CHECK(loans.all().empty());
  loans.add({"0000:02:00.0", "nvme"});
  CHECK(loans.find("0000:02:00.0") == Loan{"0000:02:00.0", "nvme"});

  const test::TempDir other;
  test::write_file(other / "usb1", "");
  test::write_file(other / "usb2", "yes\n");
  test::write_file(other / "usb3.new", "1\n"); // likewise
  CHECK(AuthorizationJournal(other.path()).all().empty());
}

TEST_CASE("an error about a journal that cannot be written says what it was for") {
  const test::TempDir dir;
  test::write_file(dir / "file", "");
  const Loans loans(dir / "file/lent");
  CHECK_THROWS_WITH(loans.add({"0000:01:00.0", "nvme"}), ContainsSubstring("note the driver of a device") &&
                                                             ContainsSubstring((dir / "file/lent").string()) &&
                                                             ContainsSubstring("Not a directory"));
}
