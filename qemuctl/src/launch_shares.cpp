// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "config/ids.hpp"
#include "launch_resources.hpp"
#include "programs.hpp"
#include "unix_socket.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <utility>

namespace qemuctl::detail {

namespace {

/// Of the program that QEMU brought itself before 8.0, which takes the folder in another way.
bool is_qemus_own(const std::filesystem::path& virtiofsd) {
  return virtiofsd.parent_path().filename() == "qemu";
}

} // namespace

void start_shares(const VmConfig& config, LaunchResources& resources, int log) {
  for (std::size_t i = 0; i < config.shares.size(); ++i) {
    const ShareConfig& share = config.shares[i];
    if (share.type != "virtiofs") continue;
    const std::string path = fmt::format("shares[{}]", i);
    const std::filesystem::path program = find_virtiofsd().value_or("virtiofsd");
    // It takes one connection, ends with that, and the one waiting for it is ours.
    const std::filesystem::path socket =
        std::filesystem::path(config.socket_dir) / fmt::format("{}.{}", config.name, share_id(i));
    const FileDescriptor listening = resources.files().listen(socket);
    FileDescriptor connected = connect_unix(socket);
    std::vector<std::string> argv{program.string(), fmt::format("--fd={}", first_inherited_fd)};
    if (is_qemus_own(program))
      argv.insert(argv.end(), {"-o", "source=" + share.path});
    else
      argv.insert(argv.end(), {"--shared-dir", share.path});
    resources.start_helper(path, std::move(argv), {listening.get()}, log);
    resources.inherit_for(path, std::move(connected));
  }
}

} // namespace qemuctl::detail
