// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "testbed.hpp"

#include "golden.hpp"
#include "listener.hpp"

#include <fmt/format.h>
#include <umockdev.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

namespace test {

namespace {

/// Of a mass storage device, with its product id in between.
constexpr const char* descriptors_begin = "12010002000000406D04";
constexpr const char* descriptors_end = "0001010201010902200001010080320904000002080650000705810200020007050202000200";

/// One for the whole run, because no case is to answer for its threads. What it has in the file system goes with it.
UMockdevTestbed* testbed = nullptr;

bool has_thread(const std::string& name) {
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string its_name;
    std::ifstream(thread.path() / "comm") >> its_name;
    if (its_name == name) return true;
  }
  return false;
}

class TestbedOwner : public test::Listener {
 public:
  using Listener::Listener;

  void testRunStarting(const Catch::TestRunInfo&) override {
    testbed = umockdev_testbed_new();
    // Its threads start with the first event.
    g_free(umockdev_testbed_add_device(testbed, "usb", "first", nullptr, "busnum", "1", nullptr, "DEVTYPE",
                                       "usb_device", nullptr));
    umockdev_testbed_uevent(testbed, "/sys/devices/first", "change");
    // Not all there is: opening /dev/null asks a socket of its own, and is a leak when that is gone.
    umockdev_testbed_remove_device(testbed, "/sys/devices/first");
    // So does the one by which newer versions of GLib start others.
    g_thread_pool_free(g_thread_pool_new([](void*, void*) {}, nullptr, 1, FALSE, nullptr), FALSE, TRUE);
    // GLib's own is started by another one of them.
    using namespace std::chrono_literals;
    for (const auto deadline = std::chrono::steady_clock::now() + 5s;
         !has_thread("gmain") && std::chrono::steady_clock::now() < deadline;)
      std::this_thread::sleep_for(1ms);
  }

  void testRunEnded(const Catch::TestRunStats&) override { g_clear_object(&testbed); }
};

CATCH_REGISTER_LISTENER(TestbedOwner)

void add(const std::string& description) {
  GError* error = nullptr;
  if (umockdev_testbed_add_from_string(testbed, description.c_str(), &error)) return;
  const std::string text = error ? error->message : "no reason";
  g_clear_error(&error);
  throw std::runtime_error("cannot add a device: " + text);
}

} // namespace

Testbed::Testbed() = default;

Testbed::~Testbed() {
  // With its files its sockets would go, and without them every program that is launched leaks a descriptor: umockdev
  // asks one of them when /dev/null is opened.
  gchar* const root = umockdev_testbed_get_root_dir(testbed);
  const std::filesystem::path sockets = std::filesystem::path(root) / "ioctl", aside = std::string(root) + ".ioctl";
  g_free(root);
  std::error_code ignored;
  std::filesystem::rename(sockets, aside, ignored);
  umockdev_testbed_clear(testbed);
  std::filesystem::rename(aside, sockets, ignored);
}

void Testbed::load(const std::string& name) {
  std::istringstream lines(read_file(source_dir() / "tests/data/udev" / (name + ".umockdev")));
  std::string description;
  for (std::string line; std::getline(lines, line);) {
    // Whether udev is through with a device that has a number libudev asks udev's database, which umockdev has not got.
    const bool number = line.starts_with("E: MAJOR=") || line.starts_with("E: MINOR=");
    const bool beginning = description.empty() && !line.starts_with("P: "); // umockdev knows no comments
    const bool input_node = line.starts_with("N: input/"); // of which it would make a terminal that stays open
    if (!number && !beginning && !input_node) description += line + '\n';
  }
  add(description);
}

std::string Testbed::add_root_hub(int bus) {
  const std::string path = fmt::format("/devices/pci0000:00/0000:00:14.0/usb{}", bus);
  add(fmt::format("P: {}\nN: bus/usb/{:03}/001\nE: DEVTYPE=usb_device\nE: SUBSYSTEM=usb\nA: bDeviceClass=09\n"
                  "A: busnum={}\nA: devnum=1\n\n",
                  path, bus, bus));
  return path;
}

std::string Testbed::plug(const std::string& parent, int bus, int port, int address, const std::string& product,
                          const std::string& device_class, const std::string& product_id) {
  const std::string above = parent.substr(parent.rfind('/') + 1);
  const std::string name =
      above.starts_with("usb") ? fmt::format("{}-{}", bus, port) : fmt::format("{}.{}", above, port);
  const std::string path = parent + "/" + name;
  add(fmt::format("P: {}\nN: bus/usb/{:03}/{:03}\nE: DEVTYPE=usb_device\nE: SUBSYSTEM=usb\nE: ID_MODEL=x\n"
                  "A: bDeviceClass={}\nA: bDeviceSubClass=00\nA: bDeviceProtocol=00\nA: busnum={}\nA: devnum={}\n"
                  "A: idVendor=046d\nA: idProduct={}\nA: product={}\nA: speed=480\nH: descriptors={}{}{}{}\n\n",
                  path, bus, address, device_class, bus, address, product_id, product, descriptors_begin,
                  product_id.substr(2), product_id.substr(0, 2), descriptors_end));
  event("/sys" + path, "add");
  return path;
}

void Testbed::add_pci(const std::string& address, const std::string& product, std::optional<int> group,
                      const std::string& driver, const std::string& more) {
  std::string links = more;
  if (group)
    links += fmt::format("L: driver=../../../bus/pci/drivers/{}\nL: iommu_group=../../../kernel/iommu_groups/{}\n",
                         driver, *group);
  add(fmt::format("P: /devices/pci0000:00/{}\nE: SUBSYSTEM=pci\nE: ID_MODEL_FROM_DATABASE={}\nA: vendor=0x8086\n"
                  "A: device=0x10d3\nA: class=0x020000\nA: subsystem_vendor=0x8086\nA: subsystem_device=0x0001\n{}\n",
                  address, product, links));
}

void Testbed::add_input(int input, int event, const std::string& name, const std::string& path_tag) {
  const std::string path = fmt::format("/devices/platform/i8042/serio0/input/input{}", input);
  add(fmt::format("P: {}\nE: SUBSYSTEM=input\nA: name={}\n\n", path, name));
  // Without a node ("N:"), for which umockdev opens a terminal.
  add(fmt::format("P: {}/event{}\nE: DEVNAME=/dev/input/event{}\nE: SUBSYSTEM=input\nE: ID_PATH_TAG={}\n\n", path,
                  event, event, path_tag));
}

void Testbed::add_disk(const std::string& parent, const std::string& name, const std::string& number) {
  add(fmt::format("P: {}/block/{}\nE: SUBSYSTEM=block\nE: DEVTYPE=disk\nA: dev={}\n\n", parent, name, number));
}

void Testbed::pull(const std::string& sys_path) {
  event("/sys" + sys_path, "remove");
  umockdev_testbed_remove_device(testbed, ("/sys" + sys_path).c_str());
}

void Testbed::set(const std::string& sys_path, const std::string& attribute, const std::string& value) {
  umockdev_testbed_set_attribute(testbed, ("/sys" + sys_path).c_str(), attribute.c_str(), value.c_str());
}

std::string Testbed::get(const std::string& sys_path, const std::string& attribute) const {
  return read_file("/sys" + sys_path + "/" + attribute);
}

void Testbed::event(const std::string& sys_path, const std::string& action) {
  umockdev_testbed_uevent(testbed, sys_path.c_str(), action.c_str());
}

} // namespace test
