// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <qemuctl/qemu_info.hpp>
#include <qemuctl/vm_config.hpp>

#include <asio/awaitable.hpp>

#include <string>

namespace qemuctl::detail {

struct AcceleratorChoice {
    std::string accel;   ///< "kvm" or "tcg"
    std::string warning; ///< why it is not KVM; empty when it is, or when TCG was asked for
};

/// Chooses what executes the guest of `config`.
///
/// "kvm" and "tcg" are taken as they are. "auto" takes KVM when a VM with this binary, machine type and CPU model really
/// starts with it (a /dev/kvm that can be opened is no proof: on some hosts QEMU aborts when it sets up the CPU) and TCG
/// otherwise. The proof is one start of QEMU without devices, at most 10 s; its answer is remembered in the cache
/// folder, keyed by the binary (path, size, modification time), machine type, CPU model with features, and boot id.
/// KVM is only tried when the guest's architecture is the host's.
asio::awaitable<AcceleratorChoice> choose_accelerator(const VmConfig& config, const QemuInfo& qemu);

} // namespace qemuctl::detail
