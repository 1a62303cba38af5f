// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace test {

/// A TCP port of the loopback interface that is free at the moment.
int free_tcp_port();

} // namespace test
