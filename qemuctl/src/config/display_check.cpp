// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "check.hpp"

#include <algorithm>
#include <bit>

namespace qemuctl::detail {

namespace {

constexpr std::size_t max_vnc_password = 8;    ///< VNC's authentication is a DES key (RFC 6143, 7.2.2)
constexpr std::size_t max_spice_password = 60; ///< SPICE_MAX_PASSWORD_LENGTH

void check_vnc(Check& check, const VncConfig& vnc) {
  if (!vnc_address(vnc.listen))
    check.problems.add(
        "display.vnc.listen", in_quotes(vnc.listen),
        "\"none\", \":N\" (display N, 0 to 99) or \"HOST:PORT\" (TCP port 5900 to 65535; display 1 is 5901)");
  if (check.text("display.vnc.password", vnc.password) && vnc.password.size() > max_vnc_password)
    check.problems.add("display.vnc.password", fmt::format("{} bytes", vnc.password.size()),
                       fmt::format("at most {}: VNC compares no more", max_vnc_password));
  check.known_id("display.vnc.passwordSecret", vnc.password_secret, "secret", secret_ids(check.config));
  if (!vnc.password.empty() && !vnc.password_secret.empty())
    check.problems.add("display.vnc.passwordSecret", "says the same as display.vnc.password; leave one of them out");
  if (check.text("display.vnc.audioDev", vnc.audio_dev) && vnc.audio_dev == "audio0" && !check.config.audio)
    check.problems.add("display.vnc.audioDev", "\"audio0\"", "an audio backend; that one is there with audio");
  check.range("display.vnc.websocket", vnc.websocket, 0, max_port);
  check.no_effect("display.vnc.websocket", vnc.websocket > 0 && vnc.listen == "none",
                  "with listen \"none\", where QEMU listens nowhere; \"127.0.0.1:5900\" has it on that port, too");
}

void check_spice(Check& check, const SpiceConfig& spice) {
  const std::string path = "display.spice";
  check.text(path + ".path", spice.path);
  check.text(path + ".host", spice.host);
  check.range(path + ".port", spice.port, 0, max_port);
  check.no_effect(path + ".path", !spice.unix_socket && !spice.path.empty(), "without \"unix\": true");
  check.no_effect(path + ".port", spice.unix_socket && spice.port != 0, "with \"unix\": true");
  check.no_effect(path + ".host", spice.port == 0 && !spice.host.empty(), "without port");
  if (check.text(path + ".password", spice.password) && spice.password.size() > max_spice_password)
    check.problems.add(path + ".password", fmt::format("{} bytes", spice.password.size()),
                       fmt::format("at most {}, as SPICE takes", max_spice_password));
  check.known_id(path + ".passwordSecret", spice.password_secret, "secret", secret_ids(check.config));
  const bool password = !spice.password.empty() || !spice.password_secret.empty();
  if (!spice.password.empty() && !spice.password_secret.empty())
    check.problems.add(path + ".passwordSecret", "says the same as display.spice.password; leave one of them out");
  if (password && spice.disable_ticketing)
    check.problems.add(path + ".disableTicketing", "true, and a password",
                       "one of the two: it means that there is none");
  check.word(path + ".imageCompression", spice.image_compression, spice_image_compression_words(), true);
  check.word(path + ".jpegWanCompression", spice.jpeg_wan_compression, spice_wan_compression_words(), true);
  check.word(path + ".zlibGlzWanCompression", spice.zlib_glz_wan_compression, spice_wan_compression_words(), true);
}

void check_video(Check& check, const VideoConfig& video) {
  check.text("display.video.type", video.type);
  check.range("display.video.vgaMem", video.vga_mem, 0, 512);
  if (video.vga_mem > 0 && !std::has_single_bit(static_cast<unsigned>(video.vga_mem)))
    check.problems.add("display.video.vgaMem", fmt::format("{} MiB", video.vga_mem), "a power of two, as 16, 32 or 64");
  check.range("display.video.maxOutputs", video.max_outputs, 0, 16);
  const bool none = video_device(video.type).empty();
  check.no_effect("display.video", none && (video.vga_mem || video.ram || video.vram || video.max_outputs),
                  "without a type");
}

} // namespace

void check_display(Check& check) {
  const DisplayConfig& display = check.config.display;
  check.word("display.type", display.type, display_words());
  if (display.vnc) check_vnc(check, *display.vnc);
  if (display.spice) check_spice(check, *display.spice);
  check_video(check, display.video);
  if (!check.config.audio) return;
  const AudioConfig& audio = *check.config.audio;
  check.needed("audio.backend", audio.backend, "an audio backend, such as \"pa\" or \"none\"");
  if (audio.backend.find(',') != std::string::npos)
    check.problems.add("audio.backend", in_quotes(audio.backend), "one word, such as \"pa\" or \"none\"");
  if (audio.backend == "spice" && !display.spice && display.type != "spice")
    check.problems.add("audio.backend", "\"spice\"", "a backend that is there; this one needs a SPICE display");
  check.text("audio.device", audio.device);
  check.text("audio.codec", audio.codec);
  const bool hda = audio.device == "intel-hda" || audio.device == "ich9-intel-hda";
  check.no_effect("audio.codec", !audio.codec.empty() && !hda,
                  "without an HDA device, \"ich9-intel-hda\" or \"intel-hda\"");
}

} // namespace qemuctl::detail
