// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// A program that dies of a signal, as QEMU can: of the one whose number is in the file "signal" beside it. Adds a line
// to the file "starts" there. It is no script, so what becomes of it may be remembered.
#include <csignal>
#include <filesystem>
#include <fstream>

int main(int, char** argv) {
  const std::filesystem::path folder = std::filesystem::path(argv[0]).parent_path();
  std::ofstream(folder / "starts", std::ios::app) << "once\n";
  int number = 0;
  std::ifstream(folder / "signal") >> number;
  std::signal(number, SIG_DFL); // a sanitizer's handler would make an exit of it
  std::raise(number);
  return 0;
}
