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

TEST_CASE("every key of vm.json arrives in its member") {
  VmConfig expected;
  expected.name = "all";
  expected.arch = "amd64";
  expected.qemu_path = "/opt/qemu";
  expected.socket_dir = "/run/vms";
  expected.machine = {"q35", "tcg"};
  expected.cpu = {"qemu64", {"+ssse3", "-svm"}, 1, 2, 3};
  expected.memory.size_mib = 2048;
  expected.boot = {"dc", true, true, "/boot/vmlinuz", "/boot/initrd", "quiet"};
  expected.disks.push_back({"system", {"/disk.img", "qcow2"}, "virtio", true, "SN1", 0});
  expected.networks.push_back({"lan", {{"tcp::2222-:22"}, true}, "e1000", "52:54:00:12:34:56"});
  expected.display = {"vnc", {":1", true}, "virtio-vga"};
  expected.serials.push_back({"file", "/serial.log"});
  expected.usb = UsbControllerConfig{"usb-ehci"};
  expected.usb_devices.push_back({"usb-tablet"});
  expected.no_defaults = false;
  expected.extra_args = {"-device", "virtio-rng-pci"};
  CHECK(parse_vm_config(R"({
    "name": "all", "arch": "amd64", "qemuPath": "/opt/qemu", "socketDir": "/run/vms",
    "machine": {"type": "q35", "accel": "tcg"},
    "cpu": {"model": "qemu64", "features": ["+ssse3", "-svm"], "sockets": 1, "cores": 2, "threads": 3},
    "memory": {"size": 2048},
    "boot": {"order": "dc", "menu": true, "strict": true, "kernel": "/boot/vmlinuz", "initrd": "/boot/initrd",
             "append": "quiet"},
    "disks": [{"id": "system", "backend": {"type": "file", "path": "/disk.img", "format": "qcow2"},
               "interface": "virtio", "readOnly": true, "serial": "SN1", "bootIndex": 0}],
    "networks": [{"id": "lan", "backend": {"type": "user", "hostfwd": ["tcp::2222-:22"], "restrict": true},
                  "model": "e1000", "macAddr": "52:54:00:12:34:56"}],
    "display": {"type": "vnc", "vnc": {"listen": ":1", "password": true}, "video": {"type": "virtio-vga"}},
    "serials": [{"type": "file", "path": "/serial.log"}],
    "usb": {"type": "usb-ehci"},
    "usbDevices": [{"type": "usb-tablet"}],
    "noDefaults": false,
    "extraArgs": ["-device", "virtio-rng-pci"]
  })") == expected);
}

TEST_CASE("short forms say the same as the long ones") {
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
  CHECK(parse_vm_config(R"({"usb": "nec-usb-xhci"})") == parse_vm_config(R"({"usb": {"type": "nec-usb-xhci"}})"));
  CHECK(parse_vm_config(R"({"usbDevices": ["usb-kbd"]})") ==
        parse_vm_config(R"({"usbDevices": [{"type": "usb-kbd"}]})"));
}

TEST_CASE("the order of the keys does not matter") {
  CHECK(parse_vm_config(R"({"kvm": false, "machine": {"type": "pc"}, "cpus": 2, "cpu": {"model": "max"}})") ==
        parse_vm_config(R"({"cpu": {"model": "max"}, "cpus": 2, "machine": {"type": "pc"}, "kvm": false})"));
}

TEST_CASE("two ways to say the same exclude each other") {
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
  CHECK(config.disks[0].backend.path == "/srv/vm/disk.raw");
  CHECK(config.serials[0].path == "/srv/vm/serial");
  CHECK(parse_vm_config(R"({"boot": {"kernel": "vmlinuz"}})").boot.kernel == "vmlinuz");
}

TEST_CASE("the name of a program without a folder is no path") {
  CHECK(parse_vm_config(R"({"qemuPath": "qemu-system-arm"})", "vm.json", "/srv").qemu_path == "qemu-system-arm");
}

