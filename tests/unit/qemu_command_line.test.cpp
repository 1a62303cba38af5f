// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "discovery.hpp"

#include <ostream>
#include <sstream>
#include <string>
#include <vector>

using namespace qemuctl;
using namespace qemuctl::detail;

namespace {

using Arguments = std::vector<std::string>;

QemuCommandLine parse(Arguments arguments) {
  arguments.insert(arguments.begin(), "/usr/bin/qemu-system-x86_64");
  return parse_qemu_command_line(arguments);
}

/// A monitor in one line: "unix /path", "abstract name", "padded name", "tcp host port", "fd N", or why it is unusable.
std::string shown(const MonitorOption& monitor) {
  struct Show {
    std::string operator()(const UnixPath& a) const { return "unix " + a.path; }
    std::string operator()(const UnixAbstract& a) const { return (a.tight ? "abstract " : "padded ") + a.name; }
    std::string operator()(const TcpAddress& a) const { return "tcp " + a.host + " " + std::to_string(a.port); }
    std::string operator()(const MonitorAddress& a) const { return std::visit(*this, a); }
    std::string operator()(const MonitorOption::InheritedFd& a) const { return "fd " + std::to_string(a.fd); }
    std::string operator()(const MonitorOption::Unusable& a) const { return a.what; }
  };
  return std::visit(Show{}, monitor.target);
}

/// All monitors of a command line, separated by "; ".
std::string monitors(Arguments arguments) {
  std::string text;
  for (const MonitorOption& monitor : parse(std::move(arguments)).monitors)
    text += (text.empty() ? "" : "; ") + shown(monitor);
  return text;
}

} // namespace

