// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden.hpp"
#include "temp_dir.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/vm_config_json.hpp>

#include <sys/stat.h>

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

using namespace qemuctl;
using Catch::Matchers::ContainsSubstring;

namespace {

/// The lines of the error that `text` causes, without the indentation; empty when it causes none.
std::vector<std::string> problems(const std::string& text) {
  std::vector<std::string> lines;
  try {
    parse_vm_config(text);
  } catch (const Error& error) {
    CHECK(error.code() == errc::invalid_argument);
    CHECK_THAT(error.what(), ContainsSubstring("vm.json"));
    std::istringstream detail(error.diagnostics().detail);
    for (std::string line; std::getline(detail, line);) {
      line.erase(0, line.find_first_not_of(' '));
      if (!line.ends_with(" problems:")) lines.push_back(line);
    }
  }
  return lines;
}

using Lines = std::vector<std::string>;

} // namespace

TEST_CASE("an empty object describes a VM with all defaults") {
  CHECK(parse_vm_config("{}") == VmConfig());
}

TEST_CASE("general keys are stored in their members") {
  VmConfig expected;
  expected.name = "all";
  expected.arch = "amd64";
  expected.qemu_path = "/opt/qemu";
  expected.socket_dir = "/run/vms";
  expected.no_defaults = false;
  expected.extra_args = {"-device", "virtio-rng-pci"};
  CHECK(parse_vm_config(R"({"name": "all", "arch": "amd64", "qemuPath": "/opt/qemu", "socketDir": "/run/vms",
                            "noDefaults": false, "extraArgs": ["-device", "virtio-rng-pci"]})") == expected);
}

TEST_CASE("machine keys are stored in their members") {
  VmConfig expected;
  expected.machine = {"q35", "tcg", false, true, "code", "vars"};
  expected.cpu = {"qemu64", {"+ssse3", "-svm"}, 1, 2, 3};
  expected.memory = {2048, MemoryBackendConfig{"file", "/huge", true, true}, true};
  expected.boot = {"dc", true, true, "/boot/vmlinuz", "/boot/initrd", "quiet"};
  expected.rtc = {"localtime", "vm", "slew"};
  expected.tpm = TpmConfig{"1.2", "tpm-tis", "/tpm"};
  CHECK(parse_vm_config(R"({
    "machine": {"type": "q35", "accel": "tcg", "usb": false, "dumpGuestCore": true, "pflash0": "code", "pflash1": "vars"},
    "cpu": {"model": "qemu64", "features": ["+ssse3", "-svm"], "sockets": 1, "cores": 2, "threads": 3},
    "memory": {"size": 2048, "backend": {"type": "file", "path": "/huge", "share": true, "prealloc": true},
               "memLock": "on"},
    "boot": {"order": "dc", "menu": true, "strict": true, "kernel": "/boot/vmlinuz", "initrd": "/boot/initrd",
             "append": "quiet"},
    "rtc": {"base": "localtime", "clock": "vm", "driftFix": "slew"},
    "tpm": {"version": "1.2", "model": "tpm-tis", "stateDir": "/tpm"}
  })") == expected);
  VmConfig efi;
  efi.efi = EfiConfig{"/code", "/vars", "/template", true};
  CHECK(parse_vm_config(R"({"efi": {"code": "/code", "vars": "/vars", "varsTemplate": "/template",
                                    "secureBoot": true}})") == efi);
}

