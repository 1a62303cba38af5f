// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "vde_switch.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace test {

VdeSwitch::VdeSwitch(const std::filesystem::path& folder) {
  const std::string output = folder.string() + ".out";
  if (::mkfifo(output.c_str(), 0600) != 0) throw std::system_error(errno, std::generic_category(), "mkfifo");
  const std::string command = fmt::format("exec vde_switch --sock {} >{}", folder.string(), output);
  input_ = ::popen(command.c_str(), "we");
  if (!input_) throw std::system_error(errno, std::generic_category(), "run vde_switch");
  // Its reply to a command shows that it is ready.
  std::fputs("ds/showinfo\n", input_);
  std::fflush(input_);
  output_.open(output);
  for (std::string line; std::getline(output_, line) && line.find("Success") == std::string::npos;) continue;
}

VdeSwitch::~VdeSwitch() {
  ::pclose(input_);
}

} // namespace test
