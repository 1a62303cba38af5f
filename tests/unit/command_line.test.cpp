// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What the golden files do not show: refusals, and choices that depend on the QEMU and the launcher.
#include "catch.hpp"

#include <qemuctl/command_line.hpp>
#include <qemuctl/error.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <functional>
#include <optional>
#include <string>
#include <vector>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;

namespace {

QemuInfo x86() {
  QemuInfo qemu;
  qemu.path = "/usr/bin/qemu-system-x86_64";
  qemu.version = {7, 2, 22};
  return qemu;
}

/// The value of the first `option`; nullopt when it is not there.
std::optional<std::string> value_of(const std::vector<std::string>& argv, const std::string& option) {
  const auto found = std::find(argv.begin(), argv.end(), option);
  if (found == argv.end() || found + 1 == argv.end()) return std::nullopt;
  return *(found + 1);
}

bool contains(const std::vector<std::string>& argv, const std::string& word) {
  return std::find(argv.begin(), argv.end(), word) != argv.end();
}

/// What is said about a description that `change` has spoilt.
std::string refusal(const std::function<void(VmConfig&)>& change, const QemuInfo& qemu = x86(),
                    errc code = errc::invalid_argument, const CommandLineContext& context = {}) {
  VmConfig config;
  config.name = "demo";
  change(config);
  try {
    build_command_line(config, qemu, context);
  } catch (const Error& error) {
    CHECK(error.code() == code);
    return error.diagnostics().detail;
  }
  return "not refused";
}

SerialConfig serial(const std::string& type, const std::string& path) {
  SerialConfig result;
  result.type = type;
  result.path = path;
  return result;
}

DiskConfig disk(const std::string& path) {
  DiskConfig result;
  std::get<FileDiskBackend>(result.backend).path = path;
  return result;
}

} // namespace

TEST_CASE("the same description gives the same command line") {
  VmConfig config;
  config.disks = {disk("/a"), disk("/b")};
  config.networks.resize(3);
  CHECK(build_command_line(config, x86(), {}) == build_command_line(config, x86(), {}));
}

TEST_CASE("the CPU model defaults to host under KVM and to max elsewhere") {
  VmConfig config;
  CommandLineContext context;
  context.accel = "kvm";
  CHECK(value_of(build_command_line(config, x86(), context), "-cpu") == "host");
  CHECK(value_of(build_command_line(config, x86(), context), "-machine") == "q35,accel=kvm");
  context.accel = "tcg";
  CHECK(value_of(build_command_line(config, x86(), context), "-cpu") == "max");
  config.cpu.model = "qemu64";
  config.cpu.features = {"+ssse3"};
  CHECK(value_of(build_command_line(config, x86(), context), "-cpu") == "qemu64,+ssse3");
}

TEST_CASE("the machine type follows the architecture, and before that the name of the binary") {
  VmConfig config;
  QemuInfo qemu = x86();
  const auto machine = [&] { return value_of(build_command_line(config, qemu, {}), "-machine").value(); };
  qemu.path = "/opt/qemu-system-aarch64";
  CHECK(machine() == "virt,accel=tcg");
  qemu.path = "/opt/qemu-system-s390x";
  CHECK(machine() == "accel=tcg");
  qemu.path = "/opt/wrapper";
  config.arch = "riscv64";
  CHECK(machine() == "virt,accel=tcg");
  config.arch = "amd64";
  CHECK(machine() == "q35,accel=tcg");
  config.machine.type = "pc,usb=on";
  CHECK(machine() == "pc,,usb=on,accel=tcg");
}

TEST_CASE("the public monitor is made from a descriptor, or from a path") {
  CommandLineContext context;
  CHECK_FALSE(contains(build_command_line({}, x86(), context), "-mon"));
  context.monitor_path = "/run/a,b.sock";
  CHECK(contains(build_command_line({}, x86(), context), "socket,id=qmp,path=/run/a,,b.sock,server=on,wait=off"));
  context.monitor_fd = 7;
  context.control_fd = 8;
  const auto argv = build_command_line({}, x86(), context);
  CHECK(contains(argv, "socket,id=qmp,fd=7,server=on,wait=off"));
  CHECK(contains(argv, "socket,id=qemuctl-control,fd=8"));
  CHECK(contains(argv, "chardev=qmp,mode=control"));
  CHECK(contains(argv, "chardev=qemuctl-control,mode=control"));
}

