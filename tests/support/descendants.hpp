// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace test {

/// Marks this process so that its descendants can be recognised, even those that are no longer its children:
/// re-executes it with a mark in the environment that they inherit, unless already done. Call this first.
void mark_descendants(char** argv);

/// True for processes that the marked process `ancestor` started, directly or not, and for itself.
bool descends_from(int ancestor, int pid);

/// Ensures that the descendants of this marked process are killed when it ends, however that happens: a VM has its own
/// session and would outlive a killed test. Call this while there is only one thread.
void kill_descendants_afterwards();

} // namespace test
