// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace test {

/// A TCP port of the loopback interface that nobody has at the moment.
int free_tcp_port();

} // namespace test