TEST_CASE("disk keys are stored in their members") {
  VmConfig expected;
  expected.secrets = {{"key", "eA==", "", "base64"}};
  DiskConfig& system = expected.disks.emplace_back();
  system = {"system", FileDiskBackend{"/disk.img", "qcow2", true}, "nvme", "none", "unmap", true, "SN1", 0, {}};
  system.throttle = ThrottleConfig{"group", 1, 0, 0, 0, 2, 3, 4, 0, 5};
  expected.disks.emplace_back().backend = NbdDiskBackend{"", "host", 10810, "export", true, "creds", ""};
  expected.disks.emplace_back().backend =
      RbdDiskBackend{"pool", "image", "snap", "/ceph.conf", "user", "key", {"cephx"}};
  expected.disks.emplace_back().backend = IscsiDiskBackend{"host:3260", "iqn.x", 3, "user", "key", "iqn.me"};
  expected.cdroms = {{"cd", "/a.iso", "scsi", 1}};
  expected.shares = {{"9p", "/folder", "tag", true, "none"}};
  CHECK(parse_vm_config(R"({
    "secrets": [{"id": "key", "data": "eA==", "format": "base64"}],
    "disks": [{"id": "system", "backend": {"type": "file", "path": "/disk.img", "format": "qcow2", "autoReadOnly": true},
               "interface": "nvme", "cache": "none", "discard": "unmap", "readOnly": true, "serial": "SN1", "bootIndex": 0,
               "throttle": {"group": "group", "bps": 1, "iopsRead": 2, "iopsWrite": 3, "bpsMax": 4, "burstLength": 5}},
              {"backend": {"type": "nbd", "host": "host", "port": 10810, "export": "export", "tls": true,
                           "tlsCreds": "creds"}},
              {"backend": {"type": "rbd", "pool": "pool", "image": "image", "snapshot": "snap", "conf": "/ceph.conf",
                           "user": "user", "keySecret": "key", "authClientRequired": ["cephx"]}},
              {"backend": {"type": "iscsi", "portal": "host:3260", "target": "iqn.x", "lun": 3, "user": "user",
                           "passwordSecret": "key", "initiatorName": "iqn.me"}}],
    "cdroms": [{"id": "cd", "path": "/a.iso", "interface": "scsi", "bootIndex": 1}],
    "shares": [{"type": "9p", "path": "/folder", "tag": "tag", "readOnly": true, "securityModel": "none"}]
  })") == expected);
}

TEST_CASE("network keys are stored in their members") {
  VmConfig expected;
  NetworkConfig& lan = expected.networks.emplace_back();
  lan = {"lan", UserNetBackend{{"tcp::2222-:22"}, "10.1.0.0/16", "10.1.0.1", "10.1.0.2", "10.1.0.9", true}, "e1000",
         "52:54:00:12:34:56", 7};
  expected.networks.emplace_back().backend = TapNetBackend{"tap0", "", "/up", "no", true, 4, {}};
  expected.networks.emplace_back().backend = TapNetBackend{"", "", "", "", false, 1, {5, 6}};
  expected.networks.emplace_back().backend = SocketNetBackend{"", "", 0, "230.0.0.1:1234", false, 0};
  expected.networks.emplace_back().backend = StreamNetBackend{"", "host", 5000, false, 10};
  expected.networks.emplace_back().backend = VdeNetBackend{"/vde", 3, "users", "0770"};
  expected.networks.emplace_back().backend = BridgeNetBackend{"br1", "/helper"};
  expected.vsock = VsockConfig{42};
  CHECK(parse_vm_config(R"({
    "networks": [{"id": "lan", "backend": {"type": "user", "hostfwd": ["tcp::2222-:22"], "net": "10.1.0.0/16",
                  "host": "10.1.0.1", "dns": "10.1.0.2", "dhcpStart": "10.1.0.9", "restrict": true},
                  "model": "e1000", "macAddr": "52:54:00:12:34:56", "bootIndex": 7},
                 {"backend": {"type": "tap", "ifname": "tap0", "script": "/up", "downScript": "no", "vhost": true,
                              "queues": 4}},
                 {"backend": {"type": "tap", "fds": [5, 6]}},
                 {"backend": {"type": "socket", "multicast": "230.0.0.1:1234"}},
                 {"backend": {"type": "stream", "host": "host", "port": 5000, "reconnect": 10}},
                 {"backend": {"type": "vde", "sock": "/vde", "port": 3, "group": "users", "mode": "0770"}},
                 {"backend": {"type": "bridge", "bridge": "br1", "helper": "/helper"}}],
    "vsock": {"guestCid": 42}
  })") == expected);
}

