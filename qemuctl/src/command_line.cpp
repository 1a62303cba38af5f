// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "guest_machine.hpp"
#include "nearest_word.hpp"
#include "problems.hpp"
#include "vm_config_check.hpp"

#include <qemuctl/command_line.hpp>
#include <qemuctl/json.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace qemuctl {

using namespace detail;

namespace {

/// QEMU's limit for the names of block nodes (sizeof BlockDriverState::node_name, with its NUL).
constexpr std::size_t max_node_name = 31;
constexpr std::string_view file_node_suffix = "-file";

/// The driver of an image file for which no format was given.
std::string image_format(const FileDiskBackend& backend) {
  if (!backend.format.empty()) return backend.format;
  for (const std::string_view format : {"qcow2", "vmdk", "vdi", "vhdx"})
    if (backend.path.ends_with(fmt::format(".{}", format))) return std::string(format);
  return "raw";
}

/// The `file` driver refuses devices. By the name alone, so that this stays a pure function.
std::string protocol_driver(std::string_view path) {
  const bool device = path.starts_with("/dev/") && !path.starts_with("/dev/shm/") && !path.starts_with("/dev/fdset/");
  return device ? "host_device" : "file";
}

std::string on_off(bool value) {
  return value ? "on" : "off";
}

class Builder {
 public:
  Builder(const VmConfig& config, const QemuInfo& qemu, const CommandLineContext& context)
      : config_(config), qemu_(qemu), context_(context), machine_(guest_machine(config, qemu)),
        ids_(device_ids(config)) {}

  std::vector<std::string> build() {
    argv_.push_back(qemu_.path.string());
    general();
    machine();
    boot();
    disks();
    networks();
    serials();
    usb();
    display();
    monitors();
    argv_.insert(argv_.end(), config_.extra_args.begin(), config_.extra_args.end());
    const std::string subject = config_.name.empty() ? "" : "VM " + config_.name;
    invalid_.throw_if_any(errc::invalid_argument, "make the command line of QEMU", subject);
    missing_.throw_if_any(errc::not_supported, "make the command line of QEMU", subject);
    return std::move(argv_);
  }

 private:
  void option(std::string name) { argv_.push_back(std::move(name)); }
  void option(std::string name, std::string value) {
    argv_.push_back(std::move(name));
    argv_.push_back(std::move(value));
  }

  /// `-device` for the part of the description at `path`; this QEMU must know it.
  void device(const std::string& path, Json properties) {
    const std::string& driver = properties.at("driver").as_string();
    // Without a list nothing is known, and QEMU itself will tell.
    if (!qemu_.devices.empty() && !qemu_.has_device(driver)) {
      const std::string near = nearest_word(driver, qemu_.devices);
      missing_.add(path, fmt::format("this QEMU ({}, version {}) has no device {}{}", qemu_.path.string(),
                                     to_string(qemu_.version), in_quotes(driver),
                                     near.empty() ? "" : fmt::format("; did you mean {}?", in_quotes(near))));
    }
    option("-device", properties.dump());
  }

  void general() {
    if (!config_.name.empty()) option("-name", fmt::format("guest={},debug-threads=on", escape_option(config_.name)));
    option("-no-user-config");
    if (config_.no_defaults) option("-nodefaults");
    if (context_.paused) option("-S");
  }

  void machine() {
    const std::vector<std::string>& accels = qemu_.accelerators;
    if (!accels.empty() && std::find(accels.begin(), accels.end(), context_.accel) == accels.end())
      missing_.add("machine.accel", fmt::format("this QEMU ({}) was built without {}; it has {}", qemu_.path.string(),
                                                context_.accel, listed(accels)));
    option("-machine", (machine_.type.empty() ? "" : escape_option(machine_.type) + ",") + "accel=" + context_.accel);
    const std::string cpu = cpu_option(config_, qemu_, context_.accel);
    if (!cpu.empty()) option("-cpu", cpu);
    if (cpu.empty() && !config_.cpu.features.empty())
      invalid_.add("cpu.features", "need a cpu.model on this architecture");
    option("-m", fmt::format("{}M", config_.memory.size_mib));
    const CpuConfig& topology = config_.cpu;
    if (topology.sockets || topology.cores || topology.threads) {
      std::string smp = fmt::format("cpus={}", topology.count());
      if (topology.sockets) smp += fmt::format(",sockets={}", topology.sockets);
      if (topology.cores) smp += fmt::format(",cores={}", topology.cores);
      if (topology.threads) smp += fmt::format(",threads={}", topology.threads);
      option("-smp", smp);
    }
  }

