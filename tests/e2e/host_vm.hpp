// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "machine.hpp"
#include "run.hpp"
#include "temp_dir.hpp"

#include <qemuctl/instance.hpp>
#include <qemuctl/json.hpp>
#include <qemuctl/qmp_client.hpp>

#include <asio/io_context.hpp>
#include <asio/local/stream_protocol.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace test {

/// How a command of the shell ended, and what it wrote to stdout and stderr.
struct CommandResult {
  int status = 0;
  std::string output;
};

/// A `usb-host` device of a QEMU, as that QEMU shows it.
struct UsbHostInVm {
  std::string id;   ///< empty: it was made without one
  std::string path; ///< in QEMU's object tree
  int bus = 0, address = 0;
  std::string node;      ///< "/dev/fdset/3" for one that was passed by descriptor
  bool attached = false; ///< QEMU has the device of the host, and the guest sees it
};

/// A QEMU that runs in a host in a VM, without a guest, and the test's own monitor of it.
class NestedQemu {
 public:
  const std::string& name() const noexcept { return name_; }
  int pid() const noexcept { return pid_; } ///< in the host
  /// The path of the QMP socket in the host that is for the program under test.
  const std::string& socket() const noexcept { return socket_; }
  qemuctl::QmpClient& qmp() noexcept { return *qmp_; }

 private:
  friend class HostVm;
  std::string name_, socket_;
  int pid_ = 0;
  std::unique_ptr<qemuctl::QmpClient> qmp_;
};

/// The machine of a QEMU in a host in a VM, as arguments.
std::vector<std::string> nested_machine();

/// The arguments with which QEMU goes on as the user nobody once it is ready, for `HostVm::start_qemu`.
std::string as_nobody();

/// A whole host: this machine's system with its programs and files, booted in a VM, with a kernel of its own and USB
/// and PCI hardware that is plugged and pulled from outside. As an example:
///
///     test::HostVm host;
///     host.plug(Json::object({{"driver", "usb-tablet"}, {"id", "tablet"}, {"port", "3"}}));
///     host.wait_for_device("/sys/bus/usb/devices/1-3");
///     test::NestedQemu vm = host.start_qemu("guest");
///     host.spawn(program + " --socket " + vm.socket(), "/tmp/log");
///     host.wait_until("the tablet is in the VM", [&] { return host.usb_of(vm).size() == 1; });
///     host.pull("tablet");
///
/// Files of this machine are there under their paths, as they were when the host booted; what is written there stays in
/// its memory. Everything is done as root. With the object the host ends, and all that ran in it. When the case has
/// failed its commands and its console are shown.
///
/// Every call blocks until it is done, and throws when it cannot be.
class HostVm {
 public:
  struct Options {
    int pcie_ports = 4; ///< empty ones, "rp0", "rp1", ...
    std::vector<std::string> qemu_arguments;
    std::string kernel_arguments;
  };
  /// Returns when the host is up. Skips the case when the machine has not got what it takes.
  HostVm();
  explicit HostVm(Options options);
  ~HostVm();
  HostVm(const HostVm&) = delete;
  HostVm& operator=(const HostVm&) = delete;

  /// @name Programs
  /// @{
  /// Runs a command of the shell (bash). It must not leave a process that writes to its output; see `spawn`.
  CommandResult run(const std::string& command, std::chrono::seconds deadline = patience);
  /// The same for a command that succeeds: its output, without the end of the last line. Throws when it fails.
  std::string output_of(const std::string& command, std::chrono::seconds deadline = patience);
  /// Starts a program, in a session of its own, that writes its output to `log`, and goes on without it. Its PID.
  int spawn(const std::string& command, const std::string& log);
  /// Makes a file, or replaces it. At most 100 kB, without NUL bytes.
  void write_file(const std::string& path, const std::string& text);
  /// @}

  /// @name Hardware
  /// @{
  /// `device_add` with these properties; returns when the hardware is there, before the host has noticed. A USB device
  /// without a "bus" is put on the host's controller, which has 15 ports for USB 2 (bus 1) and the same for USB 3 (bus
  /// 2): port "3" is the host's 1-3 or 2-3. A PCI device needs a "bus", "rp0" or another.
  void plug(qemuctl::Json properties);
  /// Pulls the device with this id; returns when it is gone, before the host has noticed.
  void pull(const std::string& id);
  /// An empty disk of 1 MiB as "drive" of a `usb-storage` or another device. Once for each name.
  void add_disk(const std::string& name);
  /// The VM that the host is.
  qemuctl::Instance& machine() noexcept { return *machine_; }
  /// @}

  /// @name Waiting
  /// @{
  /// Until udev is through with the device that is to be at this path of /sys.
  void wait_for_device(const std::string& sys_path, std::chrono::seconds deadline = patience);
  /// Until udev is through with its removal.
  void wait_for_removal(const std::string& sys_path, std::chrono::seconds deadline = patience);
  /// Until a command of the shell succeeds. It is tried again and again, in the host.
  void wait_until(const std::string& command, std::chrono::seconds deadline = patience);
  /// Until `holds` returns true, which is tried again and again. `what` is for the error.
  void wait_until(const std::string& what, const std::function<bool()>& holds,
                  std::chrono::seconds deadline = patience);
  /// @}

  /// @name VMs in the host
  /// @{
  /// Starts a q35 QEMU without a guest but with a controller "xhci" with 15 + 15 ports, in the background, and returns
  /// when its monitors listen. More arguments as the shell reads them. A name may be used again when its QEMU is gone.
  NestedQemu start_qemu(const std::string& name, const std::string& arguments = {});
  /// A command on the test's own monitor of it.
  qemuctl::Json execute(NestedQemu& vm, const std::string& command, qemuctl::Json arguments = {});
  /// The ids of its devices of that type, in no order.
  std::vector<std::string> ids_of(NestedQemu& vm, const std::string& type);
  /// How many USB devices of the host it has; quicker than `usb_of`.
  int count_usb_of(NestedQemu& vm);
  /// What it has of the host's USB devices, in no order.
  std::vector<UsbHostInVm> usb_of(NestedQemu& vm);
  /// @}

  /// A TCP port of this machine's 127.0.0.1 that leads to that port of the host (10.0.2.15). Connections are accepted
  /// also when nobody listens there, and then closed.
  int forward(int port);

  /// Runs what a test does itself with Asio, such as a `QmpClient` on a port of `forward`.
  template<class Work>
  auto await(Work work, std::chrono::seconds deadline = patience) {
    return test::run(context_, std::move(work), deadline);
  }
  asio::io_context& context() noexcept { return context_; }

  /// For one step. Long, because tests run beside others on slow machines.
  static constexpr std::chrono::seconds patience{60};

 private:
  asio::awaitable<void> boot(qemuctl::VmConfig config);
  asio::awaitable<CommandResult> exchange(std::string command);
  asio::awaitable<CommandResult> answer();
  void read_properties(NestedQemu& vm, UsbHostInVm& usb);

  TempDir folder_;
  asio::io_context context_{1};
  std::optional<qemuctl::Instance> machine_;
  asio::local::stream_protocol::socket agent_{context_};
  std::string received_; ///< from the agent, not yet used
  std::string journal_;  ///< commands and what came of them
  int next_port_ = 4000;
};

} // namespace test
