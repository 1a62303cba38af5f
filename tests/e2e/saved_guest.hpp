// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "host_vm.hpp"
#include "temp_dir.hpp"

#include <string>

namespace test {

/// A guest that has booted on this machine, which takes seconds, and was saved. A QEMU in a host in a VM goes on
/// with it at once, where booting takes minutes. To be made before the host, which sees files as they were then:
///
///     test::SavedGuest guest;
///     test::HostVm host;
///     test::NestedQemu vm = host.start_qemu("guest", guest.arguments());
///     guest.run(host, "uname -a");
///     guest.wait_for(host, "Linux");
///
/// It has two empty ports, "ep0" and "ep1", and `api_call` as /call. Its kernel writes to its console, too.
class SavedGuest {
 public:
  /// Skips the case when the machine has not got what it takes.
  SavedGuest();

  /// For `HostVm::start_qemu`, once for each host. Further devices on the root bus are seen after
  /// `echo 1 >/sys/bus/pci/rescan`; in ports nothing may be.
  std::string arguments() const;
  /// Runs a line in the shell on its console, and returns when it is done.
  void run(HostVm& host, const std::string& line);
  /// Until there is a line on the console that has this basic regular expression.
  static void wait_for(HostVm& host, const std::string& pattern);

 private:
  TempDir folder_;
  int lines_ = 0;
};

} // namespace test
