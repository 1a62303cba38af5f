// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// fake_logind: what logind does about sleep, on the bus of $DBUS_SYSTEM_BUS_ADDRESS. On SIGUSR1 the host is about to
// sleep, and does ("asleep") when nobody has an inhibitor lock any more; on SIGUSR2 it is awake again.
#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr const char* path = "/org/freedesktop/login1";
constexpr const char* interface = "org.freedesktop.login1.Manager";

int watched = -1; ///< the end of the lock that stays here: it hangs up when the lock is given back

void say(const char* text) {
  std::puts(text);
  std::fflush(stdout);
}

int check(int result, const char* what) {
  if (result >= 0) return result;
  std::fprintf(stderr, "fake_logind: %s: %s\n", what, std::strerror(-result));
  std::exit(1);
}

int inhibit(sd_bus_message* message, void*, sd_bus_error*) {
  const char *what = nullptr, *who = nullptr, *why = nullptr, *mode = nullptr;
  check(sd_bus_message_read(message, "ssss", &what, &who, &why, &mode), "read Inhibit");
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) std::exit(1);
  if (watched >= 0) close(watched);
  watched = ends[0];
  std::printf("lock: %s %s %s\n", what, who, mode);
  std::fflush(stdout);
  const int result = sd_bus_reply_method_return(message, "h", ends[1]);
  close(ends[1]);
  return result;
}

const sd_bus_vtable methods[] = {SD_BUS_VTABLE_START(0), SD_BUS_METHOD("Inhibit", "ssss", "h", inhibit, 0),
                                 SD_BUS_SIGNAL("PrepareForSleep", "b", 0), SD_BUS_VTABLE_END};

void tell(sd_bus* bus, int before) {
  check(sd_bus_emit_signal(bus, path, interface, "PrepareForSleep", "b", before), "tell of sleep");
}

} // namespace

int main() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  sigaddset(&signals, SIGUSR2);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  const int told = signalfd(-1, &signals, SFD_CLOEXEC);
  sd_bus* bus = nullptr;
  check(sd_bus_open_system(&bus), "open the bus");
  check(sd_bus_add_object_vtable(bus, nullptr, path, interface, methods, nullptr), "offer the object");
  check(sd_bus_request_name(bus, "org.freedesktop.login1", 0), "take the name");
  say("ready");
  bool going_to_sleep = false;
  for (;;) {
    while (check(sd_bus_process(bus, nullptr), "process the bus") > 0) {
    }
    sd_bus_flush(bus);
    pollfd files[] = {{sd_bus_get_fd(bus), POLLIN, 0}, {told, POLLIN, 0}, {going_to_sleep ? watched : -1, 0, 0}};
    if (poll(files, 3, -1) < 0) continue;
    if (files[2].revents & POLLHUP) {
      going_to_sleep = false;
      say("asleep");
    }
    signalfd_siginfo signal{};
    if (!(files[1].revents & POLLIN) || read(told, &signal, sizeof signal) != sizeof signal) continue;
    going_to_sleep = signal.ssi_signo == SIGUSR1;
    tell(bus, going_to_sleep ? 1 : 0);
    say(going_to_sleep ? "going to sleep" : "awake");
  }
}