TEST_CASE("display and sound keys are stored in their members") {
  VmConfig expected;
  expected.secrets = {{"pw", "x", "", ""}};
  expected.display.type = "gtk";
  expected.display.vnc = VncConfig{":1", true, "", "pw", true, "audio0", 5901};
  expected.display.spice = SpiceConfig{true, "/s", "", 0, "", "pw", false, "glz", "auto", "never", false, true, true};
  expected.display.video = {"qxl", 64, 128 << 20, 64 << 20, 2};
  expected.audio = AudioConfig{"pa", "ich9-intel-hda", "hda-micro"};
  CHECK(parse_vm_config(R"({
    "secrets": [{"id": "pw", "data": "x"}],
    "display": {"type": "gtk",
      "vnc": {"listen": ":1", "passwordSecret": "pw", "lossy": true, "audioDev": "audio0", "websocket": 5901},
      "spice": {"unix": true, "path": "/s", "passwordSecret": "pw", "imageCompression": "glz",
                "jpegWanCompression": "auto", "zlibGlzWanCompression": "never", "playbackCompression": false,
                "seamlessMigration": true, "disableCopyPaste": true},
      "video": {"type": "qxl", "vgaMem": 64, "ram": "128M", "vram": 67108864, "maxOutputs": 2}},
    "audio": {"backend": "pa", "device": "ich9-intel-hda", "codec": "hda-micro"}
  })") == expected);
}

TEST_CASE("the keys of other devices are stored in their members") {
  VmConfig expected;
  expected.display.type = "spice";
  expected.serials = {{"file", "/serial.log", true, false, "pci-serial"}, {"socket", "/s", false, false, ""}};
  expected.chardevs = {{"c1", "socket", "", "host", 99, false, false, 5, ""},
                       {"c2", "spicevmc", "", "", 0, false, false, 0, "usbredir"}};
  expected.virtio_serial = VirtioSerialConfig{5, {{"c1", "org.example", "virtconsole"}}};
  expected.guest_agent = "/qga.sock";
  expected.spice_agent = expected.usb_tablet = expected.balloon = true;
  expected.usb = UsbControllerConfig{"usb-ehci"};
  expected.usb_devices = {{"usb-redir", "c2"}};
  expected.host_devices = {UsbHostDevice{0x46d, 0xc52b, 0, 0, ""}, UsbHostDevice{-1, -1, 3, 0, "1.2"},
                           PciHostDevice{"0000:01:00.0", "/rom"}};
  expected.hotplug = HotplugConfig{6, true, "/rules.json", {}};
  expected.secrets = {{"s1", "", "/secret", "base64"}};
  CHECK(parse_vm_config(R"({
    "display": "spice",
    "serials": [{"type": "file", "path": "/serial.log", "device": "pci-serial"}, {"path": "/s", "server": false}],
    "chardevs": [{"id": "c1", "backend": "socket", "host": "host", "port": 99, "reconnect": 5},
                 {"id": "c2", "backend": "spicevmc", "name": "usbredir"}],
    "virtioSerial": {"maxPorts": 5, "ports": [{"chardev": "c1", "name": "org.example", "type": "virtconsole"}]},
    "guestAgent": "/qga.sock", "spiceAgent": true, "usbTablet": true, "balloon": true,
    "usb": {"type": "usb-ehci"},
    "usbDevices": [{"type": "usb-redir", "chardev": "c2"}],
    "hostDevices": [{"type": "usb", "vendorId": "046d", "productId": "0xC52B"}, {"type": "usb", "bus": 3, "port": "1.2"},
                    {"type": "pci", "address": "0000:01:00.0", "romFile": "/rom"}],
    "hotplug": {"pciePorts": 6, "atStart": true, "rulesFile": "/rules.json"},
    "secrets": [{"id": "s1", "file": "/secret", "format": "base64"}]
  })") == expected);
}

