// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace test {

/// A VNC client's answer to the server's challenge (RFC 6143, section 7.2.2): DES with the first 8 characters of the
/// password as the key, the bits of each byte reversed.
std::string vnc_response(const std::string& challenge, const std::string& password);

/// A SPICE client's ticket: the password, with its terminating NUL, encrypted for the server's public key (DER) by RSA
/// with OAEP.
std::string spice_ticket(const std::string& public_key, const std::string& password);

} // namespace test
