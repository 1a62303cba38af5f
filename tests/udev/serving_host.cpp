// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "serving_host.hpp"

#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>

#include <algorithm>
#include <filesystem>
#include <iterator>

namespace test {

ServingHost::ServingHost() {
  config.general.max_arrivals_per_minute = 0;
}

ServingHost::~ServingHost() {
  try {
    stop_serving();
  } catch (const std::exception&) { // the case has failed anyway
  }
}

void ServingHost::start_engine() {
  start();
  wait_until("it is connected", [this] {
    for (const hotplug::VmState& vm : engine->vms()) {
      const bool runs = std::filesystem::exists(socket(vm.name));
      const bool done = vm.link == hotplug::LinkState::connected || vm.link == hotplug::LinkState::yielded;
      if (runs ? !done : vm.link != hotplug::LinkState::waiting) return false;
    }
    return true;
  });
}

void ServingHost::serve(asio::awaitable<void> work) {
  serving_ = true;
  asio::co_spawn(io, std::move(work),
                 asio::bind_cancellation_slot(stop_.slot(), [this](std::exception_ptr) { serving_ = false; }));
}

void ServingHost::stop_serving() {
  if (!serving_) return;
  stop_.emit(asio::cancellation_type::terminal);
  wait_until("the server has ended", [this] { return !serving_; });
}

hotplug::LogHandler ServingHost::log_handler() {
  return [this](hotplug::LogLevel, std::string_view text) { log.emplace_back(text); };
}

std::vector<std::string> ServingHost::audit() const {
  std::vector<std::string> lines;
  std::ranges::copy_if(log, std::back_inserter(lines), [](const auto& line) { return line.starts_with("audit:"); });
  return lines;
}

bool ServingHost::logged(std::string_view text) const {
  return std::ranges::any_of(log, [&](const std::string& line) { return line.find(text) != line.npos; });
}

} // namespace test
