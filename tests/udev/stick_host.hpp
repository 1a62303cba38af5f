// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "fake_qemu.hpp"
#include "rest_host.hpp"

#include <string>

namespace test {

/// VMs "a", which runs, and "b", which does not; sticks may go to both. One is in port 3-1.
struct StickHost : RestHost {
  explicit StickHost(FakeQemu::Decide decide = {});
  FakeQemu qemu;
  std::string stick; ///< its path in sysfs
};

/// Checks that it is a problem of that status; what it says.
std::string problem_of(const HttpAnswer& answer, int status);

/// Has the service send events on that connection.
void listen(HttpWire& wire, const std::string& fields = {});

/// What clients with the token of that name (empty: all) may do, with that VM (empty: with all).
hotplug::ApiPermission permission(const std::string& token, hotplug::ApiLevel may, const std::string& vm = {});

} // namespace test
