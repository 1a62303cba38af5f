// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "accelerator.hpp"

#include "cache.hpp"
#include "guest_machine.hpp"
#include "qemu_probe.hpp"

#include <qemuctl/command_line.hpp>
#include <qemuctl/error.hpp>
#include <qemuctl/file_descriptor.hpp>

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace qemuctl::detail {

namespace {

constexpr std::string_view silence = R"(Set machine.accel to "tcg" to silence this)";

AcceleratorChoice tcg_because(std::string reason, std::string_view otherwise = {}) {
  return {"tcg", fmt::format("{}; using TCG, which is much slower. {}{}", reason, silence, otherwise)};
}

/// Why this user cannot use /dev/kvm; empty when that can be opened.
std::string why_no_device() {
  const FileDescriptor device(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (device) return {};
  const int error = errno;
  if (error == ENOENT)
    return "KVM is not available: there is no /dev/kvm (is virtualization enabled in the firmware, or nested "
           "virtualization when this is a virtual machine?)";
  if (error == EACCES)
    return "KVM may not be used: no permission to open /dev/kvm (add yourself to the group kvm and log in again)";
  return fmt::format("KVM is not available: /dev/kvm cannot be opened ({})", std::system_category().message(error));
}

/// QEMU's main complaint among what it printed, without its name in front.
std::string complaint(const std::string& printed, const std::filesystem::path& binary) {
  std::string_view rest = printed;
  std::string_view chosen = rest.substr(0, rest.find('\n'));
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.find("warning:") != std::string_view::npos) continue;
    chosen = line;
    break;
  }
  for (const std::string& prefix : {binary.filename().native() + ": ", std::string("error: ")})
    if (chosen.starts_with(prefix)) chosen.remove_prefix(prefix.size());
  return std::string(chosen);
}

/// Whether QEMU crashed by itself (abort, illegal instruction, forbidden system call), as it would the next time. A
/// signal from outside (SIGKILL when memory is short, SIGTERM at shutdown) says nothing about KVM.
bool died_of_itself(std::string_view detail) {
  constexpr std::string_view prefix = "killed by signal ";
  const auto found = detail.find(prefix);
  if (found == std::string_view::npos) return false;
  detail.remove_prefix(found + prefix.size());
  const std::string_view number = detail.substr(0, detail.find_first_not_of("0123456789"));
  for (const int signal : {SIGABRT, SIGSEGV, SIGILL, SIGBUS, SIGFPE, SIGTRAP, SIGSYS})
    if (number == std::to_string(signal)) return true;
  return false;
}

/// What the start of a VM under KVM came to.
struct Proof {
  std::string failure; ///< empty: it started
  bool lasting = true; ///< it would be the same the next time
};

asio::awaitable<Proof> try_kvm(std::filesystem::path binary, std::string machine, std::string cpu) {
  constexpr std::chrono::seconds timeout(10);
  std::vector<std::string> arguments{"-machine", (machine.empty() ? "" : escape_option(machine) + ",") + "accel=kvm"};
  if (!cpu.empty()) {
    arguments.emplace_back("-cpu");
    arguments.push_back(std::move(cpu));
  }
  std::optional<Error> error;
  try {
    QemuProbe probe = co_await QemuProbe::start(binary, std::move(arguments), timeout);
    co_await probe.end();
    co_return Proof{};
  } catch (const Error& failure) {
    error = failure;
  }

  const Diagnostics& diagnostics = error->diagnostics();
  Proof proof;
  proof.failure = diagnostics.detail;
  if (!diagnostics.server_text.empty()) proof.failure += ": " + complaint(diagnostics.server_text, binary);
  proof.lasting = died_of_itself(diagnostics.detail);
  co_return proof;
}

std::string boot_id() {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  return id;
}

/// The same with the cache before it.
asio::awaitable<std::string> why_kvm_fails(std::filesystem::path binary, std::string machine, std::string cpu) {
  const Json program = program_state(binary);
  CacheKey key;
  key.kind = "kvm";
  key.subject = Json::array({binary.native(), machine, cpu});
  key.state = Json::array({program, boot_id()});
  if (!program.is_null())
    if (const auto known = cache_load(key); known && known->is_string()) co_return known->as_string();

  Proof proof = co_await try_kvm(std::move(binary), std::move(machine), std::move(cpu));
  if (!program.is_null() && proof.lasting) cache_store(key, proof.failure);
  co_return std::move(proof.failure);
}

GuestArch host_arch() {
  try {
    QemuInfo native;
    native.path = qemu_binary_name("");
    return guest_machine({}, native).arch;
  } catch (const Error&) { // a host that has no name here can still run guests
    return GuestArch::other;
  }
}

asio::awaitable<AcceleratorChoice> choose(VmConfig config, QemuInfo qemu) {
  if (config.machine.accel != "auto") co_return AcceleratorChoice{config.machine.accel, {}};
  const GuestMachine machine = guest_machine(config, qemu);
  if (machine.arch != host_arch()) co_return AcceleratorChoice{"tcg", {}};
  if (std::ranges::find(qemu.accelerators, "kvm") == qemu.accelerators.end())
    co_return tcg_because(fmt::format("{} was built without KVM", qemu.path.native()));
  if (std::string reason = why_no_device(); !reason.empty()) co_return tcg_because(std::move(reason));

  std::string cpu = cpu_option(config, qemu, "kvm");
  const std::string failure = co_await why_kvm_fails(qemu.path, machine.type, cpu);
  if (failure.empty()) co_return AcceleratorChoice{"kvm", {}};
  if (cpu.empty()) co_return tcg_because(fmt::format("KVM does not work here ({})", failure));
  co_return tcg_because(fmt::format("KVM does not work with the CPU model {} here ({})", cpu, failure),
                        ", or cpu.model to one that KVM accepts");
}

} // namespace

asio::awaitable<AcceleratorChoice> choose_accelerator(const VmConfig& config, const QemuInfo& qemu) {
  return choose(config, qemu); // copies: the caller's may be gone before the coroutine runs
}

} // namespace qemuctl::detail
