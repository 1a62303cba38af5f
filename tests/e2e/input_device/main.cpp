// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// input_device make NAME: a keyboard of that name, until it is killed.
// input_device hold NODE: has an input device for itself, until it is killed.
#include <fcntl.h>
#include <linux/uinput.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>

namespace {

int fail(const char* what) {
  std::perror(what);
  return 1;
}

int make(const char* name) {
  const int fd = ::open("/dev/uinput", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return fail("/dev/uinput");
  uinput_setup setup{};
  setup.id.bustype = BUS_VIRTUAL;
  std::strncpy(setup.name, name, sizeof setup.name - 1);
  bool good = ::ioctl(fd, UI_SET_EVBIT, EV_KEY) == 0;
  for (int key = KEY_ESC; key <= KEY_D; ++key) good = good && ::ioctl(fd, UI_SET_KEYBIT, key) == 0;
  if (!good || ::ioctl(fd, UI_DEV_SETUP, &setup) != 0 || ::ioctl(fd, UI_DEV_CREATE) != 0) return fail("uinput");
  return 0;
}

int hold(const char* node) {
  const int fd = ::open(node, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(node);
  return ::ioctl(fd, EVIOCGRAB, 1) == 0 ? 0 : fail("EVIOCGRAB");
}

} // namespace

int main(int argc, char** argv) {
  const std::string what = argc == 3 ? argv[1] : "";
  if (what != "make" && what != "hold") return 2;
  if (const int status = what == "make" ? make(argv[2]) : hold(argv[2])) return status;
  std::cout << "ready" << std::endl;
  for (;;) ::pause();
}
