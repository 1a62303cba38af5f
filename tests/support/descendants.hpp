// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace test {

/// Marks this process so that its descendants can be told from others, also those that are no longer its children:
/// starts it again, with a mark in the environment that they inherit, unless that is done. Call first of all.
void mark_descendants(char** argv);

/// True for what the marked process `ancestor` has started, directly or not, and for itself.
bool descends_from(int ancestor, int pid);

/// Has the descendants of this marked process killed as soon as it is gone, however it ended: a VM is in a session of
/// its own and would outlive a test that is killed. Call while there is one thread.
void kill_descendants_afterwards();

} // namespace test