  void boot() {
    const BootConfig& boot = config_.boot;
    std::string options;
    const auto add = [&](std::string_view key, std::string_view value) {
      options += fmt::format("{}{}={}", options.empty() ? "" : ",", key, value);
    };
    if (!boot.order.empty()) add("order", boot.order);
    if (boot.menu) add("menu", on_off(*boot.menu));
    if (boot.strict) add("strict", "on");
    if (!options.empty()) option("-boot", options);
    if (!boot.kernel.empty()) option("-kernel", boot.kernel);
    if (!boot.initrd.empty()) option("-initrd", boot.initrd);
    if (!boot.append.empty()) option("-append", boot.append);
  }

  /// A name for the image's node: the disk's id, so that people recognise it, or what fits of it and a number. The node
  /// of the file below has the same name with a suffix.
  std::string node_name(const std::string& id, std::size_t index) {
    constexpr std::size_t longest = max_node_name - file_node_suffix.size();
    const auto take = [this](const std::string& name) {
      const std::string file = name + std::string(file_node_suffix);
      if (name.size() > longest || node_names_.contains(name) || node_names_.contains(file)) return false;
      node_names_.insert({name, file});
      return true;
    };
    std::string name = id;
    for (std::size_t number = index; !take(name); ++number) {
      const std::string suffix = fmt::format("-{}", number);
      name = id.substr(0, longest - suffix.size()) + suffix;
    }
    return name;
  }

  void disks() {
    for (std::size_t i = 0; i < config_.disks.size(); ++i) {
      const DiskConfig& disk = config_.disks[i];
      const std::string node = node_name(ids_.disks[i], i);
      Json file = Json::object({{"driver", protocol_driver(disk.backend.path)},
                                {"node-name", node + std::string(file_node_suffix)},
                                {"filename", disk.backend.path},
                                {"read-only", disk.read_only}});
      Json format = Json::object({{"driver", image_format(disk.backend)},
                                  {"node-name", node},
                                  {"read-only", disk.read_only},
                                  {"file", std::move(file)}});
      option("-blockdev", format.dump());
      Json properties =
          Json::object({{"driver", "virtio-blk" + machine_.virtio_suffix()}, {"id", ids_.disks[i]}, {"drive", node}});
      if (!disk.serial.empty()) properties.set("serial", disk.serial);
      if (disk.boot_index) properties.set("bootindex", *disk.boot_index);
      device(fmt::format("disks[{}].interface", i), std::move(properties));
    }
  }

  void networks() {
    for (std::size_t i = 0; i < config_.networks.size(); ++i) {
      const NetworkConfig& network = config_.networks[i];
      const std::string netdev = ids_.networks[i] + "-netdev";
      Json backend = Json::object({{"type", "user"}, {"id", netdev}});
      if (network.backend.restrict) backend.set("restrict", true);
      if (!network.backend.host_forwards.empty()) {
        Json forwards = Json::array();
        for (const std::string& forward : network.backend.host_forwards)
          forwards.push_back(Json::object({{"str", forward}}));
        backend.set("hostfwd", std::move(forwards));
      }
      option("-netdev", backend.dump());
      // The default and its short form are "virtio-net", whatever the bus of this machine.
      const bool virtio = network.model == "virtio" || network.model == "virtio-net-pci";
      Json properties = Json::object({{"driver", virtio ? "virtio-net" + machine_.virtio_suffix() : network.model},
                                      {"id", ids_.networks[i]},
                                      {"netdev", netdev}});
      if (!network.mac_address.empty()) properties.set("mac", network.mac_address);
      device(fmt::format("networks[{}].model", i), std::move(properties));
    }
  }