TEST_CASE("short forms are equivalent to the long ones") {
  CHECK(parse_vm_config(R"({"machine": "pc"})") == parse_vm_config(R"({"machine": {"type": "pc"}})"));
  CHECK(parse_vm_config(R"({"cpu": "qemu64"})") == parse_vm_config(R"({"cpu": {"model": "qemu64"}})"));
  CHECK(parse_vm_config(R"({"cpus": 4})") == parse_vm_config(R"({"cpu": {"cores": 4}})"));
  CHECK(parse_vm_config(R"({"cpus": 4, "cpu": "max"})") == parse_vm_config(R"({"cpu": {"model": "max", "cores": 4}})"));
  CHECK(parse_vm_config(R"({"memory": 2048})") == parse_vm_config(R"({"memory": {"size": 2048}})"));
  CHECK(parse_vm_config(R"({"kvm": false})") == parse_vm_config(R"({"machine": {"accel": "tcg"}})"));
  CHECK(parse_vm_config(R"({"kvm": true})") == parse_vm_config(R"({"machine": {"accel": "auto"}})"));
  CHECK(parse_vm_config(R"({"kvm": false, "machine": "pc"})") ==
        parse_vm_config(R"({"machine": {"type": "pc", "accel": "tcg"}})"));
  CHECK(parse_vm_config(R"({"display": "vnc"})") == parse_vm_config(R"({"display": {"type": "vnc"}})"));
  CHECK(parse_vm_config(R"({"display": {"video": "vga"}})") ==
        parse_vm_config(R"({"display": {"video": {"type": "vga"}}})"));
  CHECK(parse_vm_config(R"({"vnc": ":1"})") == parse_vm_config(R"({"display": {"vnc": {"listen": ":1"}}})"));
  CHECK(parse_vm_config(R"({"spice": {"unixSocket": true}})") ==
        parse_vm_config(R"({"display": {"spice": {"unix": true}}})"));
  CHECK(parse_vm_config(R"({"drives": [{"file": "/a", "format": "raw", "interface": "scsi", "cache": "none"}]})") ==
        parse_vm_config(R"({"disks": [{"backend": {"type": "file", "path": "/a", "format": "raw"}, "interface": "scsi",
                                       "cache": "none"}]})"));
  CHECK(parse_vm_config(R"({"networkDevices": [{"type": "tap", "bridge": "br0", "model": "e1000"},
                                               {"type": "socket", "socketPath": "/s", "server": true}]})") ==
        parse_vm_config(R"({"networks": [{"backend": {"type": "tap", "bridge": "br0"}, "model": "e1000"},
                                         {"backend": {"type": "socket", "path": "/s", "server": true}}]})"));
  CHECK(parse_vm_config(R"({"cdroms": ["/a.iso"]})") == parse_vm_config(R"({"cdroms": [{"path": "/a.iso"}]})"));
  CHECK(parse_vm_config(R"({"efi": true, "tpm": true, "hotplug": true})") ==
        parse_vm_config(R"({"efi": {}, "tpm": {}, "hotplug": {}})"));
  CHECK(parse_vm_config(R"({"efi": false, "tpm": false, "hotplug": false})") == parse_vm_config("{}"));
  CHECK(parse_vm_config(R"({"balloon": true})") == parse_vm_config(R"({"balloon": {"enabled": true}})"));
  CHECK(parse_vm_config(R"({"memory": {"backend": "memfd"}})") ==
        parse_vm_config(R"({"memory": {"backend": {"type": "memfd"}}})"));
  CHECK(parse_vm_config(R"({"usb": "nec-usb-xhci"})") == parse_vm_config(R"({"usb": {"type": "nec-usb-xhci"}})"));
  CHECK(parse_vm_config(R"({"usbDevices": ["usb-kbd"]})") ==
        parse_vm_config(R"({"usbDevices": [{"type": "usb-kbd"}]})"));
}

TEST_CASE("problems in short forms are reported by the names used in the file") {
  CHECK(problems(R"({"drives": [{"file": ""}]})") ==
        Lines{"drives[0].file: found nothing, expected the path of a disk image"});
  CHECK(problems(R"({"drives": [{"file": "/a", "serial": "123456789012345678901"}]})") ==
        Lines{"drives[0].serial: found 21 bytes, expected at most 20"});
  CHECK(problems(R"({"networkDevices": [{"type": "tap", "bridge": "a/b"}]})")
            .at(0)
            .starts_with("networkDevices[0].bridge: "));
  CHECK(problems(R"({"vnc": {"password": "123456789"}})").at(0).starts_with("vnc.password: found 9 bytes"));
  CHECK(problems(R"({"spice": {"disableTicketing": true, "password": "x"}})")
            .at(0)
            .starts_with("spice.disableTicketing: "));
}

