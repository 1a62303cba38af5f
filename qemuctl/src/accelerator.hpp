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
  std::string warning; ///< why it is not KVM, in one line; empty when it is, or when nobody would expect it
};

/// Chooses what executes the guest of `config`.
///
/// "kvm" and "tcg" are taken as they are. "auto" takes KVM when a VM with this binary, machine type and CPU model
/// really starts with it (a /dev/kvm that can be opened is no proof: on some hosts QEMU aborts when it sets up the CPU)
/// and TCG otherwise, with a warning unless the guest's architecture is another than the host's.
///
/// The proof is one start of QEMU without devices, at most 10 s. That it worked, or that QEMU crashed,
/// is remembered in the cache until the binary or the boot id changes; other failures may be gone the next time
/// (another hypervisor held the CPU) and are not.
asio::awaitable<AcceleratorChoice> choose_accelerator(const VmConfig& config, const QemuInfo& qemu);

} // namespace qemuctl::detail
