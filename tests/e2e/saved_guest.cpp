// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "saved_guest.hpp"

#include "command.hpp"
#include "machine.hpp"
#include "running_qemu.hpp"

#include <qemuctl/command_line.hpp>

#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <fmt/format.h>

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <vector>

namespace test {

using qemuctl::Json;

namespace {

constexpr const char* console_in_host = "/run/guest.console";
/// For one step of the guest, in a VM in a VM.
constexpr std::chrono::seconds patience{180};
constexpr const char* log_in_host = "/tmp/guest.console";

/// What has to be the same where it is saved and where it goes on.
std::vector<std::string> machine() {
  std::vector<std::string> words = nested_machine();
  words.insert(words.end(), {"-m", "96", "-kernel", demo_guest().kernel.string()});
  for (const char* port : {"ep0,chassis=1,slot=1", "ep1,chassis=2,slot=2"})
    words.insert(words.end(), {"-device", fmt::format("pcie-root-port,id={}", port)});
  return words;
}

bool contains(const std::filesystem::path& file, const std::string& text) {
  std::ifstream stream(file);
  std::ostringstream all;
  all << stream.rdbuf();
  return all.str().find(text) != std::string::npos;
}

template<class Holds>
void wait_until(asio::io_context& context, const std::string& what, Holds holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::minutes(2);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) throw std::runtime_error("this does not come true: " + what);
    asio::steady_timer timer(context, std::chrono::milliseconds(50));
    test::run(context, timer.async_wait(asio::use_awaitable));
  }
}

} // namespace

SavedGuest::SavedGuest() {
  const std::filesystem::path initrd = folder_ / "initrd", console = folder_ / "console";
  // Without echo and line editing, whose every character takes its time in a VM in a VM.
  std::ofstream(folder_ / "start") << "#!/bin/busybox sh\n"
                                      "/bin/busybox --install -s /bin; export PATH=/bin\n"
                                      "mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys\n"
                                      "modprobe -a virtio_pci vmw_vsock_virtio_transport\n"
                                      "stty -echo; echo 'the guest is up'\n"
                                      "while read -r line; do eval \"$line\"; done\n";
  // The kernel unpacks several archives, one after the other.
  run_command({"sh", "-ec",
               R"(cd "$1"; cp "$2" initrd; cp "$3" call; chmod +x start; printf 'start\ncall\n' | )"
               "cpio --quiet -o -H newc >>initrd",
               "sh", folder_.path().string(), demo_guest().initrd.string(), QEMUCTL_API_CALL});
  std::vector<std::string> words = machine();
  words.insert(words.end(), {"-initrd", initrd.string(), "-append",
                             // Of a clock that a nested guest cannot read in time it would take a slower one.
                             "console=ttyS0 panic=-1 no_timer_check tsc=reliable rdinit=/start", "-serial",
                             "file:" + console.string()});
  asio::io_context context(1);
  RunningQemu qemu(context, qemus().front(), words);
  test::run(context, qemu.qmp().execute("cont"));
  wait_until(context, "the guest is up", [&] { return contains(console, "the guest is up"); });
  const Json where = Json::object({{"uri", "exec:cat >" + (folder_ / "state").string()}});
  test::run(context, qemu.qmp().execute("migrate", where));
  wait_until(context, "the guest is saved", [&] {
    const Json progress = test::run(context, qemu.qmp().execute("query-migrate"));
    if (progress.at("status") == Json("failed")) throw std::runtime_error("the guest is not saved: " + progress.dump());
    return progress.at("status") == Json("completed");
  });
}

std::string SavedGuest::arguments() const {
  std::vector<std::string> words = machine();
  words.erase(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(nested_machine().size()));
  words.insert(words.end(),
               {"-chardev",
                fmt::format("socket,id=console,path={},server=on,wait=off,logfile={}", console_in_host, log_in_host),
                "-serial", "chardev:console", "-incoming", "exec:cat " + (folder_ / "state").string()});
  return qemuctl::quote_for_shell(words);
}

void SavedGuest::run(HostVm& host, const std::string& line) {
  const std::string mark = fmt::format("done {}", ++lines_);
  const std::string typed = line + "; echo " + mark;
  const int client = host.spawn(fmt::format("{} {} {} --follow", QEMUCTL_API_CALL, console_in_host,
                                            qemuctl::quote_for_shell(std::vector(1, typed))),
                                "/dev/null");
  wait_for(host, "^" + mark);
  host.output_of(fmt::format("kill {}", client)); // not before: what QEMU has not read yet would be lost
}

void SavedGuest::wait_for(HostVm& host, const std::string& pattern) {
  // Nothing that looks again and again: the guest would get half of the processor.
  const std::string wait = fmt::format("coproc log {{ exec tail -n +1 -f {}; }}; grep -qm1 -e {} <&${{log[0]}}; "
                                       "found=$?; kill $log_PID; exit $found",
                                       log_in_host, qemuctl::quote_for_shell(std::vector(1, pattern)));
  host.output_of(fmt::format("timeout {} bash -c {}", patience.count(), qemuctl::quote_for_shell(std::vector(1, wait))),
                 patience * 2);
}

} // namespace test
