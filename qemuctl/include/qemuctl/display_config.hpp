// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace qemuctl {

struct VncConfig {
  /// "none": no listening socket, see `Instance::add_vnc_client`; ":N" (0 to 99): display N, TCP port
  /// 5900 + N on all addresses; "HOST:PORT": that TCP port (5900 to 65535), an IPv6 address in brackets.
  std::string listen = "none";
  /// Clients need a password: `password`, or the secret `password_secret`. If both are empty, nobody is let in until
  /// `Instance::set_vnc_password` sets one.
  bool authenticate = false;
  std::string password; ///< at most 8 bytes, as VNC compares no more
  std::string password_secret;
  bool lossy = false;    ///< JPEG and the like
  std::string audio_dev; ///< the id of the audio backend that clients hear; "audio0" is that of `AudioConfig`
  int websocket = 0;     ///< TCP port for browsers, 1 to 65535; 0: none
  bool operator==(const VncConfig&) const = default;
};

struct SpiceConfig {
  bool unix_socket = false; ///< a Unix socket instead of TCP
  std::string path;         ///< its path; empty: `<socketDir>/<name>.spice`
  std::string host;         ///< the address to listen on; empty: 127.0.0.1
  int port = 0;             ///< TCP, 1 to 65535; 0: no listening socket, see `Instance::add_spice_client`
  std::string password;     ///< at most 60 bytes
  std::string password_secret;
  bool disable_ticketing = false;           ///< clients need no password
  std::string image_compression;            ///< "auto_glz", "auto_lz", "quic", "glz", "lz", "off"
  std::string jpeg_wan_compression;         ///< "auto", "never", "always"
  std::string zlib_glz_wan_compression;     ///< "auto", "never", "always"
  std::optional<bool> playback_compression; ///< of audio; unset: SPICE's default, on
  bool seamless_migration = false;
  bool disable_copy_paste = false;
  bool operator==(const SpiceConfig&) const = default;
};

struct VideoConfig {
  /// QEMU's device: "VGA", "virtio-vga", ..., or one of "vga", "cirrus", "qxl", "virtio"; empty or "none": none.
  std::string type;
  int vga_mem = 0;        ///< MiB of video memory, 1 to 512, a power of two; 0: QEMU's default
  std::uint64_t ram = 0;  ///< bytes, QXL only; 0: QEMU's default
  std::uint64_t vram = 0; ///< bytes, QXL only; 0: QEMU's default
  int max_outputs = 0;    ///< 1 to 16; 0: QEMU's default
  bool operator==(const VideoConfig&) const = default;
};

struct DisplayConfig {
  /// A window ("gtk", "sdl") or "none"; "vnc" and "spice" mean "none" plus that server, by default with its defaults.
  std::string type = "none";
  std::optional<VncConfig> vnc;     ///< a VNC server, whatever the type
  std::optional<SpiceConfig> spice; ///< a SPICE server, whatever the type
  VideoConfig video;
  bool operator==(const DisplayConfig&) const = default;
};

/// A sound card.
struct AudioConfig {
  /// Where the sound goes: "none", "pa", "pipewire", "alsa", "spice", ...
  std::string backend = "none";
  std::string device; ///< "ich9-intel-hda", "intel-hda", "AC97", "usb-audio", "virtio-sound-pci"; empty: no sound card
  std::string codec;  ///< of an HDA device: "hda-duplex", "hda-micro", "hda-output"; empty: "hda-duplex"
  bool operator==(const AudioConfig&) const = default;
};

} // namespace qemuctl