TEST_CASE("Every form of a listening QMP socket is recognised", "[discovery]") {
  struct Row {
    Arguments arguments;
    std::string monitors;
  };
  const std::vector<Row> rows = {
      // -qmp with a Unix socket
      {{"-qmp", "unix:/run/a.sock,server=on,wait=off"}, "unix /run/a.sock"},
      {{"--qmp", "unix:/run/a.sock,server=on,wait=off"}, "unix /run/a.sock"},
      {{"-qmp", "unix:/run/a.sock,server,nowait"}, "unix /run/a.sock"},
      {{"-qmp", "unix:/run/a.sock,server"}, "unix /run/a.sock"},
      {{"-qmp", "unix:/run/a.sock,server=yes,wait=no"}, "unix /run/a.sock"},
      {{"-qmp", "unix:/run/a.sock,server=y"}, "unix /run/a.sock"},
      {{"-qmp", "unix:/run/a.sock,server=true"}, "unix /run/a.sock"},
      {{"-qmp", "unix:/run/a.sock,server=off,server=on"}, "unix /run/a.sock"},
      {{"-qmp", "unix:path=/run/a.sock,server=on"}, "unix /run/a.sock"},
      {{"-qmp", "unix:server=on,path=/run/a=b.sock"}, "unix /run/a=b.sock"},
      {{"-qmp", "unix:./qmp.sock,server=on"}, "unix ./qmp.sock"},
      {{"-qmp", "unix:/a,,b.sock,server=on,wait=off"}, "unix /a,b.sock"},
      {{"-qmp", "unix:/a,,,,b,,,server=on"}, "unix /a,,b,"},
      {{"-qmp", "unix:/with space:colon.sock,server=on"}, "unix /with space:colon.sock"},
      {{"-qmp-pretty", "unix:/run/a.sock,server=on"}, "unix /run/a.sock"},
      {{"-qmp", "unix:name,server=on,abstract=on"}, "abstract name"},
      {{"-qmp", "unix:name,server=on,abstract=on,tight=on"}, "abstract name"},
      {{"-qmp", "unix:name,server=on,abstract=on,tight=off"}, "padded name"},
      {{"-qmp", "unix:/run/a.sock,server=on,abstract=off"}, "unix /run/a.sock"},
      // -qmp with TCP
      {{"-qmp", "tcp:127.0.0.1:4444,server"}, "tcp 127.0.0.1 4444"},
      {{"-qmp", "tcp:localhost:4444,server=on,wait=off"}, "tcp localhost 4444"},
      {{"-qmp", "tcp::4444,server,nowait"}, "tcp localhost 4444"},
      {{"-qmp", "tcp:0:4444,server"}, "tcp 0 4444"},
      {{"-qmp", "tcp:[::1]:4444,server=on"}, "tcp ::1 4444"},
      {{"-qmp", "tcp:host:4444,server=on,nodelay=on,ipv4=on"}, "tcp host 4444"},
      // -chardev and -mon
      {{"-chardev", "socket,id=c,path=/run/a.sock,server=on,wait=off", "-mon", "chardev=c,mode=control"},
       "unix /run/a.sock"},
      {{"-mon", "chardev=c,mode=control", "-chardev", "socket,id=c,path=/run/a.sock,server=on"}, "unix /run/a.sock"},
      {{"--chardev", "socket,id=c,path=/run/a.sock,server=on", "--mon", "c,mode=control"}, "unix /run/a.sock"},
      {{"-chardev", "id=c,backend=socket,path=/run/a.sock,server=on", "-mon", "mode=control,chardev=c"},
       "unix /run/a.sock"},
      {{"-chardev", "socket,id=c,path=/run/a,,b.sock,server,nowait", "-mon", "c,mode=control,pretty=on"},
       "unix /run/a,b.sock"},
      {{"-chardev", "socket,id=c,path=n,abstract=on,tight=off,server=on", "-mon", "c,mode=control"}, "padded n"},
      {{"-chardev", "socket,id=c,host=127.0.0.1,port=4444,server=on", "-mon", "c,mode=control"}, "tcp 127.0.0.1 4444"},
      {{"-chardev", "socket,id=c,host=::1,port=4444,server=on", "-mon", "c,mode=control"}, "tcp ::1 4444"},
      {{"-chardev", "socket,id=c,port=4444,server=on", "-mon", "c,mode=control"}, "tcp localhost 4444"},
      {{"-chardev", "socket,id=charmonitor,fd=24,server=on,wait=off", "-mon",
        "chardev=charmonitor,id=monitor,mode=control"},
       "fd 24"},
      {{"-chardev", "socket,id=c,path=/run/a.sock,server=on", "-qmp", "chardev:c"}, "unix /run/a.sock"},
      // -object monitor-qmp (QEMU 11.1)
      {{"-chardev", "socket,id=c,path=/a,server=on", "-object", "monitor-qmp,id=m,chardev=c"}, "unix /a"},
      {{"-chardev", "socket,id=c,path=/a,server=on", "-object", "qom-type=monitor-qmp,id=m,chardev=c,pretty=on"},
       "unix /a"},
      {{"-chardev", "socket,id=c,path=/a,server=on", "-object",
        R"({"qom-type": "monitor-qmp", "id": "m", "chardev": "c", "pretty": true})"},
       "unix /a"},
      {{"-object", "{'qom-type':'monitor-qmp','id':'m','chardev':'c'}", "-chardev", "socket,id=c,path=/a,server=on"},
       "unix /a"},
      // several
      {{"-qmp", "unix:/a,server=on", "-qmp", "unix:/b,server=on", "-chardev", "socket,id=c,path=/c,server=on", "-mon",
        "c,mode=control"},
       "unix /a; unix /b; unix /c"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.arguments);
    CHECK(monitors(row.arguments) == row.monitors);
  }
}

