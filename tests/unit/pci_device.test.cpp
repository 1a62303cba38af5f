// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "golden.hpp"
#include "loans.hpp"
#include "pci_group.hpp"
#include "pci_port.hpp"
#include "temp_dir.hpp"
#include "vfio.hpp"
#include "vm_pci.hpp"

#include <hotplug/explanation.hpp>
#include <hotplug/rules.hpp>
#include <qemuctl/json.hpp>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

using namespace hotplug;
using namespace hotplug::detail;
using Catch::Matchers::ContainsSubstring;

namespace {

/// What sysfs tells of an e1000e.
PciRecord card(const std::string& address, const std::string& group = "12", const std::string& driver = "e1000e") {
  PciRecord record;
  record.sys_path = "/sys/devices/pci0000:00/0000:00:1c.0/" + address;
  record.attributes = {{"class", "0x020000"},
                       {"vendor", "0x8086"},
                       {"device", "0x10d3"},
                       {"subsystem_vendor", "0x8086"},
                       {"subsystem_device", "0xa01f"}};
  record.driver = driver;
  record.iommu_group = group;
  return record;
}

PciDevice device(const std::string& address, const std::string& group = "12", const std::string& driver = "e1000e") {
  return *make_pci_device(card(address, group, driver));
}

PciRule rule_for(const std::string& address) {
  PciRule rule;
  rule.vms = {"vm"};
  rule.allow.emplace_back().address = address;
  return rule;
}

bool matches(const std::function<void(PciMatch&)>& set) {
  PciRule rule;
  rule.vms = {"vm"};
  set(rule.allow.emplace_back());
  return PciRules({rule}).evaluate(device("0000:01:00.0")).rule.has_value();
}

std::vector<std::string> texts(const std::vector<SysfsWrite>& writes) {
  std::vector<std::string> result;
  for (const SysfsWrite& write : writes)
    result.push_back(write.file.substr(write.file.rfind('/') + 1) + "=" + write.text);
  return result;
}

using Texts = std::vector<std::string>;

} // namespace

TEST_CASE("a PCI device has its properties from sysfs, and a bridge is not a device") {
  const PciDevice made = device("0000:01:00.0");
  CHECK(made.address() == "0000:01:00.0");
  CHECK(made.vendor_id == 0x8086);
  CHECK(made.device_id == 0x10d3);
  CHECK(made.subsystem_id == 0xa01f);
  CHECK(made.device_class == PciClass{2, 0, 0});
  CHECK(made.driver == "e1000e");
  CHECK(made.iommu_group == 12);
  CHECK(short_description(made) == "0000:01:00.0 8086:10d3");
  PciRecord bridge = card("0000:00:1c.0");
  bridge.attributes["class"] = "0x060400";
  CHECK_FALSE(make_pci_device(bridge));
  CHECK_FALSE(make_pci_device(card("pci0000:00")));
  CHECK_FALSE(make_pci_device(card("0000:01:00.0", "", "")).value().iommu_group);
}

TEST_CASE("each condition of a PCI rule matches exactly what it says") {
  CHECK(matches([](PciMatch& m) { m.address = "0000:01:00.0"; }));
  CHECK_FALSE(matches([](PciMatch& m) { m.address = "0000:01:00.1"; }));
  CHECK(matches([](PciMatch& m) { m.vendor_id = 0x8086, m.device_id = 0x10d3; }));
  CHECK_FALSE(matches([](PciMatch& m) { m.vendor_id = 0x8086, m.device_id = 1; }));
  CHECK(matches([](PciMatch& m) { m.device_class = 2, m.device_subclass = 0, m.device_prog_if = 0; }));
  CHECK_FALSE(matches([](PciMatch& m) { m.device_prog_if = 1; }));
  CHECK_FALSE(matches([](PciMatch&) {}));
}

TEST_CASE("an IOMMU group goes to a VM as a whole, or its rule says that it stays") {
  const std::vector<PciDevice> devices{device("0000:01:00.0"), device("0000:01:00.1"), device("0000:02:00.0", "13")};
  PciRule rule = rule_for("0000:01:00.0");
  auto verdicts = decide_pci(devices, PciRules({rule}));
  CHECK(verdicts["0000:01:00.0"].rule == 0);
  CHECK_FALSE(verdicts["0000:01:00.1"].rule);

  rule.iommu_add_all = true;
  verdicts = decide_pci(devices, PciRules({rule}));
  CHECK(verdicts["0000:01:00.1"].vms == Texts{"vm"});
  CHECK(verdicts["0000:01:00.1"].member);
  CHECK_FALSE(verdicts["0000:01:00.0"].member);
  CHECK_FALSE(verdicts["0000:02:00.0"].rule);

  // A rule of its own is stronger.
  PciRule other = rule_for("0000:01:00.1");
  other.vms = {"other"};
  verdicts = decide_pci(devices, PciRules({rule, other}));
  CHECK(verdicts["0000:01:00.1"].vms == Texts{"other"});

  rule.iommu_add_all = false;
  rule.iommu_skip_if_shared = true;
  verdicts = decide_pci(devices, PciRules({rule}));
  CHECK(verdicts["0000:01:00.0"].vms.empty());
  CHECK_THAT(verdicts["0000:01:00.0"].skipped, ContainsSubstring("0000:01:00.1"));
  CHECK(decide_pci({devices[0]}, PciRules({rule}))["0000:01:00.0"].vms == Texts{"vm"});
}

