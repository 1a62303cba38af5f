// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "device_template.hpp"

#include "text_file.hpp"
#include "utf8.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/json.hpp>

#include <fmt/format.h>
#include <pugixml.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <system_error>

namespace hotplug::detail {

using qemuctl::errc;
using qemuctl::Json;

namespace {

constexpr const char* operation = "read the template of a device";
constexpr std::size_t max_file_size = 64 << 10, max_value = 4096;

[[noreturn]] void refuse(std::string detail) {
  qemuctl::Diagnostics diagnostics;
  diagnostics.operation = operation;
  diagnostics.detail = std::move(detail);
  throw qemuctl::Error(errc::invalid_argument, std::move(diagnostics));
}

std::string in_quotes(std::string_view text) {
  return Json(text.substr(0, 100)).dump();
}

bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

char upper(char c) {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

/// Valid UTF-8 without NUL. Anything else would be shown, and named to QEMU, as something else than it is.
bool is_text(std::string_view value) {
  while (!value.empty()) {
    const std::size_t length = value[0] == '\0' ? 0 : qemuctl::detail::utf8_length(value);
    if (length == 0) return false;
    value.remove_prefix(length);
  }
  return true;
}

/// The value of the variable of that name, which is in upper case.
const std::string& value_of(std::string_view name, const TemplateValues& values) {
  const auto found =
      std::ranges::find_if(values, [&](const auto& entry) { return std::ranges::equal(entry.first, name, {}, upper); });
  if (found == values.end()) refuse(fmt::format("the variable ${} has no value", name));
  if (found->second.size() > max_value) refuse(fmt::format("the value of ${} has more than {} bytes", name, max_value));
  if (!is_text(found->second)) refuse(fmt::format("the value of ${} is not valid UTF-8 text", name));
  return found->second;
}

std::string with_values(std::string_view text, const TemplateValues& values) {
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i + 1;
    if (text[i] == '$' && end < text.size() && is_upper(text[end]))
      while (end < text.size() && (is_upper(text[end]) || is_digit(text[end]) || text[end] == '_')) ++end;
    if (end == i + 1)
      result += text[i];
    else
      result += value_of(text.substr(i + 1, end - i - 1), values);
    i = end;
    if (result.size() > max_file_size) refuse("a value gets too long");
  }
  return result;
}

/// "0x10", "16" and, where there is no other way to write it, "10".
int number(std::string_view text, std::string_view what, int most, bool hexadecimal = false) {
  std::string_view digits = text;
  int base = hexadecimal ? 16 : 10;
  if (digits.starts_with("0x") || digits.starts_with("0X")) {
    digits.remove_prefix(2);
    base = 16;
  }
  std::uint32_t value = 0;
  const auto [rest, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  const bool good = error == std::errc() && rest == digits.data() + digits.size() && !digits.empty() &&
                    value <= static_cast<std::uint32_t>(most);
  if (!good) refuse(fmt::format("{}: {} is not a number from 0 to {:#x}", what, in_quotes(text), most));
  return static_cast<int>(value);
}

void check_has(const pugi::xml_node& node, std::initializer_list<std::string_view> known) {
  for (const pugi::xml_attribute& attribute : node.attributes())
    if (std::ranges::find(known, std::string_view(attribute.name())) == known.end())
      refuse(fmt::format("<{}> has the unknown attribute {}", node.name(), in_quotes(attribute.name())));
}

std::string_view required(const pugi::xml_node& node, const char* name) {
  const pugi::xml_attribute attribute = node.attribute(name);
  if (!attribute) refuse(fmt::format("<{}> has no attribute \"{}\"", node.name(), name));
  return attribute.value();
}

/// An element that there may be once.
pugi::xml_node only(const pugi::xml_node& parent, const char* name) {
  const pugi::xml_node child = parent.child(name);
  if (child && child.next_sibling(name)) refuse(fmt::format("<{}> has more than one <{}>", parent.name(), name));
  return child;
}

void read_usb(const pugi::xml_node& source, TemplateDevice& device) {
  const pugi::xml_node vendor = only(source, "vendor"), product = only(source, "product"),
                       address = only(source, "address");
  if (vendor.empty() != product.empty()) refuse("a USB device is named by <vendor> and <product>, or by <address>");
  if (vendor.empty() && address.empty()) refuse("<source> names no device: <vendor> and <product>, or <address>");
  if (vendor) {
    check_has(vendor, {"id"});
    check_has(product, {"id"});
    device.selector.vendor_id = number(required(vendor, "id"), "vendor", 0xffff);
    device.selector.product_id = number(required(product, "id"), "product", 0xffff);
  }
  if (!address) return;
  check_has(address, {"bus", "device"});
  const int bus = number(required(address, "bus"), "bus", 999);
  device.selector.device_node =
      fmt::format("/dev/bus/usb/{:03}/{:03}", bus, number(required(address, "device"), "device", 127));
}

std::string pci_address(int domain, int bus, int slot, int function) {
  return fmt::format("{:04x}:{:02x}:{:02x}.{:x}", domain, bus, slot, function);
}

void read_pci(const pugi::xml_node& hostdev, const pugi::xml_node& source, TemplateDevice& device) {
  const pugi::xml_node address = only(source, "address");
  if (!address) refuse("<source> names no device: <address domain=... bus=... slot=... function=...>");
  check_has(address, {"domain", "bus", "slot", "function", "type"});
  const int domain = address.attribute("domain") ? number(required(address, "domain"), "domain", 0xffff) : 0;
  device.selector.address = pci_address(domain, number(required(address, "bus"), "bus", 0xff),
                                        number(required(address, "slot"), "slot", 0x1f),
                                        number(required(address, "function"), "function", 7));
  const pugi::xml_node inner = only(source, "rom"), outer = only(hostdev, "rom");
  if (inner && outer) refuse("there are two <rom>");
  const pugi::xml_node rom = inner ? inner : outer;
  if (!rom) return;
  check_has(rom, {"file"});
  device.rom_file = required(rom, "file");
}

void check_children(const pugi::xml_node& node, std::initializer_list<std::string_view> known) {
  for (const pugi::xml_node& child : node.children())
    if (child.type() == pugi::node_element && std::ranges::find(known, std::string_view(child.name())) == known.end())
      refuse(
          fmt::format("<{}> has the unknown element <{}>", node.name(), std::string_view(child.name()).substr(0, 100)));
}

void replace_in(pugi::xml_node node, const TemplateValues& values) {
  for (pugi::xml_attribute attribute : node.attributes())
    attribute.set_value(with_values(attribute.value(), values).c_str());
}

struct Writer : pugi::xml_writer {
  void write(const void* data, std::size_t size) override { text.append(static_cast<const char*>(data), size); }
  std::string text;
};

/// The text of a member, with its values; empty: it is not there.
std::string member(const Json& json, std::string_view name, const TemplateValues& values) {
  const Json* found = json.find(name);
  if (!found) return {};
  if (found->is_integer()) return found->dump();
  if (!found->is_string()) refuse(fmt::format("{} has to be text or a number", name));
  return with_values(found->as_string(), values);
}

} // namespace

TemplateDevice parse_xml_template(std::string_view xml, const TemplateValues& values) {
  if (xml.size() > max_file_size) refuse(fmt::format("it has more than {} bytes", max_file_size));
  // A document's own entities are not expanded, so nothing can grow.
  pugi::xml_document document;
  const pugi::xml_parse_result result =
      document.load_buffer(xml.data(), xml.size(), pugi::parse_default | pugi::parse_ws_pcdata, pugi::encoding_utf8);
  if (!result) refuse(fmt::format("it is not valid XML: {} (byte {})", result.description(), result.offset));
  const pugi::xml_node hostdev = document.document_element();
  if (std::string_view(hostdev.name()) != "hostdev")
    refuse(fmt::format("<{}> is not a <hostdev>", std::string_view(hostdev.name()).substr(0, 100)));
  if (only(document, "hostdev").empty()) refuse("there is no <hostdev>");
  const pugi::xml_node source = only(hostdev, "source");
  if (!source) refuse("<hostdev> has no <source>");
  replace_in(hostdev, values);
  for (const pugi::xml_node& child : hostdev.children()) replace_in(child, values);
  for (const pugi::xml_node& child : source.children()) replace_in(child, values);

  TemplateDevice device;
  check_has(hostdev, {"mode", "type", "managed"});
  const std::string_view mode = hostdev.attribute("mode").as_string("subsystem");
  if (mode != "subsystem") refuse(fmt::format("the mode {} is not \"subsystem\"", in_quotes(mode)));
  const std::string_view type = required(hostdev, "type");
  check_children(hostdev, {"source", "rom"});
  if (type == "usb") {
    check_children(source, {"vendor", "product", "address"});
    read_usb(source, device);
  } else if (type == "pci") {
    device.kind = DeviceKind::pci;
    check_children(source, {"address", "rom"});
    read_pci(hostdev, source, device);
  } else {
    refuse(fmt::format("the type {} is neither \"usb\" nor \"pci\"", in_quotes(type)));
  }
  Writer writer;
  hostdev.print(writer, "", pugi::format_raw | pugi::format_no_declaration, pugi::encoding_utf8);
  device.text = std::move(writer.text);
  return device;
}

TemplateDevice parse_json_template(std::string_view text, const TemplateValues& values) {
  if (text.size() > max_file_size) refuse(fmt::format("it has more than {} bytes", max_file_size));
  qemuctl::JsonParseOptions how;
  how.max_depth = 4;
  how.refuse_duplicate_keys = true;
  how.source = "template";
  const Json json = qemuctl::parse_json(text, how);
  if (!json.is_object()) refuse("it is not a JSON object");
  for (const auto& [key, value] : json.as_object())
    if (key != "type" && key != "vendorId" && key != "productId" && key != "bus" && key != "device" &&
        key != "address" && key != "rom" && key != "managed")
      refuse(fmt::format("unknown member {}", in_quotes(key)));
  TemplateDevice device;
  const std::string type = member(json, "type", values);
  const std::string vendor = member(json, "vendorId", values), product = member(json, "productId", values);
  const std::string bus = member(json, "bus", values), address = member(json, "device", values);
  const std::string pci = member(json, "address", values);
  device.rom_file = member(json, "rom", values);
  Json shown = json;
  for (auto& [key, value] : shown.as_object())
    if (value.is_string()) value = with_values(value.as_string(), values);
  device.text = shown.dump();
  if (type == "pci") {
    device.kind = DeviceKind::pci;
    if (!vendor.empty() || !product.empty() || !bus.empty() || !address.empty())
      refuse("a PCI device is named by its address");
    std::string whole = pci.size() == std::string_view("01:00.0").size() ? "0000:" + pci : pci;
    if (!is_pci_address(whole)) refuse(fmt::format("{} is not an address such as \"0000:01:00.0\"", in_quotes(pci)));
    device.selector.address = std::move(whole);
    return device;
  }
  if (type != "usb") refuse(fmt::format("the type {} is neither \"usb\" nor \"pci\"", in_quotes(type)));
  if (!pci.empty() || !device.rom_file.empty()) refuse("a USB device has neither a PCI address nor a ROM");
  if (vendor.empty() != product.empty() || bus.empty() != address.empty() || (vendor.empty() && bus.empty()))
    refuse("a USB device is named by vendorId and productId, or by bus and device");
  if (!vendor.empty()) {
    device.selector.vendor_id = number(vendor, "vendorId", 0xffff, true);
    device.selector.product_id = number(product, "productId", 0xffff, true);
  }
  if (!bus.empty())
    device.selector.device_node =
        fmt::format("/dev/bus/usb/{:03}/{:03}", number(bus, "bus", 999), number(address, "device", 127));
  return device;
}

bool is_template_name(std::string_view name) {
  constexpr std::size_t longest = 100;
  return !name.empty() && name.size() <= longest && name[0] != '.' && std::ranges::all_of(name, [](char c) {
    return is_upper(upper(c)) || is_digit(c) || c == '-' || c == '_' || c == '.';
  });
}

TemplateDevice load_template(const std::filesystem::path& folder, std::string_view name, const TemplateValues& values) {
  const std::filesystem::path xml = folder / (std::string(name) + ".xml");
  const std::filesystem::path json = folder / (std::string(name) + ".json");
  const bool possible = !folder.empty() && is_template_name(name);
  std::error_code ignored;
  const bool has_xml = possible && std::filesystem::is_regular_file(xml, ignored);
  const bool has_json = possible && !has_xml && std::filesystem::is_regular_file(json, ignored);
  if (!has_xml && !has_json) {
    qemuctl::Diagnostics diagnostics;
    diagnostics.operation = operation;
    diagnostics.detail =
        folder.empty() ? "there are no templates: general.rest.devicesDir is not set" : xml.string() + " not found";
    throw qemuctl::Error(errc::not_found, std::move(diagnostics));
  }
  const std::string text = qemuctl::detail::read_text_file(has_xml ? xml : json, max_file_size, operation);
  return has_xml ? parse_xml_template(text, values) : parse_json_template(text, values);
}

} // namespace hotplug::detail
