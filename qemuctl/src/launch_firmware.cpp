// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "launch_resources.hpp"

#include <qemuctl/error.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

namespace qemuctl::detail {

void make_efi_vars(const VmConfig& config) {
  namespace fs = std::filesystem;
  if (!config.efi || config.efi->vars.empty() || config.efi->vars_template.empty()) return;
  const fs::path vars = config.efi->vars;
  std::error_code ec;
  if (fs::exists(vars, ec)) return;
  // Complete or not there at all, also when the power goes in between.
  const fs::path unfinished = vars.string() + fmt::format(".{}", ::getpid());
  fs::create_directories(vars.parent_path(), ec);
  if (!ec) fs::copy_file(config.efi->vars_template, unfinished, fs::copy_options::overwrite_existing, ec);
  if (!ec) fs::permissions(unfinished, fs::perms::owner_read | fs::perms::owner_write, ec);
  if (!ec) fs::rename(unfinished, vars, ec);
  if (!ec) return;
  std::error_code ignored;
  fs::remove(unfinished, ignored);
  Diagnostics diagnostics;
  diagnostics.operation = "launch";
  diagnostics.subject = "VM " + config.name;
  diagnostics.detail =
      fmt::format("efi.vars: {} can not be copied to {}: {}", config.efi->vars_template, vars.string(), ec.message());
  throw Error(ec, std::move(diagnostics));
}

} // namespace qemuctl::detail
