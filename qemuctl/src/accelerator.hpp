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
  std::string warning; ///< one line saying why it is not KVM; empty if it is, or if nobody would expect it
};

/// Chooses what executes the guest of `config`.
///
/// "kvm" and "tcg" are used as is. "auto" chooses KVM if a VM with this binary, machine type and CPU model really
/// starts with it (being able to open /dev/kvm proves nothing: on some hosts QEMU aborts while setting up the CPU),
/// otherwise TCG, with a warning unless the guest's architecture differs from the host's.
///
/// The proof is one start of QEMU without devices, of at most 10 s. Success, or a crash of QEMU, is cached until the
/// binary or the boot id changes; other failures may be transient (another hypervisor held the CPU) and are not
/// cached.
asio::awaitable<AcceleratorChoice> choose_accelerator(const VmConfig& config, const QemuInfo& qemu);

} // namespace qemuctl::detail
