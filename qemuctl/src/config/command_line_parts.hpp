// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "../guest_machine.hpp"
#include "../problems.hpp"
#include "ids.hpp"

#include <qemuctl/command_line.hpp>
#include <qemuctl/json.hpp>
#include <qemuctl/qemu_info.hpp>
#include <qemuctl/vm_config.hpp>

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace qemuctl::detail {

/// QEMU's command line under construction.
///
/// Each part of a description adds its options through one of the `add_...` functions. Problems are collected, so that
/// they can be reported together. Devices get their PCI addresses at the end, when all are known.
class CommandLineParts {
 public:
  CommandLineParts(const VmConfig& vm, const QemuInfo& binary, const CommandLineContext& decided);

  const VmConfig& config;
  const QemuInfo& qemu;
  const CommandLineContext& context;
  const GuestMachine machine;
  const DeviceIds ids;

  void option(std::string name);
  void option(std::string name, std::string value);
  void object(const std::string& path, Json properties); ///< has `qom-type` and `id`
  void blockdev(const Json& node);
  void netdev(const Json& backend);
  void chardev(std::string options); ///< "TYPE,id=ID,...", values escaped

  /// A device for the part of the description at `path` that selects it; this QEMU must support it. It has `driver` and
  /// `id`. A PCI device without a `bus` is placed.
  void device(const std::string& path, Json properties);
  bool is_pci_device(std::string_view driver) const;

  /// A name for a block node: the recognisable id of what it is for, or as much of it as fits, and a number. Nodes
  /// below it have the same name with a suffix; `suffixes` are those it will need.
  std::string node_name(const std::string& id, std::size_t index, const std::vector<std::string>& suffixes);

  /// The descriptor that QEMU inherits for the part of the description at `path`; -1: none.
  int descriptor(std::string_view path) const;
  std::vector<int> descriptors(std::string_view path) const;

  /// The controller that USB devices are on; once, however often it is called.
  void add_usb_controller();
  /// Assigns a device the next free port of that controller, adding it first.
  void plug_into_usb(Json& device);
  /// The bus of the virtio-serial controller, or of the virtio-scsi controller: added by the first call.
  std::string virtio_serial_bus();
  std::string scsi_bus();

  void invalid(std::string path, std::string text); ///< is invalid for this machine
  void invalid(std::string path, std::string_view found, std::string_view expected);
  void missing(std::string path, std::string text); ///< this QEMU does not have it
  /// "this QEMU (PATH, version 7.2.22) has no WHAT": names the version that added it, if known.
  void missing_in_qemu(std::string path, std::string_view what, std::string_view since = {});

  /// The complete command line; call it once. The problems are then in the two lists: what is invalid for this machine,
  /// and what this QEMU lacks.
  std::vector<std::string> finish(Problems& invalid, Problems& missing);

 private:
  struct Device {
    std::size_t argument; ///< its place in `argv_`
    Json properties;
    bool placed; ///< on the PCI bus by us
  };

  void place_pci_devices();

  std::vector<std::string> argv_;
  std::vector<Device> devices_;
  std::set<std::string> node_names_;
  std::size_t usb_ports_used_ = 0;
  bool usb_controller_added_ = false, virtio_serial_added_ = false, scsi_added_ = false;
  Problems invalid_, missing_;
};

/// @name The parts
/// @{
void add_general(CommandLineParts& parts); ///< name, defaults
void add_secrets(CommandLineParts& parts);
void add_machine(CommandLineParts& parts); ///< machine, CPU, memory, firmware, boot, clock, TPM
void add_disks(CommandLineParts& parts);   ///< disks, CD-ROMs
void add_shares(CommandLineParts& parts);
void add_networks(CommandLineParts& parts);   ///< networks, vsock
void add_characters(CommandLineParts& parts); ///< serials, chardevs, virtio-serial, agents
void add_usb(CommandLineParts& parts);
void add_host_devices(CommandLineParts& parts);
void add_display(CommandLineParts& parts); ///< display, video, audio
void add_balloon(CommandLineParts& parts);
void add_monitors(CommandLineParts& parts);
/// @}

/// `qemuctl::build_command_line` for a checked description, with problems instead of exceptions.
std::vector<std::string> build_command_line(const VmConfig& config, const QemuInfo& qemu,
                                            const CommandLineContext& context, Problems& invalid, Problems& missing);

/// The Unix socket of a SPICE server: its `path`, or `<socketDir>/<name>.spice`.
std::string spice_socket_path(const VmConfig& config);

/// "on" or "off"
std::string on_off(bool value);

} // namespace qemuctl::detail
