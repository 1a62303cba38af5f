// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "qemu_probe.hpp"

#include "catch.hpp"
#include "expect_error.hpp"
#include "run.hpp"
#include "temp_dir.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>

#include <filesystem>
#include <fstream>
#include <string>

using namespace qemuctl;
using namespace qemuctl::detail;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

/// A shell script that plays QEMU. The monitor is its descriptor 3.
class FakeQemu {
 public:
  explicit FakeQemu(const std::string& script) {
    std::ofstream(path()) << "#!/bin/sh\n" << script << "\n";
    fs::permissions(path(), fs::perms::owner_all);
  }
  fs::path path() const { return dir_ / "qemu"; }
  fs::path operator/(const char* name) const { return dir_ / name; }

 private:
  test::TempDir dir_;
};

/// One that answers the negotiation and then runs `rest`.
std::string greets_and(const std::string& rest) {
  return R"(echo '{"QMP": {"version": {"qemu": {"micro": 0, "minor": 0, "major": 9}, "package": ""}, "capabilities": []}}' >&3
read -r line <&3
id=$(echo "$line" | sed 's/.*"id": *\("[^"]*"\|[0-9]*\).*/\1/')
echo "{\"return\": {}, \"id\": $id}" >&3
)" + rest;
}

Error failure(const FakeQemu& qemu, std::chrono::milliseconds timeout) {
  return test::run([&] { return test::error_of(QemuProbe::start(qemu.path(), {}, timeout)); });
}

} // namespace

TEST_CASE("A silent probe ends at its deadline, along with its program", "[qemu_probe]") {
  const FakeQemu qemu("echo starting; exec sleep 60");
  const auto start = std::chrono::steady_clock::now();
  const Error error = failure(qemu, 200ms);
  CHECK(error.code() == errc::launch_failed);
  CHECK(error.diagnostics().detail == "QEMU has not answered within 0.2 s");
  CHECK(error.diagnostics().server_text == "starting");
  CHECK(std::chrono::steady_clock::now() - start < 5s);
}

TEST_CASE("A probe that ends in the middle of a command says how", "[qemu_probe]") {
  const FakeQemu qemu(greets_and("read -r line <&3; echo bad >&2; kill -ABRT $$"));
  const Error error = test::run([&]() -> asio::awaitable<Error> {
    QemuProbe probe = co_await QemuProbe::start(qemu.path(), {}, 10s);
    co_return co_await test::error_of(probe.execute("query-version"));
  });
  CHECK(error.code() == errc::launch_failed);
  CHECK(error.diagnostics().detail == "QEMU was killed by signal 6 (Aborted)");
  CHECK(error.diagnostics().server_text == "bad");
}

TEST_CASE("A probe gets its options and a monitor, and starts stopped", "[qemu_probe]") {
  const FakeQemu qemu("echo \"$@\"; exit 1");
  const Error error = test::run([&] {
    return test::error_of(QemuProbe::start(qemu.path(), {"-machine", "q35"}, 10s));
  });
  CHECK(error.diagnostics().server_text == "-machine q35 -S -nodefaults -no-user-config -display none "
                                           "-chardev socket,id=control,fd=3 -mon chardev=control,mode=control");
}

TEST_CASE("A probe leaves no core file", "[qemu_probe]") {
  // It starts before the limit is set, so it waits for the first command.
  const FakeQemu qemu(greets_and("read -r line <&3; ulimit -c; exit 1"));
  const Error error = test::run([&]() -> asio::awaitable<Error> {
    QemuProbe probe = co_await QemuProbe::start(qemu.path(), {}, 10s);
    co_return co_await test::error_of(probe.execute("query-version"));
  });
  CHECK(error.diagnostics().server_text == "0");
}

TEST_CASE("A probe that has ended leaves no process", "[qemu_probe]") {
  const FakeQemu qemu(greets_and("exec sleep 60"));
  test::run([&]() -> asio::awaitable<void> {
    QemuProbe probe = co_await QemuProbe::start(qemu.path(), {}, 10s);
    const int pid = probe.pid();
    CHECK(fs::exists("/proc/" + std::to_string(pid)));
    co_await probe.end();
    CHECK_FALSE(fs::exists("/proc/" + std::to_string(pid)));
  });
}

TEST_CASE("A cancelled probe is killed", "[qemu_probe]") {
  const FakeQemu qemu("echo $$ > \"$(dirname \"$0\")/pid\"; exec sleep 60");
  asio::io_context context(1);
  asio::cancellation_signal cancel;
  std::exception_ptr failed;
  asio::co_spawn(
      context, [&]() -> asio::awaitable<void> { QemuProbe probe = co_await QemuProbe::start(qemu.path(), {}, 60s); },
      asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr failure) { failed = failure; }));
  context.poll();
  cancel.emit(asio::cancellation_type::terminal);
  context.run_for(10s);
  REQUIRE(failed);
  CHECK_THROWS_AS(std::rethrow_exception(failed), std::system_error);
  // The next spawn would reap it; being able to wait for it shows that it is dead.
  Process next = Process::spawn(context.get_executor(), [] {
    SpawnOptions options;
    options.argv = {"/bin/sleep", "0.2"};
    return options;
  }());
  test::run(context, next.wait());
  Process last = Process::spawn(context.get_executor(), [] {
    SpawnOptions options;
    options.argv = {"/bin/true"};
    return options;
  }());
  test::run(context, last.wait());
}