TEST_CASE("a serial socket without a descriptor is made from its path") {
  VmConfig config;
  config.name = "demo";
  config.socket_dir = "/run/v,ms";
  config.serials.resize(2);
  config.serials[1].path = "/x";
  const auto argv = build_command_line(config, x86(), {});
  CHECK(contains(argv, "socket,id=serial0,path=/run/v,,ms/demo.serial0,server=on,wait=off"));
  CHECK(contains(argv, "socket,id=serial1,path=/x,server=on,wait=off"));
  CHECK_THAT(refusal([](VmConfig& c) { c.name.clear(), c.serials.resize(1); }),
             ContainsSubstring("serials[0].path: is needed"));
}

TEST_CASE("a VM can be started with its CPUs stopped") {
  CommandLineContext context;
  CHECK_FALSE(contains(build_command_line({}, x86(), context), "-S"));
  context.paused = true;
  CHECK(contains(build_command_line({}, x86(), context), "-S"));
}

TEST_CASE("extra arguments come last and unchanged") {
  VmConfig config;
  config.extra_args = {"-x", "a,b", ""};
  const auto argv = build_command_line(config, x86(), {});
  REQUIRE(argv.size() > 3);
  CHECK(std::vector<std::string>(argv.end() - 3, argv.end()) == config.extra_args);
}

