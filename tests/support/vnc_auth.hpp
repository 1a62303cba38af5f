// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace test {

/// DES of one block, which nothing but VNC uses any more (FIPS 46-3). Bit 63 is the first.
std::uint64_t des(std::uint64_t block, std::uint64_t key);

/// What a VNC client answers to a challenge (RFC 6143, section 7.2.2): DES with the first 8 characters of the password,
/// the bits of each in reverse.
std::array<unsigned char, 16> vnc_response(const std::array<unsigned char, 16>& challenge, const std::string& password);

} // namespace test
