// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "command_line_parts.hpp"
#include "words.hpp"

#include <fmt/format.h>

#include <filesystem>

namespace qemuctl::detail {

namespace {

constexpr const char* audio_backend_id = "audio0";

void add_vnc(CommandLineParts& parts, const VncConfig& vnc) {
  std::string options = escape_option(vnc_address(vnc.listen).value());
  if (!vnc.password_secret.empty())
    options += ",password-secret=" + vnc.password_secret;
  else if (!vnc.password.empty())
    options += fmt::format(",password-secret={}", vnc_password_id);
  else if (vnc.authenticate)
    options += ",password=on";
  if (vnc.lossy) options += ",lossy=on";
  if (!vnc.audio_dev.empty()) options += ",audiodev=" + escape_option(vnc.audio_dev);
  if (vnc.websocket > 0) options += fmt::format(",websocket={}", vnc.websocket);
  parts.option("-vnc", options);
}

void add_spice(CommandLineParts& parts, const SpiceConfig& spice) {
  std::string options;
  const auto add = [&](std::string_view key, std::string_view value) {
    options += fmt::format("{}{}={}", options.empty() ? "" : ",", key, value);
  };
  if (!parts.qemu.devices.empty() && !parts.qemu.has_chardev("spicevmc"))
    parts.missing_in_qemu("display.spice",
                          "SPICE (Debian has it in qemu-system-gui, since 13 in qemu-system-modules-spice)");
  if (spice.unix_socket) {
    add("unix", "on");
    add("addr", escape_option(spice_socket_path(parts.config)));
  } else {
    // Without a port there is no listening socket at all, but QEMU wants one of the two options.
    add("port", std::to_string(spice.port));
    if (spice.port > 0) add("addr", escape_option(spice.host.empty() ? "127.0.0.1" : spice.host));
  }
  if (!spice.password_secret.empty())
    add("password-secret", spice.password_secret);
  else if (!spice.password.empty())
    add("password-secret", spice_password_id);
  if (spice.disable_ticketing) add("disable-ticketing", "on");
  if (!spice.image_compression.empty()) add("image-compression", spice.image_compression);
  if (!spice.jpeg_wan_compression.empty()) add("jpeg-wan-compression", spice.jpeg_wan_compression);
  if (!spice.zlib_glz_wan_compression.empty()) add("zlib-glz-wan-compression", spice.zlib_glz_wan_compression);
  if (spice.playback_compression) add("playback-compression", on_off(*spice.playback_compression));
  if (spice.seamless_migration) add("seamless-migration", "on");
  if (spice.disable_copy_paste) add("disable-copy-paste", "on");
  parts.option("-spice", options);
}

/// What a video device has of the properties that `display.video` can set.
void set_video_memory(CommandLineParts& parts, const VideoConfig& video, Json& device) {
  const std::string& driver = device.at("driver").as_string();
  const bool qxl = driver.starts_with("qxl");
  const bool vga = qxl || driver == "VGA" || driver == "secondary-vga" || driver == "cirrus-vga" ||
                   driver == "isa-vga" || driver == "vmware-svga";
  const bool gpu = driver.starts_with("virtio-");
  const auto refuse = [&](const char* name, const char* who) {
    parts.invalid(fmt::format("display.video.{}", name),
                  fmt::format("has no effect on {}; {}", in_quotes(driver), who));
  };
  if (video.vga_mem > 0) {
    if (vga)
      device.set("vgamem_mb", video.vga_mem);
    else if (gpu)
      // It has no memory of its own, but a limit for what it takes of the host's.
      device.set("max_hostmem", static_cast<std::uint64_t>(video.vga_mem) << 20);
    else
      refuse("vgaMem", "\"vga\", \"cirrus\", \"qxl\" and \"virtio\" have it");
  }
  if (video.ram > 0 && !qxl) refuse("ram", "only \"qxl\" has it");
  if (video.vram > 0 && !qxl) refuse("vram", "only \"qxl\" has it");
  if (video.ram > 0 && qxl) device.set("ram_size", video.ram);
  if (video.vram > 0 && qxl) device.set("vram_size", video.vram);
  if (video.max_outputs == 0) return;
  if (qxl || gpu)
    device.set("max_outputs", video.max_outputs);
  else
    refuse("maxOutputs", "\"qxl\" and \"virtio\" have it");
}

void add_video(CommandLineParts& parts) {
  const VideoConfig& video = parts.config.display.video;
  std::string driver = video_device(video.type);
  if (driver.empty()) return;
  // What "virtio" means where there is no VGA, and on another bus.
  if (video.type == "virtio" && parts.machine.arch != GuestArch::x86)
    driver = "virtio-gpu" + parts.machine.virtio_suffix();
  Json device = Json::object({{"driver", driver}, {"id", video_id}});
  set_video_memory(parts, video, device);
  parts.device("display.video.type", std::move(device));
}

bool is_hda(std::string_view device) {
  return device == "intel-hda" || device == "ich9-intel-hda";
}

/// QEMU 7.2 does not tell which backends it has.
void check_audio_backend(CommandLineParts& parts, const std::string& backend) {
  const bool told = parts.qemu.has_feature("audiodev/none");
  const bool known =
      told ? parts.qemu.has_feature("audiodev/" + backend) : parts.qemu.features.empty() || backend != "pipewire";
  if (!known)
    parts.missing_in_qemu("audio.backend", "audio backend " + in_quotes(backend), backend == "pipewire" ? "8.1" : "");
}

void add_audio(CommandLineParts& parts) {
  if (!parts.config.audio) return;
  const AudioConfig& audio = *parts.config.audio;
  check_audio_backend(parts, audio.backend);
  parts.option("-audiodev", fmt::format("{},id={}", audio.backend, audio_backend_id));
  if (audio.device.empty()) return;
  const std::string driver = audio.device == "ac97" ? "AC97" : audio.device;
  Json device = Json::object({{"driver", driver}, {"id", sound_id}});
  if (driver == "usb-audio") parts.plug_into_usb(device);
  // An HDA controller has no sound of its own; a codec has.
  if (!is_hda(driver)) device.set("audiodev", audio_backend_id);
  parts.device("audio.device", std::move(device));
  if (!is_hda(driver)) return;
  parts.device("audio.codec", Json::object({{"driver", audio.codec.empty() ? "hda-duplex" : audio.codec},
                                            {"id", fmt::format("{}-codec", sound_id)},
                                            {"bus", fmt::format("{}.0", sound_id)},
                                            {"audiodev", audio_backend_id}}));
}

} // namespace

std::string spice_socket_path(const VmConfig& config) {
  const std::string& path = config.display.spice ? config.display.spice->path : std::string();
  if (!path.empty()) return path;
  const std::filesystem::path dir = config.socket_dir.empty() ? default_socket_dir() : config.socket_dir;
  return (dir / (config.name + ".spice")).string();
}

void add_display(CommandLineParts& parts) {
  const DisplayConfig& display = parts.config.display;
  const bool window = display.type == "gtk" || display.type == "sdl";
  if (window && !parts.qemu.features.empty() && !parts.qemu.has_feature("display/" + display.type))
    parts.missing_in_qemu("display.type", "display " + in_quotes(display.type));
  parts.option("-display", window ? display.type : "none");
  if (display.vnc || display.type == "vnc") add_vnc(parts, display.vnc.value_or(VncConfig()));
  if (display.spice || display.type == "spice") add_spice(parts, display.spice.value_or(SpiceConfig()));
  add_video(parts);
  add_audio(parts);
}

} // namespace qemuctl::detail
