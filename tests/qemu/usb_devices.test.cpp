// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// USB controllers and devices, as QEMU has them.
#include "ask.hpp"
#include "machine.hpp"
#include "temp_dir.hpp"

#include <fmt/format.h>

#include <string>
#include <vector>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;
using test::ask;
using test::describe;
using test::human;
using test::property;

QEMU_TEST_CASE("six USB devices all have ports of the controller itself") {
  const test::TempDir dir;
  const VmConfig config =
      describe(R"({"usbDevices": ["usb-tablet", "usb-tablet", "usb-tablet", "usb-tablet", "usb-kbd", "usb-tablet"]})",
               dir, qemu);
  const std::vector<Json> answers = ask(config, {human("info usb"), property("/machine/peripheral/usb", "p2")});
  const std::string text = answers[0].as_string();
  INFO(text);
  for (int port = 1; port <= 6; ++port)
    CHECK_THAT(text, ContainsSubstring(fmt::format("Port {}, Speed 480 Mb/s", port)));
  CHECK(text.find("Hub") == std::string::npos);
  CHECK(answers[1] == Json(15));
}
