// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "display_password.hpp"

#include "command.hpp"
#include "golden.hpp"
#include "temp_dir.hpp"

#include <fmt/format.h>

#include <vector>

namespace test {

namespace {

/// `openssl` with these arguments and this input.
std::string openssl(std::vector<std::string> arguments, const TempDir& dir, const std::string& input) {
  write_file(dir / "in", input);
  arguments.insert(arguments.begin(), "openssl");
  arguments.insert(arguments.end(), {"-in", dir / "in", "-out", dir / "out"});
  run_command(arguments);
  return read_file(dir / "out");
}

} // namespace

std::string vnc_response(const std::string& challenge, const std::string& password) {
  std::string key;
  for (std::size_t i = 0; i < 8; ++i) {
    const unsigned letter = i < password.size() ? static_cast<unsigned char>(password[i]) : 0;
    unsigned reversed = 0;
    for (unsigned bit = 0; bit < 8; ++bit) reversed = reversed << 1 | (letter >> bit & 1);
    key += fmt::format("{:02x}", reversed);
  }
  // OpenSSL no longer enables DES by default; Triple DES with one key used three times is equivalent.
  const TempDir dir;
  return openssl({"enc", "-des-ede3", "-nopad", "-K", key + key + key}, dir, challenge);
}

std::string spice_ticket(const std::string& public_key, const std::string& password) {
  const TempDir dir;
  write_file(dir / "key", public_key);
  return openssl({"pkeyutl", "-encrypt", "-pubin", "-keyform", "DER", "-inkey", dir / "key", //
                  "-pkeyopt", "rsa_padding_mode:oaep"},
                 dir, password + '\0');
}

} // namespace test