TEST_CASE("impossible values are rejected by their path in vm.json") {
  CHECK_THAT(refusal([](VmConfig& c) { c.name = "a,b"; }), ContainsSubstring("name: found \"a,b\""));
  CHECK_THAT(refusal([](VmConfig& c) { c.name = std::string(65, 'a'); }), ContainsSubstring("name: "));
  CHECK_THAT(refusal([](VmConfig& c) { c.arch = "z80"; }), ContainsSubstring("arch: "));
  CHECK_THAT(refusal([](VmConfig& c) { c.arch = "x86_64"; }), ContainsSubstring("'x86_64' is 'amd64'"));
  CHECK_THAT(refusal([](VmConfig& c) { c.machine.accel = "xen"; }), ContainsSubstring("machine.accel: found \"xen\""));
  CHECK_THAT(refusal([](VmConfig& c) { c.cpu.model = "qemu64,+x"; }), ContainsSubstring("cpu.model: "));
  CHECK_THAT(refusal([](VmConfig& c) {
               c.cpu.features = {"", "+a,+b"};
             }),
             ContainsSubstring("cpu.features[0]: ") && ContainsSubstring("cpu.features[1]: "));
  CHECK_THAT(refusal([](VmConfig& c) { c.cpu.cores = -1; }), ContainsSubstring("cpu.cores: found -1"));
  CHECK_THAT(refusal([](VmConfig& c) { c.cpu.cores = c.cpu.sockets = c.cpu.threads = 4096; }),
             ContainsSubstring("cpu: found 68719476736 CPUs"));
  CHECK_THAT(refusal([](VmConfig& c) { c.memory.size_mib = 0; }), ContainsSubstring("memory.size: found 0"));
  CHECK_THAT(refusal([](VmConfig& c) { c.boot.order = "cz"; }), ContainsSubstring("boot.order: found \"cz\""));
  CHECK_THAT(refusal([](VmConfig& c) { c.boot.order = "cc"; }), ContainsSubstring("boot.order: found \"cc\""));
  CHECK_THAT(refusal([](VmConfig& c) { c.boot.initrd = "/i"; }), ContainsSubstring("boot.initrd: has no effect"));
  CHECK_THAT(refusal([](VmConfig& c) { c.boot.append = "x"; }), ContainsSubstring("boot.append: has no effect"));
  CHECK_THAT(refusal([](VmConfig& c) { c.disks = {disk("")}; }),
             ContainsSubstring("disks[0].backend.path: found nothing"));
  CHECK_THAT(refusal([](VmConfig& c) { c.disks = {disk("/a\xFF")}; }), ContainsSubstring("disks[0].backend.path: "));
  CHECK_THAT(refusal([](VmConfig& c) { (c.disks = {disk("/a")})[0].interface = "scsy"; }),
             ContainsSubstring("disks[0].interface: found \"scsy\", expected \"virtio\", \"scsi\""));
  CHECK_THAT(refusal([](VmConfig& c) { (c.disks = {disk("/a")})[0].id = "0a"; }),
             ContainsSubstring("disks[0].id: found \"0a\""));
  CHECK_THAT(refusal([](VmConfig& c) { (c.disks = {disk("/a")})[0].serial = std::string(21, 's'); }),
             ContainsSubstring("disks[0].serial: found 21 bytes, expected at most 20"));
  CHECK_THAT(refusal([](VmConfig& c) {
               c.disks = {disk("/a"), disk("/b")};
               c.disks[0].boot_index = c.disks[1].boot_index = 3;
             }),
             ContainsSubstring("disks[1].bootIndex: found 3, which disks[0] has, too"));
  for (const char* mac :
       {"52:54:00:12:34", "52-54-00-12-34-56", "53:54:00:12:34:56", "00:00:00:00:00:00", "52:54:00:12:34:5g"})
    CHECK_THAT(refusal([&](VmConfig& c) { c.networks.resize(1), c.networks[0].mac_address = mac; }),
               ContainsSubstring("networks[0].macAddr: found \"" + std::string(mac)));
  for (const char* forward :
       {"", "22", "tcp::22", "tcp::22-22", "tcp::x-:22", "tcp::70000-:22", "tcp::22-:0", "sctp::1-:1", "tcp::1-:1 "})
    CHECK_THAT(refusal([&](VmConfig& c) {
                 c.networks.resize(1), std::get<UserNetBackend>(c.networks[0].backend).host_forwards = {forward};
               }),
               ContainsSubstring("networks[0].backend.hostfwd[0]: "));
  for (const char* listen :
       {"", "127.0.0.1", ":100", ":5901", "127.0.0.1:1", "127.0.0.1:65536", "::1:5901", "a b:5901", "x,y:5901"})
    CHECK_THAT(refusal([&](VmConfig& c) { c.display.vnc.emplace().listen = listen; }),
               ContainsSubstring("display.vnc.listen: found \"" + std::string(listen)));
  CHECK_THAT(refusal([](VmConfig& c) { c.display.type = "gtkk"; }), ContainsSubstring("display.type: found \"gtkk\""));
  CHECK_THAT(refusal([](VmConfig& c) { c.serials.resize(1), c.serials[0].type = "sockt"; }),
             ContainsSubstring("did you mean \"socket\"?"));
  CHECK_THAT(refusal([](VmConfig& c) { c.serials = {serial("file", "")}; }),
             ContainsSubstring("serials[0].path: found nothing"));
  CHECK_THAT(refusal([](VmConfig& c) { c.serials = {serial("pty", "/x")}; }),
             ContainsSubstring("serials[0].path: has no effect"));
  CHECK_THAT(refusal([](VmConfig& c) {
               c.serials = {serial("socket", "/x"), serial("file", "/x")};
             }),
             ContainsSubstring("serials[1].path: found \"/x\", which serials[0].path has, too"));
  CHECK_THAT(refusal([](VmConfig& c) { c.serials.resize(5); }),
             ContainsSubstring("serials: found 5 serial ports of the machine, expected at most 4"));
  CHECK_THAT(refusal([](VmConfig& c) { c.usb_devices.resize(1); }),
             ContainsSubstring("usbDevices[0].type: found nothing"));
  CHECK_THAT(refusal([](VmConfig& c) {
               c.usb_devices.assign(16, UsbDeviceConfig{"usb-tablet", ""});
             }),
             ContainsSubstring("usbDevices: found 16 USB devices, expected at most 15"));
  CHECK_THAT(refusal([](VmConfig& c) { c.extra_args = {std::string("a\0b", 3)}; }),
             ContainsSubstring("extraArgs[0]: "));
  for (const char* option : {"-daemonize", "--daemonize"})
    CHECK_THAT(refusal([&](VmConfig& c) {
                 c.extra_args = {"-S", option};
               }),
               ContainsSubstring("extraArgs[1]: \"" + std::string(option) + "\" cannot be used"));
}

