// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "qdev.hpp"

#include <qemuctl/instance.hpp>

#include <asio/awaitable.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hotplug::detail {

HostKey pci_key(std::string address);

/// "pcihost-0000.01.00.0-5f3a01c2", see `new_qdev_id`; an id has no colons.
std::string make_pci_qdev_id(const std::string& address, std::uint32_t unique);

/// What is in such an id; nullopt: it is none.
std::optional<HostKey> pci_key_in(std::string_view qdev_id);

/// What QEMU shows of the `vfio-pci` at `path`, which gets this id. Throws `qemuctl::Error`.
asio::awaitable<Qdev> look_at_pci_device(qemuctl::Instance& vm, std::string path, std::string id);

/// What is wrong with a file that is to be the ROM of a card; empty: nothing, or it names none. QEMU opens it by
/// itself.
std::string rom_file_problem(const std::string& path);

/// See `attach_device`. `vfio-pci` has the device already. `rom_file`: empty: the card's own ROM.
asio::awaitable<void> attach_pci(qemuctl::Instance& vm, std::string address, std::string id, std::string rom_file);

} // namespace hotplug::detail
