// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "fake_qemu.hpp"

#include "golden.hpp"

#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace test {

using qemuctl::Json;

namespace {

constexpr std::string_view greeting =
    R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "fake"}, "capabilities": ["oob"]}})"
    "\r\n";
constexpr const char* peripheral = "/machine/peripheral";
constexpr const char* controller = "/machine/peripheral/xhci";
constexpr int ports = 15;

/// A QEMU error reply, as an exception within the server.
struct Refused {
  std::string qmp_class, text;
};

void send(int client, std::string text) {
  text += "\r\n";
  // A client that has gone is noticed when reading from it.
  static_cast<void>(::send(client, text.data(), text.size(), MSG_NOSIGNAL));
}

std::string deleted_event(const std::string& id) {
  Json event;
  event.set("timestamp", Json::object({{"seconds", 1'700'000'000}, {"microseconds", 0}}));
  event.set("event", "DEVICE_DELETED");
  event.set("data", Json::object({{"path", std::string(peripheral) + "/" + id}, {"device", id}}));
  return event.dump();
}

Json child(const std::string& name, const std::string& type) {
  return Json::object({{"name", name}, {"type", "child<" + type + ">"}});
}

} // namespace

FakeQemu::FakeQemu(const std::filesystem::path& socket, Decide decide) : path_(socket), decide_(std::move(decide)) {
  listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.native().size() >= sizeof address.sun_path) throw std::runtime_error("the path of a socket is too long");
  std::strcpy(address.sun_path, path_.c_str());
  listen_on(reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

FakeQemu::FakeQemu(int tcp_port, Decide decide) : decide_(std::move(decide)) {
  listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(tcp_port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  listen_on(reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

void FakeQemu::listen_on(const sockaddr* address, socklen_t size) {
  screen_ = read_file(source_dir() / "tests/data/qemu/screen.png");
  stop_.reset(eventfd(0, EFD_CLOEXEC));
  if (!stop_ || !listener_ || bind(listener_.get(), address, size) != 0 ||
      listen(listener_.get(), 1) != 0) // the backlog QEMU uses
    throw std::system_error(errno, std::generic_category(), "listen for monitors");
  thread_ = std::thread([this] { serve(); });
}

FakeQemu::~FakeQemu() {
  eventfd_write(stop_.get(), 1);
  thread_.join();
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
}

std::vector<FakeQemu::Command> FakeQemu::additions() const {
  const std::lock_guard lock(mutex_);
  return additions_;
}

std::map<std::string, Json> FakeQemu::devices() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, Json> result;
  for (const auto& [id, device] : devices_) result.emplace(id, device.properties);
  return result;
}

int FakeQemu::count(std::string_view command) const {
  const std::lock_guard lock(mutex_);
  const auto found = counts_.find(command);
  return found == counts_.end() ? 0 : found->second;
}

void FakeQemu::have(const std::string& id, Json properties) {
  const std::lock_guard lock(mutex_);
  devices_.emplace(id, Device{std::move(properties), true});
}

void FakeQemu::lose_child(const std::string& id) {
  const std::lock_guard lock(mutex_);
  Json event = qemuctl::parse_json(deleted_event(id));
  event.set("data", Json::object({{"path", std::string(peripheral) + "/" + id + "/virtio-backend"}}));
  if (client_ >= 0) send(client_, event.dump());
}

void FakeQemu::show(std::string picture) {
  const std::lock_guard lock(mutex_);
  screen_ = std::move(picture);
}

void FakeQemu::lose(const std::string& id) {
  const std::lock_guard lock(mutex_);
  devices_.erase(id);
  if (client_ >= 0) send(client_, deleted_event(id));
}

bool FakeQemu::wait_for(int fd) const {
  pollfd watched[] = {{fd, POLLIN | POLLRDHUP, 0}, {stop_.get(), POLLIN, 0}};
  while (poll(watched, 2, -1) < 0 && errno == EINTR) {
  }
  return watched[1].revents == 0;
}

void FakeQemu::serve() {
  while (wait_for(listener_.get())) {
    const qemuctl::FileDescriptor client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client) continue;
    {
      const std::lock_guard lock(mutex_);
      client_ = client.get();
    }
    serve_client(client.get());
    const std::lock_guard lock(mutex_);
    client_ = -1;
  }
}

ssize_t FakeQemu::receive(int client, char* bytes, std::size_t size) {
  iovec part{bytes, size};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t received = recvmsg(client, &message, MSG_CMSG_CLOEXEC);
  if (received < 0) return received;
  const cmsghdr* with = CMSG_FIRSTHDR(&message);
  int fd = -1;
  if (with && with->cmsg_type == SCM_RIGHTS) std::memcpy(&fd, CMSG_DATA(with), sizeof fd);
  if (fd >= 0) passed_.reset(fd);
  return received;
}

void FakeQemu::serve_client(int client) {
  static_cast<void>(::send(client, greeting.data(), greeting.size(), MSG_NOSIGNAL));
  std::string text;
  while (wait_for(client)) {
    char bytes[4096];
    const auto received = receive(client, bytes, sizeof bytes);
    if (received <= 0) return;
    Command command;
    command.when = std::chrono::steady_clock::now();
    text.append(bytes, static_cast<std::size_t>(received));
    for (auto end = text.find('\n'); end != text.npos; end = text.find('\n')) {
      const Json json = qemuctl::parse_json(std::string_view(text).substr(0, end));
      text.erase(0, end + 1);
      command.name = json.at("execute").as_string();
      const Json* arguments = json.find("arguments");
      command.arguments = arguments ? *arguments : Json();
      {
        const std::lock_guard lock(mutex_);
        command.count = ++counts_[command.name];
        if (command.name == "device_add") additions_.push_back(command);
      }
      const Json* id = json.find("id");
      if (!execute(client, command, id ? *id : Json())) return;
    }
  }
}

bool FakeQemu::execute(int client, const Command& command, const Json& id) {
  const Fate fate = decide_ ? decide_(command) : Fate::done;
  if (fate == Fate::cut) return false;
  if (fate == Fate::ignored) {
    pollfd watched[] = {{client, POLLRDHUP, 0}, {stop_.get(), POLLIN, 0}};
    while (poll(watched, 2, -1) < 0 && errno == EINTR) {
    }
    return false;
  }
  Json reply;
  std::string deleted;
  try {
    const std::lock_guard lock(mutex_);
    reply.set("return", answer(command, fate, deleted));
  } catch (const Refused& refused) {
    reply.set("error", Json::object({{"class", refused.qmp_class}, {"desc", refused.text}}));
  }
  if (fate == Fate::done_lost) return false;
  reply.set("id", id);
  send(client, reply.dump());
  if (!deleted.empty()) send(client, deleted_event(deleted)); // after the reply, as QEMU does
  return true;
}

Json FakeQemu::children(const std::string& path) const {
  Json list = Json::array();
  if (path == peripheral) {
    list.push_back(child("xhci", "qemu-xhci"));
    for (const auto& [id, device] : devices_) list.push_back(child(id, device.properties.at("driver").as_string()));
  } else if (path == controller) {
    list.push_back(child("xhci.0", "usb-bus"));
  } else if (const std::string port = path.substr(path.rfind('/') + 1);
             devices_.contains(port) && path.ends_with("/" + port + "/" + port)) { // the bus of a port
    for (const auto& [id, device] : devices_)
      if (device.properties.contains("bus") && device.properties.at("bus") == Json(port) &&
          !device.properties.contains("unseen"))
        list.push_back(child("child[0]", "link<device>"));
  } else if (path != "/machine/peripheral-anon" && path != "/machine/unattached") {
    throw Refused{"DeviceNotFound", "Device '" + path + "' not found"};
  }
  return list;
}

std::optional<Json> FakeQemu::property(const std::string& path, const std::string& name) const {
  if (path == controller && (name == "p2" || name == "p3")) return Json(ports);
  const auto found = devices_.find(path.substr(path.rfind('/') + 1));
  if (found == devices_.end()) return std::nullopt;
  const Device& device = found->second;
  if (name == "attached") return Json(device.bound);
  if (name == "parent_bus" && device.properties.contains("bus"))
    return Json(std::string(controller) + "/" + device.properties.at("bus").as_string());
  const Json* value = device.properties.find(name);
  return value ? std::optional(*value) : std::nullopt;
}

Json FakeQemu::answer(const Command& command, Fate fate, std::string& deleted) {
  const Json& arguments = command.arguments;
  if (command.name == "qmp_capabilities") return Json::object();
  if (command.name == "query-status") return Json::object({{"status", "running"}, {"running", true}});
  for (const char* power : {"stop", "cont", "system_powerdown", "system_reset", "send-key"})
    if (command.name == power) return Json::object();
  if (command.name == "add-fd") return Json::object({{"fdset-id", 1}, {"fd", 9}});
  if (command.name == "remove-fd") {
    passed_.reset();
    return Json::object();
  }
  if (command.name == "screendump") {
    if (write(passed_.get(), screen_.data(), screen_.size()) != static_cast<ssize_t>(screen_.size()))
      throw Refused{"GenericError", "cannot write the picture"};
    return Json::object();
  }
  if (command.name == "query-name") return Json::object({{"name", path_.stem().string()}});
  if (command.name == "qom-list") return children(arguments.at("path").as_string());
  if (command.name == "qom-get") {
    if (const auto value = property(arguments.at("path").as_string(), arguments.at("property").as_string()))
      return *value;
    throw Refused{"GenericError", "there is no such property"};
  }
  if (command.name == "device_add") {
    if (fate == Fate::refused) throw Refused{"GenericError", "failed to find host usb device"};
    if (fate == Fate::busy)
      throw Refused{"GenericError",
                    arguments.at("evdev").as_string() + ": failed to get exclusive access: Device or resource busy"};
    for (const auto& [id, device] : devices_)
      if (device.properties.contains("port") && device.properties.at("port") == arguments.at("port"))
        throw Refused{"GenericError",
                      "usb port " + arguments.at("port").as_string() + " (bus xhci.0) not found (in use?)"};
    for (const auto& [id, device] : devices_)
      if (arguments.contains("addr") && device.properties.contains("bus") &&
          device.properties.at("bus") == arguments.at("bus"))
        throw Refused{"GenericError", "PCI: slot 0 function 0 not available for " + arguments.at("driver").as_string() +
                                          ", in use by " + id};
    const std::string& id = arguments.at("id").as_string();
    if (!devices_.emplace(id, Device{arguments, fate != Fate::unbound}).second)
      throw Refused{"GenericError", "Duplicate device ID '" + id + "'"};
    return Json::object();
  }
  if (command.name == "device_del") {
    if (fate == Fate::pending) return Json::object();
    deleted = arguments.at("id").as_string();
    const auto found = devices_.find(deleted);
    const bool usb = found == devices_.end() || found->second.properties.at("driver") == Json("usb-host");
    if (!usb && fate == Fate::refused) throw Refused{"GenericError", "Bus 'pcie.0' does not support hotplugging"};
    if (!usb) { // its guest does not respond
      deleted.clear();
      return Json::object();
    }
    if (devices_.erase(deleted) == 0)
      throw Refused{"DeviceNotFound", "Device '" + std::exchange(deleted, "") + "' not found"};
    return Json::object();
  }
  if (command.name == "query-pci") { // unbound devices have no addresses
    Json list = Json::array();
    for (const auto& [id, device] : devices_) {
      const Json region = Json::object({{"bar", 0}, {"type", "memory"}, {"address", device.bound ? 4096 : -1}});
      Json regions = Json::array();
      regions.push_back(region);
      list.push_back(Json::object({{"qdev_id", id}, {"regions", regions}}));
    }
    Json buses = Json::array();
    buses.push_back(Json::object({{"bus", 0}, {"devices", list}}));
    return buses;
  }
  throw Refused{"CommandNotFound", "The command " + command.name + " has not been found"};
}

FakeQemu::Decide first(std::string name, int count, FakeQemu::Fate fate) {
  return [name = std::move(name), count, fate](const FakeQemu::Command& command) {
    return command.name == name && command.count <= count ? fate : FakeQemu::Fate::done;
  };
}

} // namespace test
