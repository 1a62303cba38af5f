// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "temp_dir.hpp"

#include <qemuctl/file_descriptor.hpp>
#include <qemuctl/json.hpp>
#include <qemuctl/monitor_address.hpp>

#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace test {

/// A script's view of its client: plain blocking calls. Each throws if nothing happens for some seconds.
class QmpPeer {
 public:
  /// `stop`: a descriptor that becomes readable when the test ends, which ends every wait.
  QmpPeer(qemuctl::FileDescriptor socket, int stop) : socket_(std::move(socket)), stop_(stop) {}

  struct Command {
    std::string name;
    qemuctl::Json arguments;
    qemuctl::Json id;
    std::vector<qemuctl::FileDescriptor> descriptors; ///< those that arrived with its bytes
  };

  /// The greeting of QEMU 7.2.
  static constexpr std::string_view greeting =
      R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2+dfsg-7"}, )"
      R"("capabilities": ["oob"]}})"
      "\r\n";

  void send(std::string_view bytes);
  void send_in_pieces(std::string_view bytes, std::size_t piece);
  /// The same, but a client that goes away meanwhile is not a failure.
  void send_while_it_lasts(std::string_view bytes);

  void greet() { send(greeting); }
  /// The greeting and the reply to `qmp_capabilities`.
  void negotiate();

  Command receive();
  Command expect(std::string_view name);

  void reply(const Command& command, const qemuctl::Json& value = qemuctl::Json::object()) {
    send(reply_text(command, value));
  }
  static std::string reply_text(const Command& command, const qemuctl::Json& value = qemuctl::Json::object());
  void refuse(const Command& command, std::string_view qmp_class, std::string_view text);
  void event(std::string_view name, const qemuctl::Json& data = {}) { send(event_text(name, data)); }
  static std::string event_text(std::string_view name, const qemuctl::Json& data = {});

  /// Sends and reads nothing more until the client closes.
  void stay_silent();
  /// Reads until the client closes.
  void wait_until_closed();

  void close() { socket_.reset(); }
  /// Closes so that the client gets ECONNRESET.
  void reset();

  int socket() const noexcept { return socket_.get(); }

 private:
  void wait_for(short events) const;

  qemuctl::FileDescriptor socket_;
  int stop_;
};

/// Just more text than a Unix socket accepts while its peer reads nothing: under a sanitizer on a busy machine, every
/// megabyte costs seconds of a test's deadlines.
std::string more_than_a_socket_holds();

/// A QMP server on a real socket, which runs a script for each client, one after the other, in its own thread.
class ScriptedQmpServer {
 public:
  enum class Transport { unix_path, unix_abstract, unix_abstract_padded, tcp };
  using Script = std::function<void(QmpPeer&)>;

  explicit ScriptedQmpServer(Script script, Transport transport = Transport::unix_path)
      : ScriptedQmpServer(std::vector<Script>{std::move(script)}, transport) {}
  /// One script per client. Without any it listens but never accepts.
  explicit ScriptedQmpServer(std::vector<Script> scripts, Transport transport = Transport::unix_path);
  ~ScriptedQmpServer();
  ScriptedQmpServer(const ScriptedQmpServer&) = delete;
  ScriptedQmpServer& operator=(const ScriptedQmpServer&) = delete;

  const qemuctl::MonitorAddress& address() const noexcept { return address_; }
  const TempDir& folder() const noexcept { return folder_; }

  /// Waits for the scripts to end and rethrows their exception, if any.
  void finish();

 private:
  void listen(Transport transport);
  void serve(const std::vector<Script>& scripts);

  TempDir folder_;
  qemuctl::MonitorAddress address_;
  qemuctl::FileDescriptor listener_, stop_;
  std::exception_ptr failure_;
  std::thread thread_;
};

} // namespace test