TEST_CASE("A monitor that cannot be attached to is listed with the reason", "[discovery]") {
  struct Row {
    Arguments arguments;
    std::string reason;
  };
  const std::vector<Row> rows = {
      {{"-qmp", "stdio"}, "it is QEMU's standard input and output"},
      {{"-qmp", "pty"}, "it is a pseudo-terminal"},
      {{"-qmp", "null"}, "its character device is of type 'null', not a socket"},
      {{"-qmp", "file:/tmp/x"}, "its character device is of type 'file', not a socket"},
      {{"-qmp", "mon:stdio"}, "its character device is of type 'mon', not a socket"},
      {{"-chardev", "stdio,id=c,mux=on", "-mon", "c,mode=control"}, "it is QEMU's standard input and output"},
      {{"-chardev", "pipe,id=c,path=/tmp/p", "-mon", "c,mode=control"},
       "its character device is of type 'pipe', not a socket"},
      {{"-qmp", "unix:/a"}, "it is a client: QEMU connects to somebody and does not listen"},
      {{"-qmp", "unix:/a,noserver"}, "it is a client: QEMU connects to somebody and does not listen"},
      {{"-qmp", "tcp:localhost:4444,reconnect=1"}, "it is a client: QEMU connects to somebody and does not listen"},
      {{"-chardev", "socket,id=c,fd=3", "-mon", "c,mode=control"},
       "it is a socket that is connected to the program that started QEMU"},
      {{"-chardev", "socket,id=c,fd=name,server=on", "-mon", "c,mode=control"},
       "its descriptor is not a number: 'name'"},
      {{"-chardev", "socket,id=c,fd=3x,server=on", "-mon", "c,mode=control"}, "its descriptor is not a number: '3x'"},
      {{"-chardev", "socket,id=c,fd=-3,server=on", "-mon", "c,mode=control"}, "its descriptor is not a number: '-3'"},
      {{"-qmp", "telnet:localhost:4444,server=on"}, "it speaks telnet, not plain QMP"},
      {{"-qmp", "tcp:localhost:4444,server=on,telnet=on"}, "it speaks telnet, not plain QMP"},
      {{"-qmp", "websocket:localhost:4444,server=on"}, "it speaks websocket, not plain QMP"},
      {{"-chardev", "socket,id=c,path=/a,server=on,websocket", "-mon", "c,mode=control"},
       "it speaks websocket, not plain QMP"},
      {{"-chardev", "socket,id=c,port=1,server=on,tls-creds=t", "-mon", "c,mode=control"}, "it uses TLS"},
      {{"-qmp", "tcp:localhost:0,server=on"}, "QEMU chose its port when it started"},
      {{"-qmp", "tcp:localhost:4444,to=4450,server=on"}, "QEMU chose its port when it started"},
      {{"-qmp", "tcp:localhost:http,server=on"}, "its port is not a number: 'http'"},
      {{"-qmp", "tcp:localhost:70000,server=on"}, "its port is not a number: '70000'"},
      {{"-qmp", "tcp:localhost,server=on"}, "its port is not a number: ''"},
      {{"-mon", "chardev=c,mode=control"}, "its character device is not on the command line"},
      {{"-qmp", "chardev:c"}, "its character device is not on the command line"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.arguments);
    CHECK(monitors(row.arguments) == row.reason);
  }
}

TEST_CASE("Monitors that do not speak QMP are not listed", "[discovery]") {
  const std::vector<Arguments> rows = {
      {},
      {"-monitor", "unix:/a,server=on"},
      {"-monitor", "stdio", "-serial", "unix:/b,server=on"},
      {"-chardev", "socket,id=qmp,path=/a,server=on"},
      {"-chardev", "socket,id=c,path=/a,server=on", "-mon", "chardev=c,mode=readline"},
      {"-chardev", "socket,id=c,path=/a,server=on", "-mon", "chardev=c"}, // readline is the default
      {"-object", "monitor-hmp,id=m,chardev=c"},
      {"-object", "{\"qom-type\": \"iothread\", \"id\": \"monitor-qmp\"}"},
      {"-object", "{not json"},
      {"-object", "[]"},
      // values that look like options
      {"-append", "-qmp unix:/a,server=on"},
      {"-append", "-qmp", "unix:/a,server=on"},
      {"-name", "-qmp"},
      {"-kernel", "-qmp", "-initrd", "-mon"},
      // and options whose value is missing
      {"-qmp"},
      {"-name"},
      {"-mon"},
      {"-"},
      {"--"},
  };
  for (const Arguments& row : rows) {
    CAPTURE(row);
    CHECK(monitors(row).empty());
  }
}

TEST_CASE("An option without a value does not swallow the next one", "[discovery]") {
  for (const char* flag : {"-S",
                           "-s",
                           "-h",
                           "-help",
                           "-version",
                           "-nographic",
                           "-nodefaults",
                           "-no-reboot",
                           "-daemonize",
                           "-enable-kvm",
                           "-snapshot",
                           "-no-user-config",
                           "-no-shutdown",
                           "-usb",
                           "-no-acpi",
                           "-no-hpet",
                           "-only-migratable",
                           "-singlestep",
                           "-mem-prealloc",
                           "-full-screen",
                           "-portrait",
                           "--preconfig",
                           "-async-teardown",
                           "-no-fd-bootchk",
                           "-win2k-hack",
                           "-xen-attach",
                           "-old-param",
                           "-semihosting",
                           "-enable-sync-profile",
                           "-perfmap",
                           "-jitdump",
                           "-no-kvm",
                           "-curses",
                           "-sdl",
                           "-alt-grab",
                           "-ctrl-grab",
                           "-no-quit",
                           "-no-frame",
                           "-audio-help",
                           "-localtime"}) {
    CAPTURE(flag);
    CHECK(monitors({flag, "-qmp", "unix:/a,server=on"}) == "unix /a");
  }
}