TEST_CASE("the order of the keys does not matter") {
  CHECK(parse_vm_config(R"({"kvm": false, "machine": {"type": "pc"}, "cpus": 2, "cpu": {"model": "max"}})") ==
        parse_vm_config(R"({"cpu": {"model": "max"}, "cpus": 2, "machine": {"type": "pc"}, "kvm": false})"));
}

TEST_CASE("two ways of setting the same value cannot be used together") {
  CHECK(problems(R"({"kvm": true, "machine": {"accel": "tcg"}})") ==
        Lines{"kvm: says the same as machine.accel; leave one of them out"});
  CHECK(problems(R"({"cpus": 2, "cpu": {"cores": 2, "threads": 1}})") ==
        Lines{"cpus: says the same as cpu.cores; leave one of them out"});
}

TEST_CASE("sizes have units") {
  const auto size = [](const std::string& json) {
    return parse_vm_config("{\"memory\": " + json + "}").memory.size_mib;
  };
  CHECK(size("1") == 1);
  CHECK(size("\"1024K\"") == 1);
  CHECK(size("\"512M\"") == 512);
  CHECK(size("\"2G\"") == 2048);
  CHECK(size("\"2 GiB\"") == 2048);
  CHECK(size("\"2GB\"") == 2048);
  CHECK(size("\"2g\"") == 2048);
  CHECK(size("\"1T\"") == 1048576);
  for (const std::string bad :
       {"0", "-1", "1.5", "\"512\"", "\"\"", "\"G\"", "\"1.5G\"", "\"100K\"", "\"0M\"", "\"2GG\"", "\"-1G\"",
        "\"99999999999999999999G\"", "\"18446744073709551615T\"", "18446744073709551615", "true", "null"}) {
    INFO(bad);
    REQUIRE(problems("{\"memory\": " + bad + "}").size() == 1);
    CHECK_THAT(problems("{\"memory\": " + bad + "}")[0],
               ContainsSubstring("memory: found ") && ContainsSubstring("\"2G\""));
  }
}

TEST_CASE("relative paths are relative to the folder of the file") {
  const VmConfig config = parse_vm_config(R"({
    "qemuPath": "bin/qemu", "socketDir": "run",
    "boot": {"kernel": "../vmlinuz", "initrd": "/boot/initrd"},
    "disks": [{"backend": {"type": "file", "path": "disk.raw"}}],
    "serials": [{"path": "serial"}]
  })",
                                          "vm.json", "/srv/vm");
  CHECK(config.qemu_path == "/srv/vm/bin/qemu");
  CHECK(config.socket_dir == "/srv/vm/run");
  CHECK(config.boot.kernel == "/srv/vm/../vmlinuz");
  CHECK(config.boot.initrd == "/boot/initrd");
  CHECK(std::get<FileDiskBackend>(config.disks[0].backend).path == "/srv/vm/disk.raw");
  CHECK(config.serials[0].path == "/srv/vm/serial");
  CHECK(parse_vm_config(R"({"boot": {"kernel": "vmlinuz"}})").boot.kernel == "vmlinuz");
}

TEST_CASE("a program name without a folder is not a path") {
  CHECK(parse_vm_config(R"({"qemuPath": "qemu-system-arm"})", "vm.json", "/srv").qemu_path == "qemu-system-arm");
}

TEST_CASE("an unknown key is reported with the nearest known one") {
  CHECK(problems(R"({"nmae": "x"})") == Lines{"nmae: unknown key; did you mean \"name\"?"});
  CHECK(problems(R"({"disks": [{"backend": {"type": "file", "path": "a"}, "readonly": true}]})") ==
        Lines{"disks[0].readonly: unknown key; did you mean \"readOnly\"?"});
  CHECK(problems(R"({"memory": {"zzzzzzz": 1}})") ==
        Lines{"memory.zzzzzzz: unknown key; known here: \"size\", \"backend\" and \"memLock\""});
}

TEST_CASE("an unknown key cannot forge lines of the message") {
  const Lines lines = problems("{\"a\\nname: is fine\\u001b[2J\": 1}");
  REQUIRE(lines.size() == 1);
  CHECK_THAT(lines[0], ContainsSubstring("\"a\\nname: is fine\\u001b[2J\": unknown key"));
}

TEST_CASE("a misspelt required key is reported once") {
  CHECK(problems(R"({"disks": [{"bakend": {}}]})") == Lines{"disks[0].bakend: unknown key; did you mean \"backend\"?"});
}

