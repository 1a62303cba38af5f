// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What is refused of displays and sound; the golden files show what becomes of the rest.
#include "catch.hpp"
#include "refusal.hpp"

using Catch::Matchers::ContainsSubstring;
using test::refusal;

TEST_CASE("a VNC server that does not listen has no WebSocket port") {
  CHECK_THAT(refusal(R"({"vnc": {"listen": "none", "websocket": 5901}})"),
             ContainsSubstring("vnc.websocket: has no effect with listen \"none\"") &&
                 ContainsSubstring("\"127.0.0.1:5900\""));
  CHECK(refusal(R"({"vnc": {"listen": "127.0.0.1:5900", "websocket": 5901}})") == "not refused");
}

TEST_CASE("a password has one source, fits, and excludes disabling passwords") {
  CHECK_THAT(refusal(R"({"vnc": {"password": "123456789"}})"), ContainsSubstring("vnc.password: found 9 bytes"));
  CHECK_THAT(refusal(R"({"vnc": {"passwordSecret": "s"}})"), ContainsSubstring("vnc.passwordSecret: found \"s\""));
  CHECK_THAT(refusal(R"({"spice": {"unix": true, "password": "a", "disableTicketing": true}})"),
             ContainsSubstring("spice.disableTicketing: "));
  CHECK_THAT(refusal(R"({"spice": {"password": "a", "passwordSecret": "s"}, "secrets": [{"id": "s", "data": "b"}]})"),
             ContainsSubstring("spice.passwordSecret: says the same"));
}

TEST_CASE("a SPICE server has exactly one address") {
  CHECK_THAT(refusal(R"({"spice": {"path": "s"}})"), ContainsSubstring("spice.path: has no effect"));
  CHECK_THAT(refusal(R"({"spice": {"unix": true, "port": 5930}})"), ContainsSubstring("spice.port: has no effect"));
  CHECK_THAT(refusal(R"({"spice": {"host": "::1"}})"), ContainsSubstring("spice.host: has no effect"));
}

TEST_CASE("the sound backend must exist, and only some devices have a codec") {
  CHECK_THAT(refusal(R"({"audio": {"backend": "spice"}})"),
             ContainsSubstring("audio.backend: ") && ContainsSubstring("needs a SPICE display"));
  CHECK(refusal(R"({"audio": {"backend": "spice"}, "display": "spice"})") == "not refused");
  CHECK_THAT(refusal(R"({"audio": {"device": "ac97", "codec": "hda-duplex"}})"),
             ContainsSubstring("audio.codec: has no effect"));
}

TEST_CASE("video memory must be a size the device supports") {
  CHECK_THAT(refusal(R"({"display": {"video": {"type": "vga", "vgaMem": 48}}})"),
             ContainsSubstring("display.video.vgaMem: found 48 MiB, expected a power of two"));
}
