// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "nearest_word.hpp"

#include "catch.hpp"

#include <string>
#include <vector>

using qemuctl::detail::edit_distance;
using qemuctl::detail::nearest_word;

TEST_CASE("the edit distance counts insertions, deletions, replacements and swaps") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("disk", "disk") == 0);
  CHECK(edit_distance("", "disk") == 4);
  CHECK(edit_distance("disk", "") == 4);
  CHECK(edit_distance("disk", "disks") == 1);
  CHECK(edit_distance("dsk", "disk") == 1);
  CHECK(edit_distance("dusk", "disk") == 1);
  CHECK(edit_distance("idsk", "disk") == 1);
  CHECK(edit_distance("readonly", "readOnly") == 0);
  CHECK(edit_distance("kitten", "sitting") == 3);
}

TEST_CASE("the nearest word is the one somebody most likely meant") {
  const std::vector<std::string> keys{"name", "machine", "memory", "disks", "networks", "usb"};
  CHECK(nearest_word("nmae", keys) == "name");
  CHECK(nearest_word("disk", keys) == "disks");
  CHECK(nearest_word("MEMORY", keys) == "memory");
  CHECK(nearest_word("network", keys) == "networks");
}

TEST_CASE("a word that is cut short, or that another one is cut short to, is near") {
  const std::vector<std::string> keys{"type", "accel", "macAddr"};
  CHECK(nearest_word("accelerator", keys) == "accel");
  CHECK(nearest_word("mac", keys) == "macAddr");
  CHECK(nearest_word("ma", keys).empty());
}

TEST_CASE("a word that is a part of another one is nearer to that than to one of its own length") {
  const std::vector<std::string> devices{"qemu-xhci", "usb-tablet", "virtio-mem", "virtio-net-device",
                                         "virtio-net-pci"};
  CHECK(nearest_word("virtio-net", devices) == "virtio-net-pci");
  CHECK(nearest_word("tablet", devices) == "usb-tablet");
  CHECK(nearest_word("xhci", devices) == "qemu-xhci");
}

TEST_CASE("a word that is like none has no nearest one") {
  const std::vector<std::string> keys{"name", "machine", "memory", "disks", "networks", "usb"};
  CHECK(nearest_word("xyz", keys).empty());
  CHECK(nearest_word("", keys).empty());
  CHECK(nearest_word("qqqqqqqqqqqq", keys).empty());
  CHECK(nearest_word("name", {}).empty());
  CHECK(nearest_word(std::string(1'000'000, 'a'), keys).empty());
}
