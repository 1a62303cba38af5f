// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "command.hpp"

#include "catch.hpp"
#include "skip.hpp"

#include <qemuctl/command_line.hpp>

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <memory>

namespace test {

std::string run_command(const std::vector<std::string>& argv) {
  const std::string line = qemuctl::quote_for_shell(argv);
  FILE* pipe = ::popen((line + " 2>&1 </dev/null").c_str(), "re");
  REQUIRE(pipe);
  std::string output;
  std::array<char, 4096> buffer;
  while (const std::size_t size = std::fread(buffer.data(), 1, buffer.size(), pipe)) output.append(buffer.data(), size);
  const int status = ::pclose(pipe);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
    skip("there is no program " + argv[0] + ": tools/setup installs it");
  INFO(line << '\n' << output);
  REQUIRE(status == 0);
  return output;
}

} // namespace test
