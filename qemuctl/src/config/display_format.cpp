// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "formats.hpp"

#include <cstdint>
#include <utility>

namespace qemuctl::detail {

Format<VncConfig> vnc_format() {
  using T = VncConfig;
  const auto set_password = [](T& vnc, std::string password) {
    vnc.authenticate = true;
    vnc.password = std::move(password);
  };
  const auto set_secret = [](T& vnc, std::string id) {
    vnc.authenticate = true;
    vnc.password_secret = std::move(id);
  };
  const auto set_authenticate = [](T& vnc, bool value) { vnc.authenticate = value; };
  // `true` for programs that set the password later, a string for everybody else: two keys of one name.
  auto password = either(converted(boolean(), [](bool value) { return value ? std::string() : std::string("\0", 1); }),
                         text("a password"));
  const auto take_password = [set_password, set_authenticate](T& vnc, std::string value) {
    if (value == std::string("\0", 1))
      set_authenticate(vnc, false);
    else
      set_password(vnc, std::move(value));
  };
  return short_or_object<T>(
      text("an address"), &T::listen,
      object<T>({
          key<T>("listen", &T::listen, text(),
                 "`none` (the default): clients are handed over by the program; `:N`: display N, TCP port 5900 + N, on "
                 "all addresses; `HOST:PORT`: that TCP port, 5900 to 65535"),
          key<T>(
              "password", take_password, std::move(password),
              "What clients have to know, at most 8 bytes; `true`: it is set later, and until then nobody is let in. "
              "Default: no password"),
          instead_of({"password"}, key<T>("passwordSecret", set_secret, text(), "The id of the secret with it")),
          key<T>("lossy", &T::lossy, boolean(), "Pictures may be JPEG. Default: false"),
          key<T>("audioDev", &T::audio_dev, text(), "The audio backend that clients hear: `audio0` is that of `audio`"),
          key<T>("websocket", &T::websocket, whole_number(1, max_port), "A TCP port for browsers. Default: none"),
      }));
}

Format<SpiceConfig> spice_format() {
  using T = SpiceConfig;
  return object<T>({
      key<T>("unix", &T::unix_socket, boolean(), "A Unix socket instead of TCP. Default: false"),
      instead_of({"unix"}, key<T>("unixSocket", &T::unix_socket, boolean(), "The same")),
      key<T>("path", &T::path, file_path(), "The Unix socket. Default: `<socketDir>/<name>.spice`"),
      key<T>("host", &T::host, text(), "The address to listen on. Default: `127.0.0.1`"),
      key<T>("port", &T::port, whole_number(1, max_port),
             "The TCP port. Default: none, clients are handed over by the program"),
      key<T>("password", &T::password, text(), "What clients have to know, at most 60 bytes"),
      instead_of({"password"}, key<T>("passwordSecret", &T::password_secret, text(), "The id of the secret with it")),
      key<T>("disableTicketing", &T::disable_ticketing, boolean(), "Clients need no password. Default: false"),
      key<T>("imageCompression", &T::image_compression, word(spice_image_compression_words()), "Default: SPICE's"),
      key<T>("jpegWanCompression", &T::jpeg_wan_compression, word(spice_wan_compression_words()), "Default: `auto`"),
      key<T>("zlibGlzWanCompression", &T::zlib_glz_wan_compression, word(spice_wan_compression_words()),
             "Default: `auto`"),
      key<T>("playbackCompression", &T::playback_compression, boolean(), "Sound is compressed. Default: true"),
      key<T>("seamlessMigration", &T::seamless_migration, boolean(), "Clients follow a migration. Default: false"),
      key<T>("disableCopyPaste", &T::disable_copy_paste, boolean(), "No clipboard. Default: false"),
  });
}

namespace {

Format<VideoConfig> video_format() {
  using T = VideoConfig;
  auto vga_mem = converted(size_in_mib(1, 512), [](std::uint64_t size) { return static_cast<int>(size); });
  constexpr std::uint64_t max_bytes = std::uint64_t{1} << 32;
  return short_or_object<T>(
      text("a video device"), &T::type,
      object<T>({
          required(
              key<T>("type", &T::type, text(), "QEMU's device, or one of `vga`, `cirrus`, `qxl`, `virtio`, `none`")),
          key<T>("vgaMem", &T::vga_mem, std::move(vga_mem), "MiB of video memory, a power of two. Default: QEMU's"),
          key<T>("ram", &T::ram, size_in_bytes(1 << 20, max_bytes), "Bytes, QXL only. Default: QEMU's"),
          key<T>("vram", &T::vram, size_in_bytes(1 << 12, max_bytes), "Bytes, QXL only. Default: QEMU's"),
          key<T>("maxOutputs", &T::max_outputs, whole_number(1, 16), "Screens; virtio and QXL. Default: QEMU's"),
      }));
}

} // namespace

Format<DisplayConfig> display_format() {
  using T = DisplayConfig;
  return short_or_object<T>(
      word(display_words()), &T::type,
      object<T>({
          key<T>("type", &T::type, word(display_words()),
                 "A window, or `none`; `vnc` and `spice` are `none` with that server. Default: `none`"),
          key<T>("vnc", &T::vnc, vnc_format(), "A VNC server, or only its address"),
          key<T>("spice", &T::spice, spice_format(), "A SPICE server"),
          key<T>("video", &T::video, video_format(), "The video device, or only its type. Default: none"),
      }));
}

Format<AudioConfig> audio_format() {
  using T = AudioConfig;
  return object<T>({
      key<T>("backend", &T::backend, text(),
             "Where the sound goes: `pa`, `pipewire`, `alsa`, `spice`, ... Default: `none`"),
      key<T>("device", &T::device, text(),
             "The sound card: `ich9-intel-hda`, `intel-hda`, `ac97`, `usb-audio`, `virtio-sound-pci`. Default: none"),
      key<T>("codec", &T::codec, text(), "Of an HDA device: `hda-duplex` (the default), `hda-micro`, `hda-output`"),
  });
}

} // namespace qemuctl::detail
