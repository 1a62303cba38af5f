// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"

#include <qemuctl/error.hpp>

#include <cctype>
#include <string>
#include <system_error>

using namespace qemuctl;
using Catch::Matchers::Equals;

TEST_CASE("An error is one sentence made from the parts that are present") {
  const auto [code, parts, sentence] = GENERATE(table<std::error_code, Diagnostics, std::string>({
      {errc::command_failed,
       {.operation = "add the device usb1", .subject = "VM demo", .server_text = "Bus 'x' not found"},
       "cannot add the device usb1 (VM demo): QEMU refused: Bus 'x' not found"},
      {errc::connect_failed,
       {.operation = "connect to the monitor",
        .subject = "/run/demo.sock",
        .detail = "nobody listens there",
        .advice = "Is the VM running?"},
       "cannot connect to the monitor (/run/demo.sock): nobody listens there. Is the VM running?"},
      {errc::launch_failed,
       {.operation = "launch the VM",
        .subject = "VM demo",
        .server_text = "qemu-system-x86_64: -foo: invalid option\n",
        .detail = "QEMU ended with status 1",
        .advice = "The log is /run/demo.log."},
       "cannot launch the VM (VM demo): QEMU ended with status 1: qemu-system-x86_64: -foo: invalid option. The log is "
       "/run/demo.log."},
      {errc::timed_out, {.operation = "run query-status"}, "cannot run query-status: the deadline passed"},
      {errc::timed_out, {.subject = "VM demo"}, "VM demo: the deadline passed"},
      {errc::timed_out, {}, "the deadline passed"},
      {errc::timed_out, {.detail = "the guest did not react."}, "the guest did not react"},
      {errc::timed_out, {.detail = "it waits for ..."}, "it waits for ..."},
      {std::error_code(EACCES, std::generic_category()),
       {.operation = "open the log", .subject = "/var/log/x"},
       "cannot open the log (/var/log/x): Permission denied"},
      {errc::not_found, {.operation = "find VM demo", .subject = "VM demo"}, "cannot find VM demo: it was not found"},
  }));
  const Error error(code, parts);
  CHECK_THAT(error.what(), Equals(sentence));
  CHECK(error.code() == code);
  CHECK(error.diagnostics() == parts);
}

TEST_CASE("An error never repeats a cause") {
  const auto what = [](std::string detail, std::string server_text) {
    return std::string(
        Error(errc::command_failed, {.server_text = std::move(server_text), .detail = std::move(detail)}).what());
  };
  CHECK(what("no such bus", "no such bus") == "no such bus");
  CHECK(what("no such bus.", "no such bus\n") == "no such bus");
  CHECK(what("QEMU says: no such bus", "no such bus") == "QEMU says: no such bus");
  CHECK(what("no such bus", "-device x: no such bus") == "-device x: no such bus");
  CHECK(what("", "QEMU refused") == "QEMU refused");
  CHECK(what("a", "") == "a");
}

TEST_CASE("Error codes share one category, and their messages fit into a sentence") {
  CHECK(std::string(error_category().name()) == "qemuctl");
  for (int value = static_cast<int>(errc::invalid_argument); value <= static_cast<int>(errc::overloaded); ++value) {
    const std::error_code code = static_cast<errc>(value);
    const std::string message = code.message();
    CAPTURE(message);
    CHECK(code.category() == error_category());
    CHECK(message.find("unknown") != 0);
    CHECK(message.back() != '.');
    CHECK((std::islower(static_cast<unsigned char>(message.front())) || message.substr(0, 4) == "QEMU"));
  }
  CHECK(error_category().message(99) == "unknown error 99");
}

TEST_CASE("Only an expired deadline equals std::errc::timed_out") {
  CHECK(make_error_code(errc::timed_out) == std::errc::timed_out);
  CHECK(make_error_code(errc::timed_out) == errc::timed_out);
  CHECK(make_error_code(errc::interrupted) != std::errc::timed_out);
  CHECK(make_error_code(errc::not_supported) != std::errc::not_supported);
}
