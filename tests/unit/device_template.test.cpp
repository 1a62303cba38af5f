// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "device_template.hpp"

#include "catch.hpp"
#include "temp_dir.hpp"

#include <qemuctl/error.hpp>

#include <fstream>
#include <string>

using namespace hotplug::detail;
using Catch::Matchers::ContainsSubstring;
using hotplug::DeviceKind;

namespace {

/// A value of one variable, or none.
TemplateValues values(const std::string& name = {}, const std::string& value = {}) {
  TemplateValues result;
  if (!name.empty()) result.emplace_back(name, value);
  return result;
}

std::string refusal(const std::string& xml, const TemplateValues& with = {}) {
  try {
    parse_xml_template(xml, with);
  } catch (const qemuctl::Error& error) {
    CHECK(error.code() == qemuctl::errc::invalid_argument);
    return error.what();
  }
  return "(accepted)";
}

std::string usb(const std::string& source) {
  return "<hostdev mode='subsystem' type='usb'><source>" + source + "</source></hostdev>";
}

} // namespace

TEST_CASE("webvirt's example of a USB device by ids means that device") {
  const char* xml = R"(<hostdev mode='subsystem' type='usb' managed='yes'>
    <source>
        <vendor id='0x$VENDOR_ID'/>
        <product id='0x$PRODUCT_ID'/>
    </source>
</hostdev>)";
  TemplateValues ids = values("vendor_id", "1234");
  ids.emplace_back("Product_ID", "5678");
  const TemplateDevice device = parse_xml_template(xml, ids);
  CHECK(device.kind == DeviceKind::usb);
  CHECK(device.selector.vendor_id == 0x1234);
  CHECK(device.selector.product_id == 0x5678);
  CHECK_FALSE(device.selector.device_node);
  CHECK(device.text == R"(<hostdev mode="subsystem" type="usb" managed="yes">
    <source>
        <vendor id="0x1234"/>
        <product id="0x5678"/>
    </source>
</hostdev>)");
}

TEST_CASE("webvirt's example of a PCI device with a ROM means that device") {
  const char* xml = R"(<hostdev mode='subsystem' type='pci' managed='yes'>
  <source>
     <address domain='0x$DOMAIN' bus='0x$BUS' slot='0x$SLOT' function='0x$FUNCTION'/>
     <rom file="$ARBITRARY_VARIABLE_NAME"/>
  </source>
</hostdev>)";
  TemplateValues all = values("domain", "0000");
  all.emplace_back("bus", "0f");
  all.emplace_back("slot", "00");
  all.emplace_back("function", "0");
  all.emplace_back("arbitrary_variable_name", "/usr/share/vgabios/1080ti-patched.rom");
  const TemplateDevice device = parse_xml_template(xml, all);
  CHECK(device.kind == DeviceKind::pci);
  CHECK(device.selector.address == "0000:0f:00.0");
  CHECK(device.rom_file == "/usr/share/vgabios/1080ti-patched.rom");
  all.pop_back();
  CHECK_THAT(refusal(xml, all), ContainsSubstring("$ARBITRARY_VARIABLE_NAME has no value"));
}

TEST_CASE("a USB device may be identified by bus and device, in decimal or hexadecimal") {
  CHECK(parse_xml_template(usb("<address bus='3' device='0x0a'/>"), {}).selector.device_node == "/dev/bus/usb/003/010");
  CHECK(parse_xml_template(usb("<address bus='003' device='010'/>"), {}).selector.device_node ==
        "/dev/bus/usb/003/010");
}

TEST_CASE("a template in JSON means the same as one in XML") {
  const TemplateDevice stick =
      parse_json_template(R"({"type": "usb", "vendorId": "046d", "productId": "0x$P"})", values("p", "c52b"));
  CHECK(stick.selector.vendor_id == 0x046d);
  CHECK(stick.selector.product_id == 0xc52b);
  CHECK(stick.text == R"({"type":"usb","vendorId":"046d","productId":"0xc52b"})");
  CHECK(parse_json_template(R"({"type": "usb", "bus": 3, "device": 5})", {}).selector.device_node ==
        "/dev/bus/usb/003/005");
  CHECK(parse_json_template(R"({"type": "pci", "address": "01:00.0"})", {}).selector.address == "0000:01:00.0");
  for (const char* wrong :
       {"[]", "{}", R"({"type": "usb"})", R"({"type": "usb", "vendorId": "046d"})",
        R"({"type": "pci", "address": "x"})", R"({"type": "pci", "address": "01:00.0", "bus": 1})",
        R"({"type": "usb", "bus": 3, "device": 5, "rom": "x"})", R"({"type": "usb", "bus": [3], "device": 5})",
        R"({"type": "usb", "bus": 3, "device": 500})", R"({"type": "usb", "bus": 3, "device": 5, "shoe": 1})",
        R"({"type": "$T"})"}) {
    INFO(wrong);
    CHECK_THROWS_AS(parse_json_template(wrong, {}), qemuctl::Error);
  }
}

