// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "host_vm.hpp"

#include "last_words.hpp"

#include <qemuctl/command_line.hpp>

#include <asio/buffer.hpp>
#include <asio/read.hpp>
#include <asio/read_until.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>
#include <fmt/format.h>

#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>

using namespace qemuctl;

namespace test {

namespace {

/// From the start of the VM to its agent's first word: 10 s on a machine with nothing else to do.
constexpr std::chrono::seconds boot_patience{150};

VmConfig configuration(const TempDir& folder, const HostVm::Options& options) {
  const HostInAVm host = host_in_a_vm();
  VmConfig config;
  config.name = "host";
  config.qemu_path = qemus().front().string();
  config.socket_dir = folder.path().string();
  config.machine.accel = "tcg"; // the same everywhere
  // One processor (the default): two have to wait for each other, which takes longer than working alone when the
  // machine is busy, and the timer of the second was seen to stop.
  config.memory.size_mib = 2048;
  config.boot.kernel = host.kernel.string();
  config.boot.initrd = host.initrd.string();
  // Without a hypervisor that it knows, Linux checks that ten ticks of the timer come in time, which on a busy machine
  // they do not, and gives up.
  // A hub without devices is put to sleep at once. QEMU's forgets to wake Linux for what is plugged into it between the
  // two steps of that (`xhci_wakeup` does nothing before the port is in U3), so hubs stay awake.
  config.boot.append = "console=ttyS0 quiet panic=-1 no_timer_check usbcore.autosuspend=-1 " + options.kernel_arguments;
  SerialConfig& console = config.serials.emplace_back();
  console.type = "file";
  console.path = folder / "console";
  ChardevConfig& agent = config.chardevs.emplace_back();
  agent.id = "agent";
  agent.backend = "socket";
  agent.path = folder / "agent";
  agent.server = true;
  VirtioSerialPortConfig port;
  port.chardev = port.name = "agent";
  config.virtio_serial.emplace().ports.push_back(port);
  UserNetBackend network;
  network.restrict = true;
  config.networks.emplace_back().backend = network;
  ShareConfig& modules = config.shares.emplace_back();
  modules.type = "9p";
  modules.path = host.modules.string();
  modules.tag = "modules";
  modules.read_only = true;
  modules.security_model = "none";
  config.usb.emplace();
  config.hotplug.emplace().pcie_ports = options.pcie_ports;
  // More than one file system: a share of `VmConfig` has no word for that.
  config.extra_args = {"-no-reboot", "-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
                       "-device", R"({"driver":"virtio-9p-pci","fsdev":"root","mount_tag":"root"})"};
  config.extra_args.insert(config.extra_args.end(), options.qemu_arguments.begin(), options.qemu_arguments.end());
  return config;
}

std::string quoted(const std::string& word) {
  return quote_for_shell(std::vector<std::string>(1, word));
}

std::string contents(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

} // namespace

std::vector<std::string> nested_machine() {
  return {"-nodefaults", "-accel", "tcg", "-M", "q35", "-display", "none", "-device", "qemu-xhci,p2=15,p3=15,id=xhci"};
}

std::string as_nobody() {
  // QEMU 10 has not got the old option any more, 7.2 not yet the new one.
  return fmt::format("$({} -help | grep -q '^-runas ' && echo -runas nobody || echo -run-with user=nobody)",
                     quoted(qemus().front().string()));
}

HostVm::HostVm() : HostVm(Options{}) {}

HostVm::HostVm(Options options) {
  const VmConfig config = configuration(folder_, options);
  try {
    test::run(context_, boot(config), boot_patience);
  } catch (const std::exception& error) {
    throw std::runtime_error(
        fmt::format("the host in a VM does not boot: {}\n{}", error.what(), contents(folder_ / "console")));
  }
}

HostVm::~HostVm() {
  try {
    run("tail -n 20 /tmp/*.qemu.log /tmp/*.console 2>/dev/null", std::chrono::seconds(5)); // what QEMUs and guests said
  } catch (const std::exception&) {
    journal_ += "(no answer any more)\n";
  }
  keep_for_failure(fmt::format("\nWhat was done in the host in a VM:\n{}\nIts console:\n{}\n", journal_,
                               contents(folder_ / "console")));
  try {
    test::run(context_, machine_->force_stop());
  } catch (const std::exception& error) {
    std::cerr << "the host in a VM does not end: " << error.what() << '\n';
  }
}

asio::awaitable<void> HostVm::boot(VmConfig config) {
  LaunchOptions options;
  options.kill_on_destruction = true;
  machine_.emplace(co_await Instance::launch(std::move(config), std::move(options)));
  const asio::local::stream_protocol::endpoint endpoint((folder_ / "agent").string());
  co_await agent_.async_connect(endpoint, asio::use_awaitable);
  co_await answer();                             // that it is up
  const std::string never = "mkfifo /run/never"; // for `wait_until`: what comes out of it never comes
  co_await exchange(never);
}

asio::awaitable<CommandResult> HostVm::answer() {
  const std::size_t line =
      co_await asio::async_read_until(agent_, asio::dynamic_buffer(received_), '\n', asio::use_awaitable);
  std::istringstream words(received_.substr(0, line));
  received_.erase(0, line);
  CommandResult result;
  std::size_t size = 0;
  words >> result.status >> size;
  if (received_.size() < size)
    co_await asio::async_read(agent_, asio::dynamic_buffer(received_), asio::transfer_exactly(size - received_.size()),
                              asio::use_awaitable);
  result.output = received_.substr(0, size);
  received_.erase(0, size);
  co_return result;
}

asio::awaitable<CommandResult> HostVm::exchange(std::string command) {
  command.push_back('\0');
  co_await asio::async_write(agent_, asio::buffer(command), asio::use_awaitable);
  co_return co_await answer();
}

CommandResult HostVm::run(const std::string& command, std::chrono::seconds deadline) {
  journal_ += "# " + command + '\n';
  CommandResult result;
  try {
    result = test::run(context_, exchange(command), deadline);
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("no answer from the host in a VM ({}) to: {}", error.what(), command));
  }
  journal_ += result.output;
  if (result.status != 0) journal_ += fmt::format("(exit status {})\n", result.status);
  return result;
}

std::string HostVm::output_of(const std::string& command, std::chrono::seconds deadline) {
  CommandResult result = run(command, deadline);
  if (result.status != 0)
    throw std::runtime_error(
        fmt::format("exit status {} in the host of: {}\n{}", result.status, command, result.output));
  if (result.output.ends_with('\n')) result.output.pop_back();
  return std::move(result.output);
}

int HostVm::spawn(const std::string& command, const std::string& log) {
  return std::stoi(output_of(fmt::format("setsid bash -c {} >{} 2>&1 & echo $!", quoted("exec " + command), log)));
}

void HostVm::write_file(const std::string& path, const std::string& text) {
  output_of(fmt::format("printf %s {} >{}", quoted(text), quoted(path)));
}

void HostVm::plug(Json properties) {
  const bool usb = properties.at("driver").as_string().starts_with("usb-");
  if (usb && !properties.contains("bus")) properties.set("bus", "usb.0");
  journal_ += "# plug " + properties.dump() + '\n';
  test::run(context_, machine_->device_add(std::move(properties)), patience);
}

void HostVm::pull(const std::string& id) {
  journal_ += "# pull " + id + '\n';
  if (test::run(context_, machine_->device_del(id, patience), patience * 2) != UnplugResult::deleted)
    throw std::runtime_error("the host does not let go of " + id);
}

void HostVm::add_disk(const std::string& name) {
  Json disk = Json::object({{"driver", "null-co"}, {"node-name", name}, {"size", 1 << 20}, {"read-zeroes", true}});
  test::run(context_, machine_->execute("blockdev-add", std::move(disk)));
}

void HostVm::wait_for_device(const std::string& sys_path, std::chrono::seconds deadline) {
  output_of(fmt::format("udevadm wait --timeout={} {}", deadline.count(), quoted(sys_path)), deadline * 2);
}

void HostVm::wait_for_removal(const std::string& sys_path, std::chrono::seconds deadline) {
  output_of(fmt::format("udevadm wait --removed --timeout={} {}", deadline.count(), quoted(sys_path)), deadline * 2);
}

void HostVm::wait_until(const std::string& command, std::chrono::seconds deadline) {
  // A pause without a process: starting one takes as long as the pause here, which nested VMs would be without.
  const std::string loop = "exec {never}<>/run/never; until " + command + "; do read -rt 0.1 -u $never || :; done";
  output_of(fmt::format("timeout {} bash -c {}", deadline.count(), quoted(loop)), deadline * 2);
}

void HostVm::wait_until(const std::string& what, const std::function<bool()>& holds, std::chrono::seconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  const std::size_t written = journal_.size();
  for (;;) {
    journal_.resize(written); // of the attempts the last one is to be seen
    if (holds()) return;
    if (std::chrono::steady_clock::now() > end) throw std::runtime_error("this does not come true: " + what);
    asio::steady_timer timer(context_, std::chrono::milliseconds(50));
    test::run(context_, timer.async_wait(asio::use_awaitable));
  }
}

NestedQemu HostVm::start_qemu(const std::string& name, const std::string& arguments) {
  NestedQemu vm;
  vm.name_ = name;
  vm.socket_ = fmt::format("/run/{}.qmp", name);
  const int port = next_port_++;
  output_of(fmt::format("rm -f {}", vm.socket_)); // of one that was killed
  // The monitors listen in their order.
  vm.pid_ = spawn(fmt::format("{} -name {} {} -qmp tcp:0.0.0.0:{},server=on,wait=off "
                              "-qmp unix:{},server=on,wait=off {}",
                              quoted(qemus().front().string()), name, quote_for_shell(nested_machine()), port,
                              vm.socket_, arguments),
                  fmt::format("/tmp/{}.qemu.log", name));
  wait_until(fmt::format("test -S {} || ! test -e /proc/{}", vm.socket_, vm.pid_));
  QmpClientOptions options;
  options.subject = name;
  options.greeting_timeout = patience;
  vm.qmp_ = std::make_unique<QmpClient>(context_.get_executor(), options);
  const TcpAddress address("127.0.0.1", static_cast<std::uint16_t>(forward(port)));
  test::run(context_, vm.qmp_->connect(address), patience);
  return vm;
}

Json HostVm::execute(NestedQemu& vm, const std::string& command, Json arguments) {
  return test::run(context_, vm.qmp_->execute(command, std::move(arguments)), patience);
}

std::vector<UsbHostInVm> HostVm::usb_of(NestedQemu& vm) {
  std::vector<UsbHostInVm> found;
  for (const std::string folder : {"/machine/peripheral", "/machine/peripheral-anon"}) {
    const Json devices = execute(vm, "qom-list", Json::object({{"path", folder}}));
    for (const Json& device : devices.as_array()) {
      if (device.at("type").as_string() != "child<usb-host>") continue;
      UsbHostInVm usb;
      usb.path = folder + "/" + device.at("name").as_string();
      if (folder.ends_with("peripheral")) usb.id = device.at("name").as_string();
      try {
        read_properties(vm, usb);
        found.push_back(usb);
      } catch (const Error& error) {
        if (error.code() != errc::command_failed) throw; // it is gone since
      }
    }
  }
  return found;
}

std::vector<std::string> HostVm::ids_of(NestedQemu& vm, const std::string& type) {
  std::vector<std::string> ids;
  const Json devices = execute(vm, "qom-list", Json::object({{"path", "/machine/peripheral"}}));
  for (const Json& device : devices.as_array())
    if (device.at("type").as_string() == "child<" + type + ">") ids.push_back(device.at("name").as_string());
  return ids;
}

int HostVm::count_usb_of(NestedQemu& vm) {
  return static_cast<int>(ids_of(vm, "usb-host").size());
}

void HostVm::read_properties(NestedQemu& vm, UsbHostInVm& usb) {
  const auto get = [&](const char* property) {
    return execute(vm, "qom-get", Json::object({{"path", usb.path}, {"property", property}}));
  };
  usb.bus = static_cast<int>(get("hostbus").as_int());
  usb.address = static_cast<int>(get("hostaddr").as_int());
  usb.node = get("hostdevice").as_string();
  usb.attached = get("attached").as_bool();
}

int HostVm::forward(int port) {
  // With 0 QEMU takes a free port, and tells which.
  test::run(context_,
            machine_->human_monitor_command(fmt::format("hostfwd_add net0-netdev tcp:127.0.0.1:0-10.0.2.15:{}", port)));
  const std::string all = test::run(context_, machine_->human_monitor_command("info usernet"));
  std::istringstream lines(all);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string what, descriptor, from, to;
    int from_port = 0, to_port = 0;
    if (words >> what >> descriptor >> from >> from_port >> to >> to_port && what == "TCP[HOST_FORWARD]" &&
        to_port == port)
      return from_port;
  }
  throw std::runtime_error(fmt::format("QEMU does not forward to port {}: {}", port, all));
}

} // namespace test
