// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "accelerator.hpp"

#include "environment.hpp"
#include "machine.hpp"
#include "process.hpp"
#include "run.hpp"
#include "skip.hpp"
#include "temp_dir.hpp"

#include <qemuctl/error.hpp>
#include <qemuctl/launch_plan.hpp>
#include <qemuctl/qmp_client.hpp>

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

using namespace qemuctl;
using namespace qemuctl::detail;
using Catch::Matchers::ContainsSubstring;
namespace fs = std::filesystem;

namespace {

/// Whether a VM starts under KVM with this CPU model, found out by other means.
bool starts_under_kvm(const fs::path& qemu, const std::string& model) {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  FileDescriptor ours(ends[0]);
  FileDescriptor its(ends[1]);
  SpawnOptions options;
  options.argv = {
      qemu.native(),      "-machine", "q35,accel=kvm",         "-cpu", model, "-S", "-display", "none", "-chardev",
      "socket,id=c,fd=3", "-mon",     "chardev=c,mode=control"};
  options.inherited = {its.get()};
  asio::io_context context(1);
  Process process = Process::spawn(context.get_executor(), options);
  its.reset();
  bool started = false;
  try {
    QmpClient qmp(context.get_executor());
    test::run(context, qmp.connect(std::move(ours)));
    started = true;
  } catch (const Error&) {
  }
  process.send_signal(SIGKILL);
  test::run(context, process.wait());
  return started;
}

void need_kvm() {
  const FileDescriptor device(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!device) test::skip("/dev/kvm cannot be opened: KVM is not available to this user");
}

struct Scene {
  explicit Scene(const fs::path& binary) : qemu(test::run([&] { return probe_qemu(binary); })) {}

  AcceleratorChoice choose(const std::string& model) {
    VmConfig config;
    config.cpu.model = model;
    return test::run([&] { return choose_accelerator(config, qemu); });
  }

  test::TempDir dir;
  test::Environment cache{"XDG_CACHE_HOME", (dir / "cache").native()};
  QemuInfo qemu;
};

} // namespace

QEMU_TEST_CASE("KVM is chosen exactly when a VM really starts with it", "[accelerator]") {
  need_kvm();
  Scene scene(qemu);
  for (const char* model : {"qemu64", "host", "max"}) {
    CAPTURE(model);
    const AcceleratorChoice choice = scene.choose(model);
    const bool works = starts_under_kvm(qemu, model);
    CHECK(choice.accel == (works ? "kvm" : "tcg"));
    CHECK(choice.warning.empty() == works);
    if (!works)
      CHECK_THAT(
          choice.warning,
          ContainsSubstring(std::string("KVM does not work with the CPU model ") + model + " here (QEMU ") &&
              ContainsSubstring("; using TCG, which is much slower. Set machine.accel to \"tcg\" to silence this, "
                                "or cpu.model to one that KVM accepts"));
  }
  CHECK(scene.choose("").warning.empty() == starts_under_kvm(qemu, "host")); // the default
}

QEMU_TEST_CASE("The host CPU model is rejected where it does not work with KVM", "[accelerator]") {
  need_kvm();
  Scene scene(qemu);
  VmConfig config;
  config.qemu_path = qemu.native();
  config.cpu.model = "host";
  std::string outcome;
  try {
    outcome = test::run([&] { return plan_launch(config); }).accel;
  } catch (const Error& error) {
    CHECK(error.code() == errc::not_supported);
    outcome = error.what();
  }
  if (starts_under_kvm(qemu, "host"))
    CHECK(outcome == "kvm");
  else
    CHECK_THAT(outcome, ContainsSubstring("cpu.model: found \"host\", expected \"max\""));
}

QEMU_TEST_CASE("A CPU model unknown to QEMU leaves nothing in the KVM cache", "[accelerator]") {
  need_kvm();
  Scene scene(qemu);
  const AcceleratorChoice choice = scene.choose("no-such-model");
  CHECK(choice.accel == "tcg");
  CHECK_THAT(choice.warning, ContainsSubstring("no-such-model"));
  for (const auto& file : fs::directory_iterator(scene.dir / "cache/qemuctl"))
    CHECK_FALSE(file.path().filename().native().starts_with("kvm"));
}

QEMU_TEST_CASE("Whether KVM works is remembered per binary and CPU model", "[accelerator]") {
  need_kvm();
  Scene scene(qemu);
  const AcceleratorChoice first = scene.choose("qemu64");
  std::vector<fs::path> files;
  for (const auto& file : fs::directory_iterator(scene.dir / "cache/qemuctl"))
    if (file.path().filename().native().starts_with("kvm")) files.push_back(file.path());
  if (first.accel != "kvm" && files.empty()) return; // it failed without a crash, so it is tried again each time
  REQUIRE(files.size() == 1);

  // A tampered file shows that the second answer comes from it.
  std::string text;
  {
    std::ifstream in(files[0]);
    text.assign(std::istreambuf_iterator<char>(in), {});
  }
  const std::string value = "\"value\":";
  const auto start = text.find(value);
  REQUIRE(start != std::string::npos);
  const std::string key = text.substr(0, start + value.size());
  std::ofstream(files[0]) << key << "\"a lie\"}";
  CHECK_THAT(scene.choose("qemu64").warning, ContainsSubstring("(a lie)"));
  std::ofstream(files[0]) << key << "\"\"}";
  CHECK(scene.choose("qemu64").accel == "kvm");
}

QEMU_TEST_CASE("Trying KVM leaves no core file", "[accelerator]") {
  need_kvm();
  Scene scene(qemu);
  const fs::path before = fs::current_path();
  const fs::path folder = scene.dir / "working folder";
  fs::create_directory(folder);
  fs::current_path(folder);
  scene.choose("host");
  fs::current_path(before);
  CHECK(fs::is_empty(folder));
}