TEST_CASE("a value becomes the text of an attribute and nothing else") {
  const std::string xml = usb("<vendor id='1'/><product id='$P'/>");
  CHECK_THAT(refusal(xml, values("p", "1'/><rom file='x")), ContainsSubstring("not a number"));
  const TemplateDevice rom = parse_xml_template(
      "<hostdev type='pci'><source><address bus='1' slot='0' function='0'/><rom file='$F'/></source></hostdev>",
      values("f", R"(a"><b c="&d)"));
  CHECK(rom.rom_file == R"(a"><b c="&d)");
  CHECK_THAT(rom.text, ContainsSubstring(R"(file="a&quot;&gt;&lt;b c=&quot;&amp;d")") ||
                           ContainsSubstring(R"(file="a&quot;><b c=&quot;&amp;d")") ||
                           ContainsSubstring(R"(file="a&quot;>&lt;b c=&quot;&amp;d")"));
  CHECK(parse_xml_template(rom.text, {}).rom_file == rom.rom_file);
  // What is no variable stays, and a value is not looked at again.
  CHECK_THAT(refusal(usb("<vendor id='$x'/><product id='1'/>")), ContainsSubstring("\"$x\""));
  CHECK_THAT(refusal(xml, values("p", "$P")), ContainsSubstring("\"$P\""));
  CHECK_THAT(refusal("<hostdev type='usb'><source>$TEXT<vendor id='$A'/></source></hostdev>"),
             ContainsSubstring("$A has no value"));
  CHECK_THAT(refusal(xml, values("p", std::string(5'000, '1'))), ContainsSubstring("4096 bytes"));
}

TEST_CASE("an invalid template is refused with the reason") {
  CHECK_THAT(refusal(""), ContainsSubstring("not valid XML"));
  CHECK_THAT(refusal("<hostdev"), ContainsSubstring("not valid XML"));
  CHECK_THAT(refusal("<disk/>"), ContainsSubstring("<disk>"));
  CHECK_THAT(refusal("<hostdev type='usb'/>"), ContainsSubstring("no <source>"));
  CHECK_THAT(refusal("<hostdev><source/></hostdev>"), ContainsSubstring("\"type\""));
  CHECK_THAT(refusal("<hostdev type='scsi'><source/></hostdev>"), ContainsSubstring("\"scsi\""));
  CHECK_THAT(refusal("<hostdev mode='capabilities' type='usb'><source/></hostdev>"), ContainsSubstring("capabilities"));
  CHECK_THAT(refusal(usb("")), ContainsSubstring("names no device"));
  CHECK_THAT(refusal(usb("<vendor id='1'/>")), ContainsSubstring("<product>"));
  CHECK_THAT(refusal(usb("<vendor id='0x10000'/><product id='1'/>")), ContainsSubstring("0xffff"));
  CHECK_THAT(refusal(usb("<vendor id='1'/><vendor id='2'/><product id='1'/>")), ContainsSubstring("more than one"));
  CHECK_THAT(refusal(usb("<address bus='1' device='1'/><script/>")), ContainsSubstring("<script>"));
  CHECK_THAT(refusal("<hostdev type='pci'><source><address bus='0' slot='32' function='0'/></source></hostdev>"),
             ContainsSubstring("slot"));
}

TEST_CASE("entities, deep nesting and size cannot exhaust the parser") {
  std::string bomb = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\">";
  for (char c = 'b'; c < 'z'; ++c)
    bomb += std::string("<!ENTITY ") + c + " \"&" + static_cast<char>(c - 1) + ";&" + static_cast<char>(c - 1) + ";\">";
  CHECK_THAT(refusal(bomb + "]>" + usb("<vendor id='&y;'/><product id='1'/>")), ContainsSubstring("&y;"));
  CHECK_THAT(refusal("<!DOCTYPE x SYSTEM 'file:///etc/passwd'>" + usb("<vendor id='&x;'/><product id='1'/>")),
             ContainsSubstring("&x;"));
  std::string deep;
  for (int i = 0; i < 10'000; ++i) deep += "<a>";
  CHECK_THAT(refusal(deep), ContainsSubstring("not valid XML"));
  CHECK_THAT(refusal(std::string(100'000, '<')), ContainsSubstring("65536"));
}

TEST_CASE("a value has to be text, and is used exactly as it was given") {
  const std::string json = R"({"type": "pci", "address": "01:00.0", "rom": "$A"})";
  const auto with = [&](const std::string& value) {
    TemplateValues values;
    values.emplace_back("a", value);
    return parse_json_template(json, values).rom_file;
  };
  CHECK(with("/r\u00f6m") == "/r\u00f6m");
  for (const std::string& value : {std::string("/\xff"), std::string("/a\0b", 4), std::string("/\xc3")})
    CHECK_THROWS_WITH(with(value), ContainsSubstring("the value of $A is not valid UTF-8 text"));
}

TEST_CASE("templates are files in a folder, with plain names") {
  const test::TempDir dir;
  const std::filesystem::path folder = dir / "devices";
  std::filesystem::create_directory(folder);
  std::ofstream(folder / "stick.xml") << usb("<vendor id='1'/><product id='2'/>");
  std::ofstream(folder / "card.json") << R"({"type": "pci", "address": "01:00.0"})";
  std::ofstream(dir / "outside.xml") << usb("<vendor id='1'/><product id='2'/>");
  CHECK(load_template(folder, "stick", {}).kind == DeviceKind::usb);
  CHECK(load_template(folder, "card", {}).kind == DeviceKind::pci);
  for (const std::string& name :
       {std::string("nope"), std::string("../outside"), std::string("..") + "/devices/stick", std::string(),
        std::string("stick.xml"), std::string("stick\0x", 7), std::string(300, 'a')}) {
    INFO(name);
    try {
      load_template(folder, name, {});
      FAIL_CHECK("found");
    } catch (const qemuctl::Error& error) {
      CHECK(error.code() == qemuctl::errc::not_found);
      CHECK_THAT(error.diagnostics().detail, ContainsSubstring("not found"));
    }
  }
  // Without a folder it is not that of the process.
  struct Elsewhere {
    explicit Elsewhere(const std::filesystem::path& there) { std::filesystem::current_path(there); }
    ~Elsewhere() { std::filesystem::current_path(before); }
    std::filesystem::path before = std::filesystem::current_path();
  } const elsewhere(folder);
  CHECK_THROWS_WITH(load_template({}, "stick", {}), ContainsSubstring("devicesDir is not set"));
}
