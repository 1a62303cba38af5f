// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "run_options.hpp"
#include "runner.hpp"

#include <CLI/CLI.hpp>
#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace {

using tool::ExitStatus;
using tool::RunOptions;

/// With one of 0, 1 and 2 closed, the next file opened, a monitor's socket maybe, would be taken for it.
void open_standard_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) static_cast<void>(::open("/dev/null", O_RDWR));
}

/// What is wrong with options that are each right; empty: nothing.
std::string_view wrong_combination(const RunOptions& options) {
  const int targets =
      int{options.vm_file.has_value()} + int{options.attach_pid.has_value()} + int{options.attach.has_value()};
  if (targets == 0) return "nothing to run: give a vm.json, --attach-pid or --attach";
  if (targets > 1) return "a vm.json, --attach-pid and --attach cannot be used together";
  if (!options.vm_file && (!options.name.empty() || options.check || options.dry_run || options.detach))
    return "--name, --check, --dry-run and --detach go with a vm.json only";
  if (options.detach && (options.dry_run || options.console)) return "--detach excludes --dry-run and --console";
  if (options.check && (options.dry_run || options.detach || options.console))
    return "--check excludes --dry-run, --detach and --console";
  return {};
}

std::string positive_number(const std::string& text) {
  int number = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  return parsed.ec == std::errc{} && parsed.ptr == end && number > 0 ? "" : fmt::format("{} is not a PID", text);
}

void describe_options(CLI::App& app, RunOptions& options) {
  app.set_version_flag("--version", "qemuctl-run " QEMUCTL_VERSION, "Print the version and exit");
  app.set_help_flag("-h,--help", "Print this and exit");
  app.add_option("vm.json", options.vm_file, "The VM to launch")->type_name("");
  app.add_option("--attach-pid", options.attach_pid, "Follow the QEMU process PID instead")
      ->type_name("PID")
      ->check(CLI::Validator(positive_number, ""));
  app.add_option("--attach", options.attach,
                 "Follow the VM with this QMP monitor instead: /path, @abstract or tcp:HOST:PORT")
      ->type_name("SOCKET");
  app.add_option("--hotplug", options.hotplug,
                 "Attach the devices of the host that these rules name; vm.json can have such rules, too")
      ->type_name("FILE");
  app.add_option("--name", options.name, "The name of the VM, instead of the one in vm.json")->type_name("NAME");
  app.add_flag("--check", options.check, "Report every error in vm.json, and start no VM");
  app.add_flag("--dry-run", options.dry_run, "Print QEMU's command line, quoted for a shell, and start no VM");
  app.add_flag("--detach", options.detach,
               "Leave the VM running; print its name, PID and QMP socket, and with rules for\n"
               "devices the PID of what follows them");
  app.add_flag("--console", options.console, "Connect to the first serial port; on a terminal, leave with Ctrl-]");
  app.add_flag("-v,--verbose", options.verbose, "Print QEMU's command line and QMP events, too");
  app.footer("While it runs, Ctrl-C asks the guest to shut down and a second Ctrl-C forces it. A VM that was attached\n"
             "to is left alone.\n\n"
             "Exit status: 0 the guest ended by itself, or was asked to and did; 1 it could not start, crashed or was\n"
             "killed; 2 usage error or an error in the file; 3 it had to be forced.\n");
}

ExitStatus refuse(std::string_view what) {
  fmt::print(stderr, "qemuctl-run: {}\nRun with --help for more information.\n", what);
  return ExitStatus::usage;
}

ExitStatus run(int argc, char** argv) {
  CLI::App app("Launches a QEMU virtual machine, or attaches to a running one, and follows it to its end.",
               "qemuctl-run");
  RunOptions options;
  describe_options(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) { // --help, --version
    app.exit(done);
    return ExitStatus::good;
  } catch (const CLI::ParseError& error) {
    return refuse(error.what());
  }
  if (const std::string_view wrong = wrong_combination(options); !wrong.empty()) return refuse(wrong);
  return tool::Runner(std::move(options)).run();
}

} // namespace

int main(int argc, char** argv) {
  open_standard_streams();
  // A reader that goes away is seen as an error of the write; the VM must not be left to itself for it.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return static_cast<int>(run(argc, argv));
  } catch (const std::exception& error) {
    fmt::print(stderr, "qemuctl-run: {}\n", error.what());
  } catch (...) {
    fmt::print(stderr, "qemuctl-run: cannot go on: an unknown error\n");
  }
  return static_cast<int>(ExitStatus::failed);
}
