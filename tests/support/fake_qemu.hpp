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

/// What a QEMU 7.2 with an xHCI controller `xhci` of 15 ports says and does about USB devices, on a real socket, for
/// what no real one does on demand: refuse, be silent, cut the connection. Its screen is that of a VM without a disk.
/// One client at a time, the others wait.
///
/// It runs in a thread of its own until the end of the scope.
class FakeQemu {
 public:
  struct Command {
    std::string name;
    qemuctl::Json arguments;
    int count = 0; ///< how many commands of this name there have been, this one included
    std::chrono::steady_clock::time_point when;
  };
  /// What becomes of a command.
  enum class Fate {
    done,
    unbound,   ///< `device_add`: done, but a USB device is not bound, and a PCI device not noticed by the guest
    refused,   ///< with the text of QEMU for a device that is not there (yet)
    ignored,   ///< never answered, and nothing after it until the client has left
    cut,       ///< the connection ends, and nothing is done
    pending,   ///< `device_del`: accepted, and done when `lose` says so
    done_lost, ///< done, but the connection ends before its answer
  };
  /// Runs in the thread of the server.
  using Decide = std::function<Fate(const Command&)>;

  explicit FakeQemu(const std::filesystem::path& socket, Decide decide = {});
  /// One whose monitor is a port of 127.0.0.1, so that its process is not known.
  explicit FakeQemu(int tcp_port, Decide decide = {});
  ~FakeQemu();
  FakeQemu(const FakeQemu&) = delete;
  FakeQemu& operator=(const FakeQemu&) = delete;

  const std::filesystem::path& socket() const noexcept { return path_; }
  /// All `device_add` so far.
  std::vector<Command> additions() const;
  /// What is in the VM now: the properties by id.
  std::map<std::string, qemuctl::Json> devices() const;
  /// How many commands of that name there have been.
  int count(std::string_view command) const;
  /// Puts a device in, as somebody else does, or as one that QEMU began with. `properties` has its driver. One that is
  /// "unseen" on its bus came there a moment after the look.
  void have(const std::string& id, qemuctl::Json properties);
  /// Takes a device out without having been asked, or some time after, and tells it.
  void lose(const std::string& id);
  /// Tells that a child of the device is gone, as QEMU does of some devices before it tells of the device.
  void lose_child(const std::string& id);

 private:
  struct Device {
    qemuctl::Json properties;
    bool bound = true;
  };

  void listen_on(const sockaddr* address, socklen_t size);
  void serve();
  void serve_client(int client);
  /// As recv; keeps a descriptor that comes with it.
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
  std::map<std::string, int, std::less<>> counts_;
  std::vector<Command> additions_;
  int client_ = -1;
  std::thread thread_;
};

/// The fate of the first `count` commands of that name; then all goes well.
FakeQemu::Decide first(std::string name, int count, FakeQemu::Fate fate);

} // namespace test
