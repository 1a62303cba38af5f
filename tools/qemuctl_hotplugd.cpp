// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "hotplug_daemon.hpp"

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <csignal>
#include <exception>
#include <string_view>

namespace {

using tool::DaemonOptions;

constexpr int good = 0, failed = 1, usage = 2;

/// What is wrong with options that are each right; empty: nothing.
std::string_view wrong_combination(const DaemonOptions& options) {
  if (options.config && (options.pid || options.rules)) return "-c excludes --pid and --rules";
  if (!options.config && !(options.pid && options.rules)) return "give a configuration (-c FILE), or --pid and --rules";
  if (options.check && !options.explain.empty()) return "--check and --explain cannot be used together";
  return {};
}

void describe_options(CLI::App& app, DaemonOptions& options) {
  app.set_version_flag("--version", "qemuctl-hotplugd " QEMUCTL_VERSION, "Print the version and exit");
  app.set_help_flag("-h,--help", "Print this and exit");
  app.add_option("-c,--config", options.config, "The configuration, in either of vhotplug's formats")
      ->type_name("FILE");
  app.add_option("--pid", options.pid, "Serve the QEMU process PID instead, by the rules in --rules")
      ->type_name("PID")
      ->check(CLI::PositiveNumber);
  app.add_option("--rules", options.rules, "Rules for that VM: a configuration without vms and general")
      ->type_name("FILE");
  app.add_flag("-a,--attach-connected", options.attach_connected,
               "Also attach the devices that are plugged in already, not only those that are plugged in from now on");
  app.add_flag("-d,--debug", options.debug, "Log everything that is done");
  app.add_flag("--detach-on-exit", options.detach_on_exit, "Take all devices out of the VMs before ending");
  app.add_flag("--check", options.check, "Report every error in the configuration, and do nothing else");
  app.add_option("--explain", options.explain, "Say which VM a device goes to, rule by rule, and why")
      ->type_name("DEVICE");
  app.footer(
      "DEVICE is a node (/dev/bus/usb/003/078), a port (3-1.4), ids (046d:c52b), or a path in sysfs.\n"
      "The file is reloaded on SIGHUP and whenever it changes; an invalid file is reported, and the old configuration\n"
      "stays. Ends on SIGTERM and Ctrl-C; guests keep their devices.\n\n"
      "Exit status: 0 stopped on request, or done; 1 failed; 2 usage error or an error in the file.\n");
}

int refuse(std::string_view what) {
  fmt::print(stderr, "qemuctl-hotplugd: {}\nRun with --help for more information.\n", what);
  return usage;
}

int run(int argc, char** argv) {
  CLI::App app("Keeps the right USB, PCI and input devices of this host attached to the right QEMU virtual machines.",
               "qemuctl-hotplugd");
  DaemonOptions options;
  describe_options(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) { // --help, --version
    app.exit(done);
    return good;
  } catch (const CLI::ParseError& error) {
    return refuse(error.what());
  }
  if (const std::string_view wrong = wrong_combination(options); !wrong.empty()) return refuse(wrong);
  return tool::run_daemon(std::move(options));
}

} // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "qemuctl-hotplugd: {}\n", error.what());
  }
  return failed;
}