TEST_CASE("the explanation of a card covers its IOMMU group") {
  const std::vector<Device> devices{device("0000:01:00.0"), device("0000:01:00.1")};
  Config config;
  config.pci_rules = {rule_for("0000:01:00.0")};
  const auto explained = [&](std::size_t index) { return explanation(Rules(config), devices[index], devices); };
  CHECK_THAT(explained(0), ContainsSubstring("it goes to VM vm") && !ContainsSubstring("stays"));
  CHECK_THAT(explained(1), ContainsSubstring("no rule matches: it stays with the host"));
  config.pci_rules[0].iommu_add_all = true;
  CHECK_THAT(explained(1), ContainsSubstring("rule 0 takes the whole IOMMU group (12) to VM vm (pciIommuAddAll)"));
  config.pci_rules[0].iommu_add_all = false;
  config.pci_rules[0].iommu_skip_if_shared = true;
  CHECK_THAT(explained(0), ContainsSubstring("it stays with the host all the same: 0000:01:00.1"));
}

TEST_CASE("the device that prevents the use of a group is named") {
  const PciDevice first = device("0000:01:00.0"), second = device("0000:01:00.1", "12", "snd_hda_intel");
  CHECK(group_obstacle(first, "vm", {{first, "vm"}, {second, "vm"}}).empty());
  CHECK_THAT(group_obstacle(first, "vm", {{first, "vm"}, {second, std::nullopt}}),
             ContainsSubstring("0000:01:00.1") && ContainsSubstring("snd_hda_intel") &&
                 ContainsSubstring("pciIommuAddAll"));
  CHECK_THAT(group_obstacle(first, "vm", {{first, "vm"}, {second, "other"}}), ContainsSubstring("goes to VM other"));
  // What no driver of the host has is in nobody's way.
  CHECK(group_obstacle(first, "vm", {{first, "vm"}, {device("0000:01:00.1", "12", ""), std::nullopt}}).empty());
  CHECK(group_obstacle(first, "vm", {{first, "vm"}, {device("0000:01:00.1", "12", "vfio-pci"), std::nullopt}}).empty());
  CHECK_THAT(group_obstacle(device("0000:01:00.0", ""), "vm", {}), ContainsSubstring("IOMMU"));
  for (const char* driver : {"pcieport", "pci-stub", "vfio-platform", "mlx5_vfio_pci"})
    CHECK(group_obstacle(first, "vm", {{first, "vm"}, {device("0000:01:00.1", "12", driver), std::nullopt}}).empty());
}

TEST_CASE("a bridge whose driver keeps its IOMMU group with the host is named") {
  const test::TempDir root;
  const auto add = [&](const std::string& address, const std::string& code, const std::string& driver) {
    const auto folder = root / "sys/kernel/iommu_groups/12/devices" / address;
    std::filesystem::create_directories(folder);
    test::write_file(folder / "class", code + "\n");
    test::write_file(folder / "vendor", "0x8086\n");
    test::write_file(folder / "device", "0xa30d\n");
    if (!driver.empty()) std::filesystem::create_symlink("../../../../bus/pci/drivers/" + driver, folder / "driver");
  };
  add("0000:00:1f.0", "0x060100", "lpc_ich");
  add("0000:00:1c.0", "0x060400", "pcieport");
  add("0000:00:1f.6", "0x020000", "e1000e");
  std::vector<GroupMember> members;
  for (const PciDevice& bridge : bridges_of_group(12, root.path())) members.push_back({bridge, std::nullopt});
  CHECK(members.size() == 2);
  const PciDevice card = device("0000:00:1f.6");
  members.push_back({card, "vm"});
  CHECK_THAT(group_obstacle(card, "vm", members), ContainsSubstring("0000:00:1f.0 (8086:a30d") &&
                                                      ContainsSubstring("driver lpc_ich") &&
                                                      ContainsSubstring("has to be unbound"));
  CHECK(bridges_of_group(13, root.path()).empty());
}

