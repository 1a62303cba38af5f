// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "vm_status.hpp"

#include "catch.hpp"

using namespace qemuctl;
using detail::ProcessExit;
using detail::ShutdownNotice;

namespace {

ProcessExit exited(int code) {
  ProcessExit exit;
  exit.exit_code = code;
  return exit;
}

ProcessExit killed(int signal) {
  ProcessExit exit;
  exit.signal = signal;
  return exit;
}

} // namespace

TEST_CASE("Every RunState of QEMU maps to one of the seven states") {
  const std::pair<const char*, State> expected[] = {
      {"running", State::running},        {"finish-migrate", State::running},
      {"postmigrate", State::running},    {"paused", State::paused},
      {"debug", State::paused},           {"save-vm", State::paused},
      {"restore-vm", State::paused},      {"colo", State::paused},
      {"watchdog", State::paused},        {"io-error", State::paused},
      {"suspended", State::suspended},    {"prelaunch", State::prelaunch},
      {"preconfig", State::prelaunch},    {"inmigrate", State::prelaunch},
      {"shutdown", State::shutdown},      {"guest-panicked", State::crashed},
      {"internal-error", State::crashed},
  };
  for (const auto& [run_state, state] : expected) CHECK(detail::state_from_run_state(run_state) == state);
}

TEST_CASE("A RunState of a future QEMU is unknown, and its name is kept") {
  const VmStatus status = detail::running_status(Json::object({{"status", "teleporting"}, {"running", true}}));
  CHECK(status.state == State::unknown);
  CHECK(status.run_state == "teleporting");
  CHECK(status.reason == "teleporting");
}

TEST_CASE("A migrated VM is running only if its CPUs are") {
  CHECK(detail::running_status(Json::object({{"status", "postmigrate"}, {"running", true}})).state == State::running);
  CHECK(detail::running_status(Json::object({{"status", "postmigrate"}, {"running", false}})).state == State::paused);
}

TEST_CASE("A normal state has no reason, and an I/O error has one") {
  CHECK(detail::running_status(Json::object({{"status", "paused"}})).reason.empty());
  CHECK(detail::running_status(Json::object({{"status", "io-error"}})).reason == "io-error");
}

TEST_CASE("A process that ends after SHUTDOWN is shutdown, with QEMU's reason") {
  const VmStatus status = detail::final_status(exited(0), ShutdownNotice{"guest-shutdown"}, true);
  CHECK(status.state == State::shutdown);
  CHECK(status.reason == "guest-shutdown");
  CHECK_FALSE(status.process_alive);
  CHECK(status.exit_code == 0);
}

TEST_CASE("A guest that panicked has crashed, even if QEMU then ended normally") {
  CHECK(detail::shutdown_status(ShutdownNotice{"guest-panic"}).state == State::crashed);
  CHECK(detail::final_status(exited(0), ShutdownNotice{"guest-panic"}, true).state == State::crashed);
}

TEST_CASE("A process that was killed or failed has crashed") {
  CHECK(detail::final_status(killed(9), std::nullopt, true).state == State::crashed);
  CHECK(detail::final_status(killed(9), std::nullopt, true).signal == 9);
  CHECK(detail::final_status(exited(1), std::nullopt, false).state == State::crashed);
  // Not our child: its exit status is not known, but QEMU announces every clean exit.
  CHECK(detail::final_status(ProcessExit{}, std::nullopt, true).state == State::crashed);
}

TEST_CASE("What cannot be known is unknown") {
  const VmStatus lost = detail::final_status(ProcessExit{}, std::nullopt, false);
  CHECK(lost.state == State::unknown);
  CHECK_FALSE(lost.process_alive);

  ConnectionEnd cut;
  cut.kind = ConnectionEnd::Kind::cut;
  cut.reason = "reset";
  const VmStatus remote = detail::final_status(cut, std::nullopt);
  CHECK(remote.state == State::unknown);
  CHECK(remote.process_alive);
  CHECK_THAT(remote.reason, Catch::Matchers::ContainsSubstring("reset"));
}

TEST_CASE("A VM without a known process is shutdown if it announced that before its monitor closed") {
  ConnectionEnd end;
  end.kind = ConnectionEnd::Kind::clean;
  const VmStatus status = detail::final_status(end, ShutdownNotice{"host-qmp-quit"});
  CHECK(status.state == State::shutdown);
  CHECK_FALSE(status.process_alive);
}

TEST_CASE("A VM without a known process may outlive its guest, but not quit or a signal") {
  ConnectionEnd end;
  end.kind = ConnectionEnd::Kind::cut;
  for (const char* reason : {"guest-shutdown", "guest-reset", "guest-panic", "host-qmp-system-reset"}) {
    CAPTURE(reason);
    ShutdownNotice notice{reason};
    CHECK_FALSE(detail::final_status(end, notice).process_alive);
    notice.outlived = true;
    CHECK(detail::final_status(end, notice).state == State::unknown);
    CHECK(detail::final_status(end, notice).process_alive);
  }
  for (const char* reason : {"host-qmp-quit", "host-signal"}) {
    CAPTURE(reason);
    ShutdownNotice notice{reason};
    notice.outlived = true;
    CHECK(detail::final_status(end, notice).state == State::shutdown);
    CHECK_FALSE(detail::final_status(end, notice).process_alive);
  }
}

TEST_CASE("Only a guest that ended normally has shut down by itself") {
  const auto by_itself = [](const char* reason) {
    return detail::guest_shut_down(detail::final_status(exited(0), ShutdownNotice{reason}, true));
  };
  CHECK(by_itself("guest-shutdown"));
  CHECK(by_itself("guest-reset"));
  CHECK_FALSE(by_itself("guest-panic"));
  CHECK_FALSE(by_itself("host-qmp-quit"));
  CHECK_FALSE(by_itself("host-signal"));
  CHECK_FALSE(detail::guest_shut_down(detail::final_status(killed(9), std::nullopt, true)));
  // A VM attached to after its guest had ended.
  CHECK(detail::guest_shut_down(detail::running_status(Json::object({{"status", "shutdown"}}))));
}
