// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "catch.hpp"
#include "expect_error.hpp"
#include "machine.hpp"
#include "monitor_socket.hpp"
#include "other_process.hpp"
#include "run.hpp"
#include "running_qemu.hpp"
#include "temp_dir.hpp"

#include <qemuctl/qmp_client.hpp>

#include <poll.h>

#include <csignal>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace qemuctl;
using namespace std::chrono_literals;
using Catch::Matchers::ContainsSubstring;

namespace {

class QemuWithMonitor {
 public:
  explicit QemuWithMonitor(const std::filesystem::path& qemu)
      : running_(context, qemu, {"-qmp", "unix:" + (folder_ / "qmp.sock").native() + ",server=on,wait=off"}) {}

  int pid() const { return running_.pid(); }
  MonitorAddress address() const { return UnixPath{folder_ / "qmp.sock"}; }
  QmpClient& other_monitor() { return running_.qmp(); }

  Error connect_error(std::chrono::milliseconds timeout = 500ms) {
    QmpClientOptions options;
    options.greeting_timeout = timeout;
    QmpClient client(context.get_executor(), options);
    Error error = test::run(context, [&] { return test::error_of(client.connect(address())); });
    return error;
  }

  asio::io_context context{1};

 private:
  test::TempDir folder_;
  test::RunningQemu running_;
};

} // namespace

QEMU_TEST_CASE("QEMU's monitor is in use while another process is connected, which is named, and free once it leaves") {
  QemuWithMonitor vm(qemu);
  // Connect here and leave the connection to another process.
  auto attempt = std::make_shared<detail::ConnectAttempt>(vm.context.get_executor(), "test", 5s);
  auto socket = test::run(vm.context, detail::connect_to_monitor(attempt, vm.address()));
  pollfd greeted{socket.native_handle(), POLLIN, 0};
  REQUIRE(poll(&greeted, 1, 10'000) == 1);
  auto holder = std::make_unique<test::OtherProcess>("virsh");
  socket.close();

  const Error error = vm.connect_error();
  INFO(error.what());
  CHECK(error.code() == errc::monitor_in_use);
  CHECK_THAT(error.what(), ContainsSubstring("virsh (PID " + std::to_string(holder->pid()) + ")"));

  // A patient client is served when the other one leaves.
  QmpClient patient(vm.context.get_executor());
  bool connected = false;
  asio::co_spawn(vm.context, patient.connect(vm.address()), [&](std::exception_ptr failed) { connected = !failed; });
  vm.context.restart();
  vm.context.poll();
  CHECK_FALSE(connected);
  holder.reset();
  while (!connected) REQUIRE(vm.context.run_one_for(10s) == 1);
  CHECK(test::run(vm.context, patient.execute("query-status")).at("status") == "prelaunch");
}

QEMU_TEST_CASE("a QEMU stopped by a signal is not mistaken for a monitor in use") {
  QemuWithMonitor vm(qemu);
  REQUIRE(kill(vm.pid(), SIGSTOP) == 0);
  const Error error = vm.connect_error();
  INFO(error.what());
  CHECK(error.code() == errc::timed_out);
  CHECK_THAT(error.what(), ContainsSubstring("is stopped (SIGSTOP)"));
  CHECK_THAT(error.diagnostics().advice, ContainsSubstring("kill -CONT " + std::to_string(vm.pid())));
  REQUIRE(kill(vm.pid(), SIGCONT) == 0);

  QmpClient client(vm.context.get_executor());
  test::run(vm.context, client.connect(vm.address()));
  CHECK(test::run(vm.context, client.execute("query-status")).at("status") == "prelaunch");
}

QEMU_TEST_CASE("a stopped QEMU whose monitor is held by another client is in use") {
  QemuWithMonitor vm(qemu);
  QmpClient first(vm.context.get_executor());
  test::run(vm.context, first.connect(vm.address()));
  REQUIRE(kill(vm.pid(), SIGSTOP) == 0);
  const Error error = vm.connect_error();
  INFO(error.what());
  CHECK(error.code() == errc::monitor_in_use);
  CHECK_THAT(error.what(), ContainsSubstring("this process"));
  REQUIRE(kill(vm.pid(), SIGCONT) == 0);
}

QEMU_TEST_CASE("a command to a stopped QEMU ends at its deadline, and its late reply is ignored") {
  QemuWithMonitor vm(qemu);
  QmpClient& client = vm.other_monitor();
  REQUIRE(kill(vm.pid(), SIGSTOP) == 0);
  ExecuteOptions options;
  options.timeout = 100ms;
  const Error error =
      test::run(vm.context, [&] { return test::error_of(client.execute("query-name", {}, std::move(options))); });
  CHECK(error.code() == errc::interrupted);
  REQUIRE(kill(vm.pid(), SIGCONT) == 0);
  CHECK(test::run(vm.context, client.execute("query-status")).at("status") == "prelaunch");
}
