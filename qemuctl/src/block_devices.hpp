// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "instance_impl.hpp"

#include <string>
#include <vector>

namespace qemuctl::detail {

/// One drive as `query-block` reports it.
struct Drive {
  BlockDevice device;
  std::string throttle_group; ///< of a medium that begins with a throttle node; empty: of none
};

asio::awaitable<std::vector<Drive>> query_drives(std::shared_ptr<Instance::Impl> impl);

/// The drive that `id` refers to. Throws `Error` (`errc::not_found`) listing the drives there are; `operation` says
/// what was to be done with it.
asio::awaitable<Drive> find_drive(std::shared_ptr<Instance::Impl> impl, std::string id, std::string operation);

} // namespace qemuctl::detail