TEST_CASE("values of the wrong kind are reported with what was found and what was expected") {
  CHECK(problems(R"({"name": 5})") == Lines{"name: found 5, expected a string"});
  CHECK(problems(R"({"name": null})") == Lines{"name: found null, expected a string"});
  CHECK(problems(R"({"machine": []})") == Lines{"machine: found a list, expected a machine type or an object"});
  CHECK(problems(R"({"machine": {"accel": "kvn"}})") ==
        Lines{"machine.accel: found \"kvn\", expected \"auto\", \"kvm\" or \"tcg\"; did you mean \"kvm\"?"});
  CHECK(problems(R"({"cpus": "4"})") == Lines{"cpus: found \"4\", expected a whole number from 1 to 4096"});
  CHECK(problems(R"({"cpus": 4.5})") == Lines{"cpus: found 4.5, expected a whole number from 1 to 4096"});
  CHECK(problems(R"({"cpus": 0})") == Lines{"cpus: found 0, expected a whole number from 1 to 4096"});
  CHECK(problems(R"({"cpus": 9999999999999999999})") ==
        Lines{"cpus: found 9999999999999999999, expected a whole number from 1 to 4096"});
  CHECK(problems(R"({"kvm": 1})") == Lines{"kvm: found 1, expected true or false"});
  CHECK(problems(R"({"disks": {}})") == Lines{"disks: found an object, expected a list"});
  CHECK(problems(R"({"disks": [7]})") == Lines{"disks[0]: found 7, expected an object"});
  CHECK(problems(R"({"disks": [{}]})") == Lines{"disks[0].backend: is missing, expected an object"});
  CHECK(problems(R"({"disks": [{"backend": {"path": "a"}}]})") ==
        Lines{"disks[0].backend.type: is missing, expected \"file\", \"nbd\", \"rbd\" or \"iscsi\""});
  CHECK(problems(R"({"disks": [{"backend": {"type": "qwertz"}}]})") ==
        Lines{"disks[0].backend.type: found \"qwertz\", expected \"file\", \"nbd\", \"rbd\" or \"iscsi\""});
  CHECK(problems(R"({"disks": [{"backend": {"type": "file"}}]})") ==
        Lines{"disks[0].backend.path: is missing, expected a path"});
  CHECK(problems(R"({"extraArgs": ["-S", 1]})") == Lines{"extraArgs[1]: found 1, expected a string"});
  CHECK(problems(R"([])") == Lines{"found a list, expected an object"});
}

TEST_CASE("a NUL character cannot be passed to QEMU") {
  CHECK(problems(R"({"boot": {"kernel": "a\u0000b"}})") ==
        Lines{"boot.kernel: found \"a\\u0000b\", expected a path without NUL characters"});
}

TEST_CASE("all problems of a file are reported at once") {
  const Lines lines = problems(R"({
    "nmae": "x",
    "memory": 0,
    "boot": {"initrd": "initrd"},
    "disks": [{"backend": {"type": "file", "path": "a"}, "bootIndex": -1}],
    "networks": [{"id": "lan"}, {"id": "lan"}]
  })");
  REQUIRE(lines.size() == 5);
  CHECK_THAT(lines[0], ContainsSubstring("nmae: "));
  CHECK_THAT(lines[1], ContainsSubstring("memory: "));
  CHECK_THAT(lines[2], ContainsSubstring("disks[0].bootIndex: "));
  CHECK(lines[3] == "boot.initrd: has no effect without boot.kernel");
  CHECK_THAT(lines[4], ContainsSubstring("networks[1].id: found \"lan\", the id of networks[0]"));
}

TEST_CASE("no follow-up errors are reported for a part that could not be read") {
  CHECK(problems(R"({"boot": {"kernel": 5, "initrd": "initrd"}})") == Lines{"boot.kernel: found 5, expected a path"});
}

TEST_CASE("syntax errors have a line and a column") {
  CHECK_THROWS_WITH(parse_vm_config("{\"name\": \"a\",\n  \"memory\": ,}", "my.json"),
                    ContainsSubstring("my.json:2:13: "));
  CHECK_THROWS_WITH(parse_vm_config(""), ContainsSubstring("vm.json:1:1: "));
  CHECK_THROWS_WITH(parse_vm_config("{} {}"), ContainsSubstring("vm.json:1:4: "));
}

