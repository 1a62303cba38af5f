// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// 06_hotplug_story HOST-IN-A-VM QEMUCTL-HOTPLUGD: demonstrates hotplug on any machine. Boots this machine's own system
// in a VM (HOST-IN-A-VM is the folder that tools/host-in-a-vm builds), starts the service and two QEMUs in it, plugs
// hardware into that host, pulls it again, and prints the service's log. `tools/quickstart --hotplug` runs it.
#include <qemuctl/command_line.hpp>
#include <qemuctl/error.hpp>
#include <qemuctl/instance.hpp>

#include <asio/awaitable.hpp>
#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/io_context.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/read.hpp>
#include <asio/read_until.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

using namespace qemuctl;
using namespace std::chrono_literals;

namespace {

constexpr auto whole_story = 180s; // even a slow machine needs only a third of that

constexpr const char* configuration = R"({
  "vms": [{"name": "office", "socket": "/run/office.qmp"}, {"name": "media", "socket": "/run/media.qmp"}],
  "usbPassthrough": [
    {"description": "disks", "targetVm": "office", "allow": [{"interfaceClass": 8}]},
    {"description": "pointers", "targetVm": "media", "allow": [{"interfaceClass": 3, "interfaceProtocol": 2}]},
    {"description": "QEMU's tablet, which is a pointer without saying so", "targetVm": "media",
     "allow": [{"vendorId": "0627", "productId": "0001"}]}
  ],
  "general": {"statePath": "/tmp/hotplug.state"}
})";

/// The VM whose guest is the host of the story.
class Host {
 public:
  Host(std::filesystem::path files, std::filesystem::path folder)
      : files_(std::move(files)), folder_(std::move(folder)) {}

  asio::awaitable<void> boot() {
    VmConfig config;
    config.name = "host";
    config.socket_dir = folder_.string();
    config.machine.accel = "tcg";
    config.memory.size_mib = 2048;
    config.boot.kernel = (files_ / "vmlinuz").string();
    config.boot.initrd = (files_ / "initrd.img").string();
    config.boot.append = "console=ttyS0 quiet panic=-1 no_timer_check";
    ChardevConfig agent;
    agent.id = "agent";
    agent.backend = "socket";
    agent.path = (folder_ / "agent").string();
    agent.server = true;
    config.chardevs.push_back(agent);
    VirtioSerialPortConfig port;
    port.chardev = port.name = "agent";
    config.virtio_serial.emplace().ports.push_back(port);
    UserNetBackend network;
    network.restrict = true;
    config.networks.emplace_back().backend = network;
    ShareConfig modules;
    modules.type = "9p";
    modules.path = (files_ / "modules").string();
    modules.tag = "modules";
    modules.read_only = true;
    modules.security_model = "none";
    config.shares.push_back(modules);
    config.usb.emplace();
    config.extra_args = {"-no-reboot", "-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
                         "-device", R"({"driver":"virtio-9p-pci","fsdev":"root","mount_tag":"root"})"};
    LaunchOptions options;
    options.kill_on_destruction = true;
    vm_.emplace(co_await Instance::launch(std::move(config), std::move(options)));
    agent_.emplace(co_await asio::this_coro::executor);
    const asio::local::stream_protocol::endpoint endpoint((folder_ / "agent").string());
    co_await agent_->async_connect(endpoint, asio::use_awaitable);
    co_await answer(); // once it is up
  }

  /// Runs a shell command in the host and returns its output; throws if it fails.
  asio::awaitable<std::string> run(std::string command) {
    command.push_back('\0');
    co_await asio::async_write(*agent_, asio::buffer(command), asio::use_awaitable);
    co_return co_await answer();
  }

  asio::awaitable<void> plug(Json properties) {
    properties.set("bus", "usb.0");
    co_await vm_->device_add(std::move(properties));
  }

  asio::awaitable<void> pull(std::string id) {
    const UnplugResult result = co_await vm_->device_del(std::move(id));
    if (result != UnplugResult::deleted) throw std::runtime_error("the host does not let go of its device");
  }

  asio::awaitable<void> add_disk(std::string name) {
    Json disk;
    disk.set("driver", "null-co");
    disk.set("node-name", std::move(name));
    disk.set("size", 1 << 20);
    disk.set("read-zeroes", true);
    co_await vm_->execute("blockdev-add", std::move(disk));
  }

  asio::awaitable<void> end() { co_await vm_->force_stop(); }

 private:
  /// Reads a line with the exit status and a byte count, and then those bytes.
  asio::awaitable<std::string> answer() {
    const std::size_t line =
        co_await asio::async_read_until(*agent_, asio::dynamic_buffer(received_), '\n', asio::use_awaitable);
    std::istringstream words(received_.substr(0, line));
    received_.erase(0, line);
    int status = 0;
    std::size_t size = 0;
    words >> status >> size;
    if (received_.size() < size)
      co_await asio::async_read(*agent_, asio::dynamic_buffer(received_),
                                asio::transfer_exactly(size - received_.size()), asio::use_awaitable);
    std::string output = received_.substr(0, size);
    received_.erase(0, size);
    if (status != 0) throw std::runtime_error("a command in the host failed: " + output);
    co_return output;
  }