TEST_CASE("Disk images between the options are skipped", "[discovery]") {
  CHECK(monitors({"disk.img", "-qmp", "unix:/a,server=on", "other.img"}) == "unix /a");
}

TEST_CASE("The name of the VM is taken from -name", "[discovery]") {
  CHECK(parse({}).name.empty());
  CHECK(parse({"-name", "demo"}).name == "demo");
  CHECK(parse({"--name", "demo"}).name == "demo");
  CHECK(parse({"-name", "guest=demo,debug-threads=on"}).name == "demo");
  CHECK(parse({"-name", "demo,process=qemu-demo"}).name == "demo");
  CHECK(parse({"-name", "debug-threads=on,guest=demo"}).name == "demo");
  CHECK(parse({"-name", "a,,b"}).name == "a,b");
  CHECK(parse({"-name", "guest=a=b"}).name == "a=b");
  CHECK(parse({"-name", "demo", "-name", "debug-threads=on"}).name == "demo"); // they accumulate
  CHECK(parse({"-name", "first", "-name", "second"}).name == "second");
  CHECK(parse({"-name", "-S"}).name == "-S");
}

TEST_CASE("A monitor is described by its options as written", "[discovery]") {
  const auto option = [](Arguments arguments) { return parse(std::move(arguments)).monitors.at(0).option; };
  CHECK(option({"--qmp", "unix:/a,,b,server=on"}) == "--qmp unix:/a,,b,server=on");
  CHECK(option({"-mon", "chardev=c,mode=control", "-chardev", "socket,id=c,fd=3"}) ==
        "-chardev socket,id=c,fd=3 -mon chardev=c,mode=control");
  CHECK(option({"-mon", "chardev=c,mode=control"}) == "-mon chardev=c,mode=control");
}

TEST_CASE("A command line written by libvirt is understood", "[discovery]") {
  const QemuCommandLine line = parse_qemu_command_line({
      "/usr/bin/qemu-system-x86_64",
      "-name",
      "guest=web,debug-threads=on",
      "-S",
      "-object",
      R"({"qom-type":"secret","id":"masterKey0","format":"raw","file":"/var/lib/libvirt/qemu/domain-1-web/master-key.aes"})",
      "-machine",
      "pc-q35-7.2,usb=off,dump-guest-core=off,memory-backend=pc.ram",
      "-accel",
      "kvm",
      "-cpu",
      "host,migratable=on",
      "-m",
      "2048",
      "-object",
      R"({"qom-type":"memory-backend-ram","id":"pc.ram","size":2147483648})",
      "-overcommit",
      "mem-lock=off",
      "-smp",
      "2,sockets=2,cores=1,threads=1",
      "-uuid",
      "d6a3c1f2-0000-4000-8000-000000000001",
      "-no-user-config",
      "-nodefaults",
      "-chardev",
      "socket,id=charmonitor,fd=32,server=on,wait=off",
      "-mon",
      "chardev=charmonitor,id=monitor,mode=control",
      "-rtc",
      "base=utc,driftfix=slew",
      "-global",
      "kvm-pit.lost_tick_policy=delay",
      "-no-shutdown",
      "-boot",
      "strict=on",
      "-device",
      R"({"driver":"pcie-root-port","port":16,"chassis":1,"id":"pci.1","bus":"pcie.0"})",
      "-netdev",
      "tap,fd=34,vhost=on,vhostfd=36,id=hostnet0",
      "-chardev",
      "pty,id=charserial0",
      "-device",
      R"({"driver":"isa-serial","chardev":"charserial0","id":"serial0","index":0})",
      "-chardev",
      "socket,id=charchannel0,fd=31,server=on,wait=off",
      "-sandbox",
      "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
      "-msg",
      "timestamp=on",
  });
  CHECK(line.name == "web");
  REQUIRE(line.monitors.size() == 1);
  CHECK(shown(line.monitors[0]) == "fd 32");
}

TEST_CASE("A monitor is found whatever its chardev is called", "[discovery]") {
  CHECK(monitors({"-qmp", "unix:/var/run/qemu/vm.sock,server=on,wait=off", "-monitor", "none", "-chardev",
                  "socket,id=monitor2,path=/hmp,server=on", "-mon", "monitor2"}) == "unix /var/run/qemu/vm.sock");
  CHECK(monitors({"-chardev", "socket,id=x1,path=/x,server=on,wait=off", "-mon", "chardev=x1,mode=control"}) ==
        "unix /x");
}
