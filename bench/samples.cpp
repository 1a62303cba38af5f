// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "samples.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace bench {

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void print_raw(const Samples& samples) {
  fmt::print("raw | {} | bare | {:.1f}\n", samples.name, fmt::join(samples.bare, " "));
  fmt::print("raw | {} | qemuctl | {:.1f}\n", samples.name, fmt::join(samples.library, " "));
}

void print_table(const std::vector<Samples>& all) {
  fmt::print("\n| what | samples | bare, median | qemuctl, median | ratio of medians | median of ratios |\n"
             "|---|---|---|---|---|---|\n");
  for (const Samples& samples : all) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < samples.bare.size(); ++i) ratios.push_back(samples.library[i] / samples.bare[i]);
    fmt::print("| {} | {} | {:.1f} µs | {:.1f} µs | {:.3f} | {:.3f} |\n", samples.name, samples.bare.size(),
               median(samples.bare), median(samples.library), median(samples.library) / median(samples.bare),
               median(ratios));
  }
}

} // namespace bench