  std::filesystem::path files_, folder_;
  std::optional<Instance> vm_;
  std::optional<asio::local::stream_protocol::socket> agent_;
  std::string received_; ///< from the agent, not yet used
};

void say(const std::string& text) {
  std::cout << text << std::endl;
}

class Story {
 public:
  Story(Host& host, std::string service) : host_(host), service_(std::move(service)) {}

  asio::awaitable<void> tell() {
    say("Booting this machine's system in a VM, so that there is hardware to plug and pull...");
    co_await host_.boot();

    say("\nIn there: two QEMUs, \"office\" and \"media\", and\n  qemuctl-hotplugd -c hotplug.json");
    co_await start_qemu("office");
    co_await start_qemu("media");
    co_await host_.run("cat >/run/hotplug.json <<'END'\n" + std::string(configuration) + "\nEND\n");
    co_await host_.run("setsid " + service_ + " -a -c /run/hotplug.json >/run/log 2>&1 & true");
    co_await expect("serving 2 VMs");

    say("\nA pointer is plugged in:");
    Json tablet;
    tablet.set("driver", "usb-tablet");
    tablet.set("id", "tablet");
    tablet.set("port", "3");
    co_await host_.plug(std::move(tablet));
    co_await expect("VM media has 1-3");

    say("\nA disk is plugged in:");
    co_await host_.add_disk("disk");
    Json stick;
    stick.set("driver", "usb-storage");
    stick.set("id", "stick");
    stick.set("drive", "disk");
    stick.set("port", "4");
    co_await host_.plug(std::move(stick));
    co_await expect("VM office has");

    say("\nWhy is the disk there? qemuctl-hotplugd -c hotplug.json --explain 2-4");
    const std::string why = co_await host_.run(service_ + " -c /run/hotplug.json --explain 2-4");
    say(why);

    say("The disk is pulled:");
    co_await host_.pull("stick");
    co_await expect("is gone");

    say("\n\"media\" is killed, and started again:");
    co_await host_.run("kill -9 $(cat /run/media.pid)");
    co_await expect("VM media has ended");
    co_await start_qemu("media");
    co_await expect("VM media has 1-3");

    say("\nThat is the story. The host is switched off.");
    co_await host_.end();
  }

 private:
  asio::awaitable<void> start_qemu(std::string name) {
    co_await host_.run("qemu-system-x86_64 -name " + name +
                       " -nodefaults -accel tcg -M q35 -display none -device qemu-xhci,p2=15,p3=15 -qmp unix:/run/" +
                       name + ".qmp,server=on,wait=off -daemonize -pidfile /run/" + name + ".pid");
  }

  /// Prints the service's log up to this text, waiting for it inside the host.
  asio::awaitable<void> expect(std::string text) {
    const std::string seen = std::to_string(lines_);
    const std::string rest = "tail -n +$((" + seen + " + 1)) /run/log";
    const std::string words = quote_for_shell(std::vector<std::string>(1, text));
    const std::string said =
        co_await host_.run("for i in $(seq 300); do " + rest + " | grep -qF " + words + " && break; sleep 0.1; done; " +
                           rest + "; " + rest + " | grep -qF " + words);
    std::istringstream output(said);
    for (std::string line; std::getline(output, line); ++lines_) say("  " + line);
  }

  Host& host_;
  std::string service_;
  int lines_ = 0; ///< of the service's log, printed so far
};

asio::awaitable<void> run(std::filesystem::path files, std::string service, std::filesystem::path folder) {
  using namespace asio::experimental::awaitable_operators;
  Host host(std::move(files), std::move(folder));
  Story story(host, std::move(service));
  asio::steady_timer patience(co_await asio::this_coro::executor, whole_story);
  const auto ended = co_await (story.tell() || patience.async_wait(asio::use_awaitable));
  if (ended.index() == 1) throw std::runtime_error("it took too long; the machine may be busy");
}

} // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: 06_hotplug_story HOST-IN-A-VM QEMUCTL-HOTPLUGD\n";
    return 2;
  }
  std::string folder = (std::filesystem::temp_directory_path() / "qemuctl-XXXXXX").string();
  if (!mkdtemp(folder.data())) {
    std::cerr << "cannot make a folder in " << std::filesystem::temp_directory_path() << '\n';
    return 1;
  }
  int status = 0;
  asio::io_context io(1);
  asio::co_spawn(io, run(argv[1], std::filesystem::absolute(argv[2]).string(), folder),
                 [&](const std::exception_ptr& failure) {
                   try {
                     if (failure) std::rethrow_exception(failure);
                   } catch (const std::exception& error) {
                     std::cerr << error.what() << '\n';
                     status = 1;
                   }
                 });
  io.run();
  std::filesystem::remove_all(folder);
  return status;
}