TEST_CASE("two devices cannot have the same id") {
  CHECK_THAT(refusal([](VmConfig& c) {
               c.disks = {disk("/a")};
               c.networks.resize(1);
               c.disks[0].id = c.networks[0].id = "x";
             }),
             ContainsSubstring("networks[0].id: found \"x\", the id of disks[0]"));
  CHECK_THAT(refusal([](VmConfig& c) {
               (c.disks = {disk("/a")})[0].id = "usb";
               c.usb_devices = {{"usb-tablet", ""}};
             }),
             ContainsSubstring("disks[0].id: found \"usb\", the id of the USB controller"));
}

TEST_CASE("all errors are reported at once") {
  const std::string detail = refusal([](VmConfig& c) { c.name = "a b", c.memory.size_mib = 0, c.boot.order = "z"; });
  CHECK_THAT(detail, ContainsSubstring("3 problems") && ContainsSubstring("name: ") &&
                         ContainsSubstring("memory.size: ") && ContainsSubstring("boot.order: "));
}

TEST_CASE("a device that this QEMU does not have is rejected, and the nearest name is suggested") {
  QemuInfo qemu = x86();
  qemu.devices = {"VGA", "e1000", "isa-serial", "qemu-xhci", "virtio-blk-pci", "virtio-net-pci"};
  CHECK(refusal([](VmConfig& c) { c.networks.resize(1); }, qemu) == "not refused");
  const std::string detail = refusal(
      [](VmConfig& c) {
        c.networks.resize(1), c.networks[0].model = "virtio-net-pcii";
        c.display.video.type = "qxl";
      },
      qemu, errc::not_supported);
  CHECK_THAT(detail,
             ContainsSubstring("networks[0].model: this QEMU (/usr/bin/qemu-system-x86_64, version 7.2.22) has no "
                               "device \"virtio-net-pcii\"; did you mean \"virtio-net-pci\"?"));
  CHECK_THAT(detail, ContainsSubstring("display.video.type: ") && ContainsSubstring("\"qxl-vga\""));
}

TEST_CASE("a machine or CPU model that this QEMU does not have is rejected, and the nearest name is suggested") {
  QemuInfo qemu = x86();
  qemu.machines = {"pc", "pc-q35-7.2", "q35"};
  qemu.cpu_models = {"Skylake-Client", "max", "qemu64"};
  const auto machine = [](const char* type) { return [=](VmConfig& c) { c.machine.type = type; }; };
  CHECK(refusal(machine("pc-q35-7.2"), qemu) == "not refused");
  CHECK(refusal(machine(""), qemu) == "not refused");
  CHECK_THAT(refusal(machine("q36"), qemu, errc::not_supported),
             ContainsSubstring("machine.type: ") && ContainsSubstring("no machine \"q36\"; did you mean \"q35\"?"));
  CHECK_THAT(refusal(machine("pc-q35-10.0"), qemu, errc::not_supported),
             ContainsSubstring("which came with QEMU 10.0"));
  CHECK_THAT(refusal([](VmConfig& c) { c.cpu.model = "Skylake"; }, qemu, errc::not_supported),
             ContainsSubstring("cpu.model: ") && ContainsSubstring("did you mean \"Skylake-Client\"?"));
}