TEST_CASE("an unknown key is named with the nearest known one") {
  CHECK(problems(R"({"nmae": "x"})") == Lines{"nmae: unknown key; did you mean \"name\"?"});
  CHECK(problems(R"({"disks": [{"backend": {"type": "file", "path": "a"}, "readonly": true}]})") ==
        Lines{"disks[0].readonly: unknown key; did you mean \"readOnly\"?"});
  CHECK(problems(R"({"memory": {"zzzzzzz": 1}})") == Lines{"memory.zzzzzzz: unknown key; known here: \"size\""});
}

TEST_CASE("an unknown key can not forge lines of the message") {
  const Lines lines = problems("{\"a\\nname: is fine\\u001b[2J\": 1}");
  REQUIRE(lines.size() == 1);
  CHECK_THAT(lines[0], ContainsSubstring("\"a\\nname: is fine\\u001b[2J\": unknown key"));
}

TEST_CASE("a misspelt key that is required is one problem") {
  CHECK(problems(R"({"disks": [{"bakend": {}}]})") == Lines{"disks[0].bakend: unknown key; did you mean \"backend\"?"});
}

TEST_CASE("values of the wrong kind are named with what was found and what was expected") {
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
        Lines{"disks[0].backend.type: is missing, expected \"file\""});
  CHECK(problems(R"({"disks": [{"backend": {"type": "nbd"}}]})") ==
        Lines{"disks[0].backend.type: found \"nbd\", expected \"file\""});
  CHECK(problems(R"({"disks": [{"backend": {"type": "file"}}]})") ==
        Lines{"disks[0].backend.path: is missing, expected a path"});
  CHECK(problems(R"({"extraArgs": ["-S", 1]})") == Lines{"extraArgs[1]: found 1, expected a string"});
  CHECK(problems(R"([])") == Lines{"found a list, expected an object"});
}

TEST_CASE("a NUL character can not be passed to QEMU") {
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

TEST_CASE("nothing is guessed about a part that could not be read") {
  CHECK(problems(R"({"boot": {"kernel": 5, "initrd": "initrd"}})") == Lines{"boot.kernel: found 5, expected a path"});
}

TEST_CASE("syntax errors have line and column") {
  CHECK_THROWS_WITH(parse_vm_config("{\"name\": \"a\",\n  \"memory\": ,}", "my.json"),
                    ContainsSubstring("my.json:2:13: "));
  CHECK_THROWS_WITH(parse_vm_config(""), ContainsSubstring("vm.json:1:1: "));
  CHECK_THROWS_WITH(parse_vm_config("{} {}"), ContainsSubstring("vm.json:1:4: "));
}

TEST_CASE("a key that is there twice is refused") {
  CHECK_THROWS_WITH(parse_vm_config("{\"name\": \"a\",\n \"name\": \"b\"}"),
                    ContainsSubstring("vm.json:2:2: ") && ContainsSubstring("\"name\""));
}

TEST_CASE("a byte order mark is ignored") {
  CHECK(parse_vm_config("\xEF\xBB\xBF{\"name\": \"a\"}").name == "a");
}

TEST_CASE("a file is read, and its paths are relative to its folder") {
  test::TempDir dir;
  test::write_file(dir / "vm.json", R"({"name": "given", "boot": {"kernel": "vmlinuz"}})");
  const VmConfig config = load_vm_config(dir / "vm.json");
  CHECK(config.name == "given");
  CHECK(config.boot.kernel == (dir / "vmlinuz").string());
}

TEST_CASE("a VM without a name is called as its file") {
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

TEST_CASE("what can not be read as a file is refused with the reason") {
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

TEST_CASE("a file of the largest size is read") {
  test::TempDir dir;
  test::write_file(dir / "vm.json", "{" + std::string((1 << 20) - 2, ' ') + "}");
  CHECK(load_vm_config(dir / "vm.json").name == "vm");
}

TEST_CASE("the demo VM is described without mistakes") {
  const VmConfig config = load_vm_config(test::source_dir() / "examples/demo-vm.json");
  CHECK(config.name == "demo");
  CHECK(std::filesystem::path(config.boot.kernel).lexically_normal() ==
        test::source_dir() / "build/demo-guest/vmlinuz");
  CHECK(std::filesystem::path(config.boot.initrd).lexically_normal() ==
        test::source_dir() / "build/demo-guest/initrd.img");
}
