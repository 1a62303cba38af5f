// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "vm_usb.hpp"

#include "pci_port.hpp"
#include "qom.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/file_descriptor.hpp>

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <string_view>
#include <system_error>
#include <utility>

namespace hotplug::detail {

using qemuctl::Diagnostics;
using qemuctl::errc;
using qemuctl::Error;
using qemuctl::Instance;
using qemuctl::Json;

namespace {

constexpr double high_speed = 480;

struct KnownController {
  std::string_view type;
  UsbController::Kind kind;
  int ports; ///< 0: properties tell
};
/// QEMU's controllers with a bus of their own (companions share the bus of their EHCI).
constexpr std::array known_controllers{
    KnownController{"qemu-xhci", UsbController::Kind::xhci, 0},
    KnownController{"nec-usb-xhci", UsbController::Kind::xhci, 0},
    KnownController{"usb-ehci", UsbController::Kind::ehci, 6},
    KnownController{"ich9-usb-ehci1", UsbController::Kind::ehci, 6},
    KnownController{"ich9-usb-ehci2", UsbController::Kind::ehci, 6},
    KnownController{"piix3-usb-uhci", UsbController::Kind::uhci, 2},
    KnownController{"piix4-usb-uhci", UsbController::Kind::uhci, 2},
    KnownController{"vt82c686b-usb-uhci", UsbController::Kind::uhci, 2},
    KnownController{"pci-ohci", UsbController::Kind::ohci, 3},
};

const KnownController* known_controller(std::string_view type) {
  const auto* found = std::find_if(known_controllers.begin(), known_controllers.end(),
                                   [&](const KnownController& known) { return known.type == type; });
  return found == known_controllers.end() ? nullptr : found;
}

/// Whether QEMU's error says that the port is occupied.
bool port_in_use(const Error& error) {
  const std::string& text = error.diagnostics().server_text;
  return error.code() == errc::command_failed && text.find("usb port") != std::string::npos &&
         text.find("not found") != std::string::npos;
}

[[noreturn]] void no_port(const Instance& vm, const VmUsb& usb) {
  Diagnostics diagnostics;
  diagnostics.operation = "attach a USB device";
  diagnostics.subject = "VM " + vm.name();
  diagnostics.detail = usb.controllers.empty() ? "it has no USB controller, and none can be added while it runs"
                                               : "all ports of its USB controllers that suit the device are taken, and "
                                                 "no controller can be added while it runs";
  diagnostics.advice =
      "Start QEMU with -device qemu-xhci,p2=15,p3=15, or with an empty -device pcie-root-port for one.";
  throw Error(errc::not_supported, std::move(diagnostics));
}

/// Adds an xHCI controller, if the machine can take a PCI device while running.
asio::awaitable<void> add_controller(Instance& vm, VmUsb& usb, std::string id) {
  Json properties;
  properties.set("driver", "qemu-xhci");
  properties.set("id", id);
  properties.set("p2", 15);
  properties.set("p3", 15);
  try {
    co_await add_to_pci_port(vm, std::move(properties), {}, std::chrono::seconds(10));
  } catch (const Error& error) {
    if (error.code() != errc::command_failed && error.code() != errc::not_supported) throw;
    co_return;
  }
  const std::optional<UsbController> controller =
      co_await look_at_usb_controller(vm, "/machine/peripheral/" + id, "qemu-xhci");
  if (controller) usb.controllers.push_back(*controller);
}

/// Opens the node for QEMU and passes the descriptor. Returns the number of its set, which must be removed afterwards.
asio::awaitable<std::int64_t> add_descriptor(Instance& vm, std::string node) {
  qemuctl::ExecuteOptions options;
  qemuctl::FileDescriptor fd(::open(node.c_str(), O_RDWR | O_CLOEXEC));
  if (!fd) {
    Diagnostics diagnostics;
    diagnostics.operation = "open a USB device";
    diagnostics.subject = node;
    diagnostics.detail = std::generic_category().message(errno);
    throw Error(std::error_code(errno, std::generic_category()), std::move(diagnostics));
  }
  options.file_descriptors.push_back(std::move(fd));
  const Json set = co_await vm.execute("add-fd", Json(), std::move(options));
  co_return set.at("fdset-id").as_int();
}

asio::awaitable<void> remove_descriptor(Instance& vm, std::int64_t set) {
  Json arguments;
  arguments.set("fdset-id", set);
  co_await vm.execute("remove-fd", std::move(arguments));
}

/// The properties for `device_add`, without bus and port.
Json qdev_properties(const UsbAttachRequest& request, std::optional<std::int64_t> descriptor_set) {
  Json properties;
  properties.set("driver", "usb-host");
  properties.set("id", request.id);
  if (descriptor_set) {
    properties.set("hostdevice", fmt::format("/dev/fdset/{}", *descriptor_set));
  } else {
    properties.set("hostbus", request.device.bus);
    properties.set("hostaddr", request.device.address);
  }
  if (request.guest_reset) properties.set("guest-reset", *request.guest_reset);
  if (request.guest_resets_all) properties.set("guest-resets-all", *request.guest_resets_all);
  return properties;
}

/// Tries one free port after the other: whether a port is free, QEMU knows best.
asio::awaitable<void> add_to_free_port(Instance& vm, VmUsb& usb, Json properties, double speed, std::string id) {
  bool extended = false;
  for (;;) {
    std::optional<UsbPort> port = choose_port(usb.controllers, speed);
    if (!port && !std::exchange(extended, true)) {
      co_await add_controller(vm, usb, id + "-xhci");
      port = choose_port(usb.controllers, speed);
    }
    if (!port) no_port(vm, usb);
    usb.take(id, *port);
    properties.set("bus", port->bus);
    properties.set("port", std::to_string(port->number));
    try {
      co_await vm.device_add(properties);
      co_return;
    } catch (const Error& error) {
      if (!port_in_use(error)) {
        usb.release(id);
        throw;
      }
    }
  }
}

UsbController* controller_of(VmUsb& usb, const std::string& bus) {
  const auto found = std::find_if(usb.controllers.begin(), usb.controllers.end(),
                                  [&](const UsbController& each) { return each.bus == bus; });
  return found == usb.controllers.end() ? nullptr : &*found;
}

} // namespace

void VmUsb::take(const std::string& id, const UsbPort& port) {
  if (UsbController* controller = controller_of(*this, port.bus)) controller->taken.insert(port.number);
  ports[id] = port;
}

void VmUsb::release(const std::string& id) {
  const auto found = ports.find(id);
  if (found == ports.end()) return;
  if (UsbController* controller = controller_of(*this, found->second.bus))
    controller->taken.erase(found->second.number);
  ports.erase(found);
}

std::optional<UsbPort> choose_port(const std::vector<UsbController>& controllers, double speed) {
  using Kind = UsbController::Kind;
  // Best first; controllers slower than the device come last.
  const std::vector<Kind> order = speed > 0 && speed < high_speed ? std::vector{Kind::xhci, Kind::uhci, Kind::ohci}
                                                                  : std::vector{Kind::xhci, Kind::ehci, Kind::uhci};
  for (const Kind kind : order)
    for (const UsbController& controller : controllers) {
      if (controller.kind != kind) continue;
      const int ports = speed > high_speed && controller.usb3_ports > 0 ? controller.usb3_ports : controller.usb2_ports;
      // From the end, because QEMU fills a bus from the beginning.
      for (int port = ports; port > 0; --port)
        if (!controller.taken.contains(port)) return UsbPort{controller.bus, port};
    }
  return std::nullopt;
}

asio::awaitable<std::optional<UsbController>> look_at_usb_controller(Instance& vm, std::string path, std::string type) {
  const KnownController* known = known_controller(type);
  if (!known) co_return std::nullopt;
  UsbController controller;
  controller.kind = known->kind;
  controller.usb2_ports = known->ports;
  if (known->kind == UsbController::Kind::xhci) {
    controller.usb2_ports = co_await qom_number(vm, path, "p2");
    controller.usb3_ports = co_await qom_number(vm, path, "p3");
  }
  const std::vector<QomChild> parts = co_await qom_children(vm, path);
  for (const QomChild& part : parts)
    if (part.type == "usb-bus") controller.bus = part.name;
  if (controller.bus.empty()) co_return std::nullopt;
  co_return controller;
}

asio::awaitable<Qdev> look_at_usb_device(Instance& vm, std::string path, std::string id) {
  Qdev device;
  device.id = std::move(id);
  const Json attached = co_await qom_property(vm, path, "attached");
  device.attached = attached == Json(true);
  const std::optional<UsbAddress> named = address_in(device.id);
  device.ours = named.has_value();
  if (named) {
    device.host = host_key(*named);
  } else {
    UsbAddress host;
    host.bus = co_await qom_number(vm, path, "hostbus");
    host.number = co_await qom_number(vm, path, "hostaddr");
    if (host.bus > 0 && host.number > 0) device.host = host_key(host);
  }
  co_return device;
}

asio::awaitable<std::optional<UsbPort>> look_at_usb_port(Instance& vm, std::string path) {
  UsbPort port;
  const std::string digits = co_await qom_text(vm, path, "port");
  const std::string bus = co_await qom_text(vm, path, "parent_bus");
  if (std::from_chars(digits.data(), digits.data() + digits.size(), port.number).ec != std::errc())
    co_return std::nullopt;
  port.bus = bus.substr(bus.rfind('/') + 1);
  co_return port;
}

asio::awaitable<void> attach_usb(Instance& vm, VmUsb& usb, UsbAttachRequest request) {
  std::optional<std::int64_t> set;
  if (request.pass_descriptor) set = co_await add_descriptor(vm, request.device.device_node);
  Json properties = qdev_properties(request, set);
  std::exception_ptr failure;
  try {
    co_await add_to_free_port(vm, usb, std::move(properties), request.device.speed, request.id);
  } catch (const Error&) {
    failure = std::current_exception();
  }
  // By now QEMU has its own copy of the descriptor, or never will.
  if (set) co_await remove_descriptor(vm, *set);
  if (failure) std::rethrow_exception(failure);

  const Json attached = co_await qom_property(vm, "/machine/peripheral/" + request.id, "attached");
  if (attached == Json(true)) co_return;

  // Accepted but not bound: a device in reset, or one that QEMU cannot open.
  const bool deleted = co_await delete_qdev(vm, request.id, std::chrono::seconds(5));
  Diagnostics diagnostics;
  diagnostics.operation = "attach a USB device";
  diagnostics.subject = "VM " + vm.name();
  diagnostics.command = "device_add";
  diagnostics.detail = fmt::format("QEMU took {}, but is not bound to it", request.device.device_node);
  if (deleted) {
    usb.release(request.id);
    throw Error(errc::command_failed, std::move(diagnostics));
  }
  diagnostics.detail += ", and does not delete it";
  throw Error(errc::timed_out, std::move(diagnostics));
}

} // namespace hotplug::detail