TEST_CASE("a feature of a newer QEMU is rejected, and the version that added it is named") {
  QemuInfo qemu = x86();
  qemu.devices = {"VGA", "e1000", "isa-serial"};
  qemu.features = {"display/none", "netdev/stream", "netdev/user"};
  const auto audio = [](const char* backend, const char* device) {
    return [=](VmConfig& c) {
      c.audio.emplace().backend = backend;
      c.audio->device = device;
    };
  };
  CHECK_THAT(refusal(audio("none", "virtio-sound-pci"), qemu, errc::not_supported),
             ContainsSubstring("audio.device: ") && ContainsSubstring("which came with QEMU 8.2"));
  CHECK_THAT(refusal(audio("pipewire", ""), qemu, errc::not_supported),
             ContainsSubstring("audio.backend: ") && ContainsSubstring("which came with QEMU 8.1"));
  CHECK_THAT(refusal([](VmConfig& c) { c.display.type = "gtk"; }, qemu, errc::not_supported),
             ContainsSubstring("display.type: ") && ContainsSubstring("display \"gtk\""));
  CHECK(refusal(audio("pa", ""), qemu) == "not refused");
  qemu.features = {"audiodev/none", "audiodev/pa"}; // a newer one lists its own
  CHECK_THAT(refusal(audio("alsa", ""), qemu, errc::not_supported), ContainsSubstring("audio backend \"alsa\""));
}

TEST_CASE("an accelerator that this QEMU does not have is rejected") {
  QemuInfo qemu = x86();
  qemu.accelerators = {"qtest", "tcg"};
  CommandLineContext context;
  context.accel = "kvm";
  CHECK_THAT(refusal([](VmConfig&) {}, qemu, errc::not_supported, context),
             ContainsSubstring("machine.accel: ") && ContainsSubstring("built without kvm"));
}

TEST_CASE("VNC addresses with a TCP port become display numbers") {
  const auto vnc = [](const std::string& listen) {
    VmConfig config;
    config.display.type = "vnc";
    config.display.vnc.emplace().listen = listen;
    return value_of(build_command_line(config, x86(), {}), "-vnc").value();
  };
  CHECK(vnc("none") == "none");
  CHECK(vnc(":0") == ":0");
  CHECK(vnc(":99") == ":99");
  CHECK(vnc("127.0.0.1:5900") == "127.0.0.1:0");
  CHECK(vnc("[::1]:5901") == "[::1]:1");
  CHECK(vnc("localhost:65535") == "localhost:59635");
}

TEST_CASE("commas in options are doubled") {
  CHECK(escape_option("") == "");
  CHECK(escape_option("a") == "a");
  CHECK(escape_option("a,b,,c") == "a,,b,,,,c");
}

TEST_CASE("words are quoted for a shell only where necessary") {
  CHECK(quote_for_shell({}) == "");
  CHECK(quote_for_shell({"qemu", "-m", "512M", "-mon", "chardev=qmp,mode=control"}) ==
        "qemu -m 512M -mon chardev=qmp,mode=control");
  CHECK(quote_for_shell({"a b", "", "it's", "$HOME", "~"}) == R"('a b' '' 'it'\''s' '$HOME' '~')");
  CHECK(quote_for_shell({"A=b", "c"}) == "'A=b' c");
}

TEST_CASE("a shell reads quoted words back unchanged") {
  const std::vector<std::string> words{"printf",
                                       "%s\\n",
                                       "a b",
                                       "",
                                       "it's",
                                       "\"x\"",
                                       "$HOME `id` $(id)",
                                       "~",
                                       "*?[a]",
                                       "a\\b",
                                       "#c",
                                       "!d",
                                       "{e,f}",
                                       "g;h|i&j<k>l",
                                       "{\"driver\":\"file\",\"filename\":\"ü\"}"};
  std::string expected;
  for (std::size_t i = 2; i < words.size(); ++i) expected += words[i] + "\n";
  FILE* shell = ::popen(quote_for_shell(words).c_str(), "r");
  REQUIRE(shell);
  std::string output;
  std::array<char, 256> buffer;
  while (const std::size_t size = std::fread(buffer.data(), 1, buffer.size(), shell))
    output.append(buffer.data(), size);
  CHECK(::pclose(shell) == 0);
  CHECK(output == expected);
}