TEST_CASE("a duplicate key is rejected") {
  CHECK_THROWS_WITH(parse_vm_config("{\"name\": \"a\",\n \"name\": \"b\"}"),
                    ContainsSubstring("vm.json:2:2: ") && ContainsSubstring("\"name\""));
}

TEST_CASE("a byte order mark is ignored") {
  CHECK(parse_vm_config("\xEF\xBB\xBF{\"name\": \"a\"}").name == "a");
}

TEST_CASE("paths in a file are relative to its folder") {
  test::TempDir dir;
  test::write_file(dir / "vm.json", R"({"name": "given", "boot": {"kernel": "vmlinuz"}})");
  const VmConfig config = load_vm_config(dir / "vm.json");
  CHECK(config.name == "given");
  CHECK(config.boot.kernel == (dir / "vmlinuz").string());
}

TEST_CASE("missing files are reported together with the other errors of a file") {
  test::TempDir dir;
  const auto load = [&](const std::string& text) {
    test::write_file(dir / "vm.json", text);
    load_vm_config(dir / "vm.json");
  };
  const std::string drives = R"("drives": [{"file": "none.qcow2"}], "boot": {"kernel": "none"})";
  CHECK_THROWS_WITH(load("{\"nmae\": \"x\", " + drives + "}"),
                    ContainsSubstring("3 problems") && ContainsSubstring("nmae: ") &&
                        ContainsSubstring("drives[0].file: " + (dir / "none.qcow2").string()) &&
                        ContainsSubstring("boot.kernel: " + (dir / "none").string()));
  CHECK_THROWS_WITH(load("{\"name\": \"a b\", " + drives + "}"), ContainsSubstring("3 problems"));
  CHECK_NOTHROW(load("{" + drives + "}")); // the launch checks them
}

TEST_CASE("a VM without a name is named after its file") {
  test::TempDir dir;
  const auto name = [&](const std::string& file) {
    test::write_file(dir / file, "{}");
    return load_vm_config(dir / file).name;
  };
  CHECK(name("demo-vm.json") == "demo-vm");
  CHECK(name("web.server_2.json") == "web.server_2");
  CHECK(name("my vm, no. 1.json") == "my-vm--no.-1");
  CHECK(name("--x.json") == "x");
  CHECK(name("\xC3\xBC.json").empty());
  CHECK(name(std::string(100, 'a') + ".json") == std::string(64, 'a'));
}

TEST_CASE("anything that cannot be read as a file is rejected with the reason") {
  test::TempDir dir;
  const auto refused = [](const std::filesystem::path& file, errc code, const std::string& reason) {
    try {
      load_vm_config(file);
      FAIL("nothing was thrown");
    } catch (const Error& error) {
      CHECK(error.code() == code);
      CHECK_THAT(error.what(), ContainsSubstring(file.string()) && ContainsSubstring(reason));
    }
  };
  refused(dir / "none.json", errc::not_found, "No such file");
  refused(dir.path(), errc::not_found, "folder");
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  refused(dir / "fifo", errc::not_found, "not a regular file");
  test::write_file(dir / "large.json", "{" + std::string(1 << 20, ' ') + "}");
  refused(dir / "large.json", errc::invalid_argument, "1 MiB");
}

TEST_CASE("a file of the maximum size is read") {
  test::TempDir dir;
  test::write_file(dir / "vm.json", "{" + std::string((1 << 20) - 2, ' ') + "}");
  CHECK(load_vm_config(dir / "vm.json").name == "vm");
}

TEST_CASE("the demo VM is described without errors") {
  const VmConfig config = load_vm_config(test::source_dir() / "examples/demo-vm.json");
  CHECK(config.name == "demo");
  CHECK(std::filesystem::path(config.boot.kernel).lexically_normal() ==
        test::source_dir() / "build/demo-guest/vmlinuz");
  CHECK(std::filesystem::path(config.boot.initrd).lexically_normal() ==
        test::source_dir() / "build/demo-guest/initrd.img");
}