TEST_CASE("a card is known with its virtual functions") {
  const test::TempDir root;
  const auto folder = root / "sys/devices/pci0000:00/0000:01:00.0";
  std::filesystem::create_directories(folder);
  const std::string path = "/sys/devices/pci0000:00/0000:01:00.0";
  CHECK(virtual_functions_of(path, root.path()).empty());
  std::filesystem::create_symlink("../0000:01:10.2", folder / "virtfn1");
  std::filesystem::create_symlink("../0000:01:10.0", folder / "virtfn0");
  std::filesystem::create_symlink("../../../bus/pci", folder / "subsystem");
  CHECK(virtual_functions_of(path, root.path()) == Texts{"0000:01:10.0", "0000:01:10.2"});
}

TEST_CASE("a device is bound by its address only, and goes back to its previous driver") {
  const std::string address = "0000:01:00.0";
  CHECK(texts(writes_to_take(address, "e1000e")) ==
        Texts{"driver_override=vfio-pci\n", "unbind=" + address, "drivers_probe=" + address});
  CHECK(texts(writes_to_take(address, "")) == Texts{"driver_override=vfio-pci\n", "drivers_probe=" + address});
  CHECK(texts(writes_to_give_back({address, "e1000e"}, "vfio-pci")) ==
        Texts{"driver_override=\n", "unbind=" + address, "bind=" + address, "drivers_probe=" + address});
  // The hand-over ended between the two drivers.
  CHECK(texts(writes_to_give_back({address, "e1000e"}, "")) ==
        Texts{"driver_override=\n", "bind=" + address, "drivers_probe=" + address});
  // It had not begun.
  CHECK(texts(writes_to_give_back({address, "e1000e"}, "e1000e")) == Texts{"driver_override=\n"});
  CHECK(texts(writes_to_give_back({address, ""}, "vfio-pci")) == Texts{"driver_override=\n", "unbind=" + address});
  // Somebody had a driver of their own for it.
  CHECK(texts(writes_to_give_back({address, "e1000e", "e1000e"}, "e1000e")) == Texts{"driver_override=e1000e\n"});
}

TEST_CASE("the next engine knows what was taken from its driver") {
  const test::TempDir dir;
  const Loans loans(dir / "lent");
  CHECK(loans.all().empty());
  loans.add({"0000:01:00.0", "e1000e"});
  loans.add({"0000:02:00.0", "", "uio_pci_generic"});
  CHECK(Loans(dir / "lent").find("0000:01:00.0") == Loan{"0000:01:00.0", "e1000e"});
  CHECK(test::read_file(dir / "lent/0000:02:00.0") == "\nuio_pci_generic\n");
  loans.add({"0000:01:00.0", "vfio-pci"}); // what it had before is not forgotten
  CHECK(loans.all() == std::vector<Loan>{{"0000:01:00.0", "e1000e"}, {"0000:02:00.0", "", "uio_pci_generic"}});
  loans.remove("0000:01:00.0");
  CHECK_FALSE(loans.find("0000:01:00.0"));
  CHECK(loans.find("0000:02:00.0") == Loan{"0000:02:00.0", "", "uio_pci_generic"});
}

TEST_CASE("the ids of PCI devices in QEMU contain their addresses") {
  CHECK(new_qdev_id(device("0000:01:00.0"), 0x5f3a01c2) == "pcihost-0000.01.00.0-5f3a01c2");
  CHECK(pci_key_in("pcihost-0000.01.00.0-5f3a01c2") == host_key(device("0000:01:00.0")));
  for (const char* other : {"", "pcihost-", "pcihost-0000.01.00.0", "pcihost-01.00.0-5f3a01c2", "net0"})
    CHECK_FALSE(pci_key_in(other));
}

TEST_CASE("a card has been noticed by the guest when it has addresses, on whatever bus") {
  const qemuctl::Json buses = qemuctl::parse_json(R"([{"bus": 0, "devices": [
    {"qdev_id": "root", "regions": [{"bar": 0, "type": "memory", "address": 4096, "size": 4096}]},
    {"qdev_id": "rp0", "regions": [], "pci_bridge": {"bus": {"number": 1}, "devices": [
      {"qdev_id": "missed", "regions": [{"bar": 0, "type": "io", "address": -1, "size": 32},
                                        {"bar": 1, "type": "memory", "address": -1, "size": 4096}]},
      {"qdev_id": "noticed", "regions": [{"bar": 0, "type": "io", "address": -1, "size": 32},
                                         {"bar": 1, "type": "memory", "address": 4261412864, "size": 4096}]},
      {"qdev_id": "without", "regions": []}]}}]}])");
  CHECK(is_noticed(buses, "root"));
  CHECK(is_noticed(buses, "noticed"));
  CHECK(is_noticed(buses, "without"));
  CHECK_FALSE(is_noticed(buses, "missed"));
  CHECK_FALSE(is_noticed(buses, "behind a port that is not set up"));
  CHECK_FALSE(is_noticed(qemuctl::Json(), "root"));
  CHECK_FALSE(is_noticed(qemuctl::parse_json(R"([{"devices": 3}, {"devices": [1, null]}])"), "root"));
}
