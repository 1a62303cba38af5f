// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace bench {

/// Durations of one operation done by both sides in turn, in microseconds.
struct Samples {
  std::string name;
  std::vector<double> bare, library;
};

double median(std::vector<double> values);

/// The raw samples, one line for each side.
void print_raw(const Samples& samples);

/// A table of medians and ratios, in Markdown.
void print_table(const std::vector<Samples>& all);

} // namespace bench
