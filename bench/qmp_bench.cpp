// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// What the library costs over the same work done by bare system calls, in the same run and in turn, against real QEMU.
#include "bare_qmp.hpp"
#include "samples.hpp"

#include <qemuctl/instance.hpp>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <fmt/format.h>
#include <simdjson.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace qemuctl;

/// As many bytes as the library sends: QEMU reads byte by byte, so length is time.
constexpr std::string_view query_status = "{\"execute\":\"query-status\",\"id\":\"abcd1234\"}\n";

double microseconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
}

VmConfig bench_vm(const std::filesystem::path& dir) {
  VmConfig config;
  config.name = "bench";
  config.socket_dir = dir.string();
  config.machine.accel = "tcg"; // named, so that the same thing is measured on every machine
  config.memory.size_mib = 64;
  return config;
}

/// Takes a sample of each side in every round, now of the one first, now of the other, so that what changes on the
/// machine meanwhile does not favour one of them. The first round warms up.
template<class Library, class Bare>
asio::awaitable<bench::Samples> measure(std::string name, int rounds, Library library, Bare bare) {
  bench::Samples samples;
  samples.name = std::move(name);
  for (int i = -1; i < rounds; ++i) {
    double library_time = 0, bare_time = 0;
    const bool bare_first = i >= 0 && i % 2 == 0;
    if (bare_first) bare_time = bare();
    library_time = co_await library();
    if (!bare_first) bare_time = bare();
    if (i < 0) continue;
    samples.library.push_back(library_time);
    samples.bare.push_back(bare_time);
  }
  co_return samples;
}

/// A launch ends when QEMU has said that the VM runs. Both sides start the same command line.
asio::awaitable<bench::Samples> measure_launch(std::filesystem::path dir, int rounds) {
  const VmConfig config = bench_vm(dir);
  const LaunchOptions options;
  std::vector<std::string> argv;
  std::string monitor;
  const auto library = [&]() -> asio::awaitable<double> {
    const auto begin = std::chrono::steady_clock::now();
    Instance vm = co_await Instance::launch(config, options);
    if (vm.state() != State::running) throw std::runtime_error("it does not run");
    const double time = microseconds_since(begin);
    argv = vm.command_line();
    monitor = to_string(vm.monitor());
    co_await vm.force_stop();
    co_return time;
  };
  const auto bare = [&] {
    const auto begin = std::chrono::steady_clock::now();
    bench::BareQemu qemu = bench::launch_bare(argv, monitor);
    qemu.qmp.send(query_status);
    if (qemu.qmp.receive(1).find("\"running\"") == std::string_view::npos) throw std::runtime_error("it does not run");
    const double time = microseconds_since(begin);
    bench::kill_and_reap(qemu.pid);
    return time;
  };
  std::string name = "launch to running (TCG, q35, 64 MiB)";
  bench::Samples samples = co_await measure(std::move(name), rounds, library, bare);
  co_return samples;
}

/// One command at a time; a sample is the mean over `batch` of them.
asio::awaitable<bench::Samples> measure_round_trip(Instance& vm, bench::BareQmp& qmp, int rounds, int batch) {
  const auto library = [&, batch]() -> asio::awaitable<double> {
    const auto begin = std::chrono::steady_clock::now();
    for (int j = 0; j < batch; ++j) co_await vm.execute("query-status");
    co_return microseconds_since(begin) / batch;
  };
  const auto bare = [&, batch] {
    const auto begin = std::chrono::steady_clock::now();
    for (int j = 0; j < batch; ++j) {
      qmp.send(query_status);
      qmp.receive(1);
    }
    return microseconds_since(begin) / batch;
  };
  std::string name = "query-status, one at a time";
  bench::Samples samples = co_await measure(std::move(name), rounds, library, bare);
  co_return samples;
}

