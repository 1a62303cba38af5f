// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "launch_resources.hpp"

#include <qemuctl/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace qemuctl::detail {

namespace {

void sync(const std::filesystem::path& file, std::error_code& ec) {
  const FileDescriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) ec.assign(errno, std::system_category());
}

} // namespace

void make_efi_vars(const VmConfig& config) {
  namespace fs = std::filesystem;
  if (!config.efi || config.efi->vars.empty() || config.efi->vars_template.empty()) return;
  std::error_code ec;
  const fs::path vars = fs::absolute(config.efi->vars, ec);
  if (fs::exists(vars, ec)) return;
  // Complete or not there at all, also when the power goes in between.
  const fs::path unfinished = vars.string() + fmt::format(".{}", ::getpid());
  fs::create_directories(vars.parent_path(), ec);
  if (!ec) fs::copy_file(config.efi->vars_template, unfinished, fs::copy_options::overwrite_existing, ec);
  if (!ec) fs::permissions(unfinished, fs::perms::owner_read | fs::perms::owner_write, ec);
  if (!ec) sync(unfinished, ec);
  if (!ec) fs::rename(unfinished, vars, ec);
  if (!ec) return;
  std::error_code ignored;
  fs::remove(unfinished, ignored);
  Diagnostics diagnostics;
  diagnostics.operation = "launch";
  diagnostics.subject = "VM " + config.name;
  diagnostics.detail =
      fmt::format("efi.vars: {} cannot be copied to {}: {}", config.efi->vars_template, vars.string(), ec.message());
  throw Error(ec, std::move(diagnostics));
}

} // namespace qemuctl::detail
