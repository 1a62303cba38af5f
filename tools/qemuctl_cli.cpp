// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "cli.hpp"

#include <qemuctl/error.hpp>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <exception>
#include <string>
#include <string_view>

namespace {

using tool::CliOptions;
using Command = CliOptions::Command;

constexpr int good = 0, failed = 1, usage = 2;

/// Where the service is, as it was typed.
struct Address {
  std::string socket, tcp, vsock;
};

int refuse(std::string_view what) {
  fmt::print(stderr, "qemuctl: {}\nRun with --help for more information.\n", what);
  return usage;
}

/// A subcommand that sets these options when it was typed.
CLI::App* subcommand(CLI::App& above, CliOptions& options, const std::string& name, const std::string& description,
                     Command command, const std::string& action = {}, const std::string& kind = {}) {
  CLI::App* app = above.add_subcommand(name, description);
  app->set_help_flag("-h,--help", "Print this and exit");
  app->fallthrough();
  app->callback([&options, command, action, kind] {
    options.command = command;
    options.action = action;
    options.kind = kind;
  });
  return app;
}

void describe_vm(CLI::App& app, CliOptions& options) {
  CLI::App* vm = app.add_subcommand("vm", "List and control virtual machines");
  vm->set_help_flag("-h,--help", "Print this and exit");
  vm->require_subcommand(1);
  vm->fallthrough();
  CLI::App* list = subcommand(*vm, options, "list", "List the VMs of the service", Command::vm_list);
  list->add_flag("--names", options.names, "Print only their names, for scripts");
  const auto action = [&](const std::string& name, const std::string& description) {
    std::string of_api = "vm_" + name;
    if (name == "send-key") of_api = "vm_send_key";
    CLI::App* one = subcommand(*vm, options, name, description, Command::vm, of_api);
    return one;
  };
  const auto named = [&](CLI::App* one) {
    one->add_option("vm", options.vm, "Its name; omit it with --pid or --vm-socket")->type_name("VM");
    return one;
  };
  named(action("status", "Show its state and any problem with it"));
  named(action("start", "Launch it from the vm.json that the service has for it"));
  named(action("shutdown", "Press its power button and do not wait"));
  named(action("stop", "Shut it down; force it if the guest does not shut down in time"))
      ->add_option("--timeout", options.timeout, "How long the guest may take. Default: 30")
      ->type_name("SECONDS")
      ->check(CLI::Range(0, 600));
  named(action("pause", "Pause it"));
  named(action("resume", "Let a paused VM continue"));
  named(action("reset", "Press its reset button"));
  const std::string words = "VM FILE, or just FILE with --pid or --vm-socket; - is stdout";
  action("screenshot", "Save a picture of its screen")
      ->add_option("words", options.keys, words)
      ->type_name("")
      ->required();
  action("send-key", "Press several keys at once, such as ctrl alt delete")
      ->add_option("words", options.keys, "VM KEY..., or just KEY... with --pid or --vm-socket")
      ->type_name("")
      ->required();
}

void describe_devices(CLI::App& app, CliOptions& options, const std::string& kind, const std::string& what) {
  CLI::App* group = app.add_subcommand(kind, what);
  group->set_help_flag("-h,--help", "Print this and exit");
  group->require_subcommand(1);
  group->fallthrough();
  const auto one = [&](const std::string& name, const std::string& description, Command command,
                       const std::string& action = {}) {
    return subcommand(*group, options, name, description, command, action, kind);
  };
  CLI::App* list = one("list", "List them: what they are, where they are, and why", Command::list);
  list->add_option("--tag", options.tag, "Only devices whose rule has this tag");
  list->add_flag("--disconnected", options.disconnected, "Only devices that a user has detached");
  list->add_flag("--names", options.names, "Print only their names, for scripts");
  CLI::App* attach =
      one("attach", "Attach one to a VM, after detaching it from another one if necessary", Command::attach);
  attach->add_option("device", options.device, "The device")->type_name("DEVICE");
  attach->add_option("vm", options.vm, "The VM; if it is omitted, a terminal user is asked")->type_name("VM");
  attach->add_option("--tag", options.tag, "All devices whose rule has this tag, instead of one device");
  CLI::App* detach = one("detach", "Detach one from its VM until somebody attaches it again", Command::detach);
  detach->add_option("device", options.device, "The device")->type_name("DEVICE");
  detach->add_option("--tag", options.tag, "All devices whose rule has this tag, instead of one device");
  one("suspend", "Detach all of them before the host goes to sleep", Command::move_all, kind + "_suspend")
      ->add_option("vm", options.vm, "Only the devices of this VM")
      ->type_name("VM");
  one("resume", "Attach the suspended devices again", Command::move_all, kind + "_resume")
      ->add_option("vm", options.vm, "Only the devices of this VM")
      ->type_name("VM");
}

void describe_options(CLI::App& app, CliOptions& options, Address& address) {
  app.set_version_flag("--version", "qemuctl " QEMUCTL_VERSION, "Print the version and exit");
  app.set_help_flag("-h,--help", "Print this and exit");
  app.require_subcommand(1);
  app.add_option("--socket", address.socket, "Connect to the service on this Unix socket")->type_name("PATH");
  app.add_option("--tcp", address.tcp, "Connect to the service at HOST:PORT")->type_name("HOST:PORT");
  app.add_option("--vsock", address.vsock, "Connect to the service at CID:PORT; CID 2 is the host of this VM")
      ->type_name("CID:PORT");
  app.add_option("--token-file", options.token_file,
                 "A file with the token for the service; with --tcp, $QEMUCTL_TOKEN is used without it")
      ->type_name("FILE");
  app.add_option("--pid", options.pid, "For vm: control this QEMU process without a service")
      ->type_name("PID")
      ->check(CLI::PositiveNumber);
  app.add_option("--vm-socket", options.vm_socket, "For vm: control the VM with this QMP monitor without a service")
      ->type_name("SOCKET");
  app.add_flag("--json", options.json, "Print the service's data as JSON, for scripts");
  describe_vm(app, options);
  describe_devices(app, options, "usb", "List and move USB devices");
  describe_devices(app, options, "pci", "List and move PCI devices");
  describe_devices(app, options, "evdev", "List and move input devices");
  subcommand(app, options, "listen", "Print events until Ctrl-C", Command::listen);
  subcommand(app, options, "explain", "Show, rule by rule, which VM a device goes to and why", Command::explain)
      ->add_option("device", options.device, "The device")
      ->type_name("DEVICE")
      ->required();
  CLI::App* arguments =
      subcommand(app, options, "vmm-args", "Print QEMU's arguments for the devices that a VM starts with",
                 Command::other, "vmm_args");
  arguments->add_option("vm", options.vm, "Its name")->type_name("VM")->required();
  arguments->add_option("--bus-prefix", options.bus_prefix, "The common beginning of the ids of its empty ports")
      ->type_name("PREFIX");
  arguments->add_option("--bus-start", options.bus_start, "The number of the first port. Default: 0")
      ->type_name("N")
      ->check(CLI::Range(0, 999));
  subcommand(app, options, "reload", "Make the service reload its configuration", Command::other, "reload");
  app.footer(
      "DEVICE is a node (/dev/bus/usb/003/078), a port (3-1.4), ids (046d:c52b), a PCI address, or a part of the name\n"
      "that no other device has. Without --socket, --tcp and --vsock, qemuctl looks for the service at\n"
      "/var/lib/vhotplug/vhotplug.sock, and then on the host of this VM.\n\n"
      "Exit status: 0 done; 1 failed; 2 usage error.\n");
}

/// Sorts out words that mean this or that; what is wrong with options that are each right; empty: nothing.
std::string_view complete(CliOptions& options, const Address& address) {
  const int services = int{!address.socket.empty()} + int{!address.tcp.empty()} + int{!address.vsock.empty()};
  if (services + int{options.pid.has_value()} + int{!options.vm_socket.empty()} > 1)
    return "--socket, --tcp, --vsock, --pid and --vm-socket cannot be used together";
  if (!address.socket.empty()) options.service = hotplug::ApiUnixAddress(address.socket);
  if (!address.tcp.empty()) options.service = hotplug::parse_api_tcp(address.tcp);
  if (!address.vsock.empty()) options.service = hotplug::parse_api_vsock(address.vsock);
  const bool moves = options.command == Command::attach || options.command == Command::detach;
  if (moves && options.device.empty() == options.tag.empty()) return "give a DEVICE, or a --tag instead";
  if (options.command != Command::vm)
    return options.without_service() ? "--pid and --vm-socket work only with \"vm\", and not with \"vm list\"" : "";
  if (options.without_service() && options.action == "vm_start")
    return "\"vm start\" needs a service; or use qemuctl-run";
  if (!options.keys.empty() && !options.without_service()) {
    options.vm = options.keys.front();
    options.keys.erase(options.keys.begin());
  }
  if (options.action == "vm_screenshot") {
    if (options.keys.size() != 1) return "\"vm screenshot\" needs a VM and one FILE";
    options.file = options.keys.front();
    options.keys.clear();
  }
  if (options.action == "vm_send_key" && options.keys.empty()) return "\"vm send-key\" needs a VM and at least one KEY";
  if (options.vm.empty() != options.without_service()) return "name a VM, or use --pid or --vm-socket instead";
  return {};
}

int run(int argc, char** argv) {
  CLI::App app(
      "Lists devices, moves them between this host and its virtual machines, and controls the virtual machines.",
      "qemuctl");
  CliOptions options;
  Address address;
  describe_options(app, options, address);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) { // --help, --version
    app.exit(done);
    return good;
  } catch (const CLI::ParseError& error) {
    return refuse(error.what());
  }
  try {
    if (const std::string_view wrong = complete(options, address); !wrong.empty()) return refuse(wrong);
  } catch (const qemuctl::Error& error) {
    return refuse(error.what());
  }
  return tool::run_cli(std::move(options));
}

} // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "qemuctl: {}\n", error.what());
  }
  return failed;
}
