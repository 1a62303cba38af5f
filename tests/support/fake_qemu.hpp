// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/file_descriptor.hpp>
#include <qemuctl/json.hpp>

#include <sys/socket.h>
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace test {

/// Imitates, on a real socket, how QEMU 7.2 with a 15-port xHCI controller `xhci` handles USB devices, for what no real
/// one does on demand: refuse, be silent, cut the connection. Its screen is that of a VM without a disk, unless `show`
/// changes it. One client at a time; the others wait.
///
/// Runs in its own thread until the end of the scope.
class FakeQemu {
 public:
  struct Command {
    std::string name;
    qemuctl::Json arguments;
    int count = 0; ///< number of commands of this name so far, including this one
    std::chrono::steady_clock::time_point when;
  };
  /// How a command ends.
  enum class Fate {
    done,
    unbound,   ///< `device_add`: done, but a USB device is not bound, and a PCI device not noticed by the guest
    refused,   ///< with QEMU's text for a device that is not there (yet)
    busy,      ///< `device_add`: refused with QEMU's text for an input device that another process has grabbed
    ignored,   ///< never answered, nor anything after it until the client leaves
    cut,       ///< the connection ends, and nothing is done
    pending,   ///< `device_del`: accepted, and done once `lose` is called
    done_lost, ///< done, but the connection ends before the reply
  };
  /// Runs in the thread of the server.
  using Decide = std::function<Fate(const Command&)>;

  explicit FakeQemu(const std::filesystem::path& socket, Decide decide = {});
  /// With its monitor on a port of 127.0.0.1, so that its process is not known.
  explicit FakeQemu(int tcp_port, Decide decide = {});
  ~FakeQemu();
  FakeQemu(const FakeQemu&) = delete;
  FakeQemu& operator=(const FakeQemu&) = delete;

  const std::filesystem::path& socket() const noexcept { return path_; }
  /// All `device_add` so far.
  std::vector<Command> additions() const;
  /// The devices in the VM now: their properties by id.
  std::map<std::string, qemuctl::Json> devices() const;
  /// The number of commands of that name so far.
  int count(std::string_view command) const;
  /// Adds a device as if somebody else had, or as one that QEMU started with. `properties` has its driver. An "unseen"
  /// one appears on its bus a moment after the bus was examined.
  void have(const std::string& id, qemuctl::Json properties);
  /// Removes a device unasked, or some time after being asked, and reports it.
  void lose(const std::string& id);
  /// Reports that a child of the device is gone, as QEMU does for some devices before the device itself.
  void lose_child(const std::string& id);
  /// Puts a picture on its screen: a PNG file.
  void show(std::string picture);

 private:
  struct Device {
    qemuctl::Json properties;
    bool bound = true;
  };

  void listen_on(const sockaddr* address, socklen_t size);
  void serve();
  void serve_client(int client);
  /// Like recv; keeps a descriptor that comes along.
  ssize_t receive(int client, char* bytes, std::size_t size);
  bool wait_for(int fd) const;
  /// false: the connection ends.
  bool execute(int client, const Command& command, const qemuctl::Json& id);
  qemuctl::Json answer(const Command& command, Fate fate, std::string& deleted);
  qemuctl::Json children(const std::string& path) const;
  std::optional<qemuctl::Json> property(const std::string& path, const std::string& name) const;

  std::filesystem::path path_;
  Decide decide_;
  qemuctl::FileDescriptor listener_, stop_;
  qemuctl::FileDescriptor passed_; ///< by `add-fd`
  mutable std::mutex mutex_;
  std::map<std::string, Device> devices_;
  std::string screen_;
  std::map<std::string, int, std::less<>> counts_;
  std::vector<Command> additions_;
  int client_ = -1;
  std::thread thread_;
};

/// The fate of the first `count` commands of that name; later ones succeed.
FakeQemu::Decide first(std::string name, int count, FakeQemu::Fate fate);

} // namespace test