/// `in_flight` commands sent before the first reply is read; a sample is the time for one of them.
asio::awaitable<bench::Samples> measure_in_flight(Instance& vm, bench::BareQmp& qmp, int rounds, int in_flight) {
  const auto executor = co_await asio::this_coro::executor;
  asio::steady_timer done(executor);
  const auto library = [&, in_flight]() -> asio::awaitable<double> {
    const auto begin = std::chrono::steady_clock::now();
    int left = in_flight;
    std::exception_ptr failure;
    done.expires_at(asio::steady_timer::time_point::max());
    for (int j = 0; j < in_flight; ++j)
      asio::co_spawn(executor, vm.execute("query-status"), [&](std::exception_ptr thrown, const Json&) {
        if (thrown) failure = thrown;
        if (--left == 0) done.cancel();
      });
    std::error_code woken;
    co_await done.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    if (failure) std::rethrow_exception(failure);
    co_return microseconds_since(begin) / in_flight;
  };
  std::string commands;
  for (int j = 0; j < in_flight; ++j) commands += query_status;
  const auto bare = [&, in_flight] {
    const auto begin = std::chrono::steady_clock::now();
    qmp.send(commands);
    qmp.receive(in_flight);
    return microseconds_since(begin) / in_flight;
  };
  std::string name = fmt::format("query-status, {} in flight", in_flight);
  bench::Samples samples = co_await measure(std::move(name), rounds, library, bare);
  co_return samples;
}

/// The largest reply there is, read and parsed. The bare side parses with simdjson alone and keeps nothing.
asio::awaitable<bench::Samples> measure_schema(Instance& vm, bench::BareQmp& qmp, int rounds) {
  const auto library = [&]() -> asio::awaitable<double> {
    const auto begin = std::chrono::steady_clock::now();
    const Json schema = co_await vm.execute("query-qmp-schema");
    if (schema.size() < 100) throw std::runtime_error("no schema");
    co_return microseconds_since(begin);
  };
  simdjson::dom::parser parser;
  const auto bare = [&] {
    const auto begin = std::chrono::steady_clock::now();
    qmp.send("{\"execute\":\"query-qmp-schema\",\"id\":\"abcd1234\"}\n");
    const std::string_view reply = qmp.receive(1);
    simdjson::dom::element parsed;
    if (parser.parse(reply.data(), reply.size()).get(parsed)) throw std::runtime_error("no schema");
    return microseconds_since(begin);
  };
  std::string name = "query-qmp-schema with parsing";
  bench::Samples samples = co_await measure(std::move(name), rounds, library, bare);
  co_return samples;
}

asio::awaitable<void> run_all(std::filesystem::path dir) {
  std::vector<bench::Samples> all;
  all.push_back(co_await measure_launch(dir, 40));

  LaunchOptions options;
  options.kill_on_destruction = true;
  options.paused = true; // a guest would compete for the processor
  const VmConfig config = bench_vm(dir);
  Instance vm = co_await Instance::launch(config, std::move(options));
  fmt::print("QEMU {}.{}.{} ({})\n", vm.qemu().major, vm.qemu().minor, vm.qemu().micro, vm.qemu().package);
  bench::BareQmp bare(bench::connect_bare(to_string(vm.monitor())));
  bare.negotiate();
  all.push_back(co_await measure_round_trip(vm, bare, 60, 100));
  all.push_back(co_await measure_in_flight(vm, bare, 200, 32));
  all.push_back(co_await measure_schema(vm, bare, 60));
  for (const bench::Samples& samples : all) bench::print_raw(samples);
  bench::print_table(all);
}

} // namespace

int main() {
  std::string pattern = (std::filesystem::temp_directory_path() / "qemuctl-bench-XXXXXX").string();
  if (!::mkdtemp(pattern.data())) {
    std::perror(pattern.c_str());
    return 1;
  }
  int status = 0;
  asio::io_context context(1);
  asio::co_spawn(context, run_all(pattern), [&](std::exception_ptr failure) {
    try {
      if (failure) std::rethrow_exception(failure);
    } catch (const std::exception& error) {
      fmt::print(stderr, "qemuctl_bench: {}\n", error.what());
      status = 1;
    }
  });
  context.run();
  std::filesystem::remove_all(pattern);
  return status;
}
