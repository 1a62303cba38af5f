// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "launch_resources.hpp"
#include "programs.hpp"
#include "unix_socket.hpp"

#include <qemuctl/error.hpp>

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

namespace qemuctl::detail {

void start_tpm(const VmConfig& config, LaunchResources& resources, int log) {
  if (!config.tpm) return;
  const TpmConfig& tpm = *config.tpm;
  std::error_code ec;
  if (std::filesystem::create_directories(tpm.state_dir, ec))
    std::filesystem::permissions(tpm.state_dir, std::filesystem::perms::owner_all, ec);
  if (ec) {
    Diagnostics diagnostics;
    diagnostics.operation = "launch";
    diagnostics.subject = "VM " + config.name;
    diagnostics.detail = fmt::format("tpm.stateDir: {} cannot be made: {}", tpm.state_dir, ec.message());
    throw Error(ec, std::move(diagnostics));
  }
  auto [ours, its] = unix_socket_pair();
  // QEMU sends the data channel through this one; swtpm ends when QEMU has closed it.
  std::vector<std::string> argv{find_swtpm().value_or("swtpm").string(),
                                "socket",
                                "--ctrl",
                                fmt::format("type=unixio,clientfd={}", first_inherited_fd),
                                "--tpmstate",
                                fmt::format("dir={},mode=0600", tpm.state_dir),
                                "--terminate"};
  if (tpm.version == "2.0") argv.push_back("--tpm2");
  resources.start_helper("tpm", std::move(argv), {its.get()}, log);
  resources.inherit_for("tpm", std::move(ours));
}

} // namespace qemuctl::detail