  std::string serial_chardev(std::size_t index) {
    const SerialConfig& serial = config_.serials[index];
    const std::string id = serial_id(index);
    if (serial.type == "file") return fmt::format("file,id={},path={}", id, escape_option(serial.path));
    if (serial.type != "socket") return fmt::format("{},id={}", serial.type, id);
    const int fd = index < context_.serial_fds.size() ? context_.serial_fds[index] : -1;
    if (fd >= 0) return fmt::format("socket,id={},fd={},server=on,wait=off", id, fd);
    if (serial.path.empty() && config_.name.empty())
      invalid_.add(fmt::format("serials[{}].path", index), "is needed for a VM without a name");
    return fmt::format("socket,id={},path={},server=on,wait=off", id,
                       escape_option(serial_socket_path(config_, index)));
  }

  void serials() {
    const std::string driver = machine_.serial_device();
    if (config_.serials.size() > static_cast<std::size_t>(machine_.max_serials()))
      invalid_.add("serials", fmt::format("{} serial ports", config_.serials.size()),
                   fmt::format("at most {}, as this machine has", machine_.max_serials()));
    for (std::size_t i = 0; i < config_.serials.size(); ++i) {
      option("-chardev", serial_chardev(i));
      if (driver.empty())
        option("-serial", "chardev:" + serial_id(i));
      else
        device(fmt::format("serials[{}]", i),
               Json::object({{"driver", driver}, {"id", serial_id(i)}, {"chardev", serial_id(i)}}));
    }
  }

  void usb() {
    if (!config_.usb && config_.usb_devices.empty()) return;
    const std::string controller = config_.usb.value_or(UsbControllerConfig()).type;
    const std::string id(usb_controller_id);
    const int ports = usb_port_count(controller);
    Json properties = Json::object({{"driver", controller}, {"id", id}});
    if (controller.ends_with("-xhci")) {
      properties.set("p2", ports);
      properties.set("p3", ports);
    }
    device("usb.type", std::move(properties));
    for (std::size_t i = 0; i < config_.usb_devices.size(); ++i) {
      Json usb_device =
          Json::object({{"driver", config_.usb_devices[i].type}, {"id", usb_device_id(i)}, {"bus", id + ".0"}});
      // Left to itself QEMU puts a 12 Mb/s hub into the last free port and everything else behind it.
      if (ports > 0) usb_device.set("port", std::to_string(i + 1));
      device(fmt::format("usbDevices[{}].type", i), std::move(usb_device));
    }
  }

  void display() {
    option("-display", "none");
    const DisplayConfig& display = config_.display;
    if (display.type == "vnc")
      option("-vnc",
             escape_option(vnc_address(display.vnc.listen).value()) + (display.vnc.password ? ",password=on" : ""));
    const std::string video = video_device(display.video);
    if (!video.empty()) device("display.video", Json::object({{"driver", video}, {"id", video_id}}));
  }

  void monitor(const std::string& id, const std::string& socket) {
    option("-chardev", fmt::format("socket,id={},{}", id, socket));
    option("-mon", fmt::format("chardev={},mode=control", id));
  }

  void monitors() {
    if (context_.control_fd >= 0) monitor("qemuctl-control", fmt::format("fd={}", context_.control_fd));
    if (context_.monitor_fd >= 0)
      monitor("qmp", fmt::format("fd={},server=on,wait=off", context_.monitor_fd));
    else if (!context_.monitor_path.empty())
      monitor("qmp", fmt::format("path={},server=on,wait=off", escape_option(context_.monitor_path)));
  }

  const VmConfig& config_;
  const QemuInfo& qemu_;
  const CommandLineContext& context_;
  const GuestMachine machine_;
  const DeviceIds ids_;
  std::set<std::string> node_names_;
  Problems invalid_; ///< can not be right for this machine
  Problems missing_; ///< this QEMU does not have it
  std::vector<std::string> argv_;
};

} // namespace

std::vector<std::string> build_command_line(const VmConfig& config, const QemuInfo& qemu,
                                            const CommandLineContext& context) {
  Problems problems;
  check_vm_config(config, problems);
  problems.throw_if_any(errc::invalid_argument, "make the command line of QEMU",
                        config.name.empty() ? "" : "VM " + config.name);
  return Builder(config, qemu, context).build();
}

} // namespace qemuctl
