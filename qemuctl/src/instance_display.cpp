// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "instance_impl.hpp"

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <limits>
#include <random>
#include <system_error>

namespace qemuctl {
namespace {

using ImplPtr = std::shared_ptr<Instance::Impl>;

/// A command that was cancelled or got no answer, and what QEMU may have done all the same.
bool is_unanswered(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    return error.code() != errc::command_failed;
  } catch (...) {
    return true;
  }
}

/// Makes QEMU release a descriptor, after the command that used it ended with `failure`. QEMU runs commands in order,
/// so this comes after that one. A cancelled caller cannot wait for it, and one that got no reply need not wait for
/// another: it then runs in the background, at most for the usual timeout of a command.
asio::awaitable<void> let_go(ImplPtr impl, std::string command, Json arguments) {
  try {
    co_await impl->execute(std::move(command), std::move(arguments));
  } catch (const Error&) { // let go already, or QEMU is gone
  }
}

void let_go_in_background(ImplPtr impl, std::string command, Json arguments) {
  asio::co_spawn(impl->executor, let_go(impl, std::move(command), std::move(arguments)), asio::detached);
}

/// Hands a display client's socket over: `getfd` names it for this monitor, `add_client` takes the name.
asio::awaitable<void> add_client(ImplPtr impl, std::string protocol, FileDescriptor socket, bool skip_auth, bool tls) {
  if (protocol == "vnc") {
    // QEMU accepts a VNC client without a VNC display and then forgets it.
    const Json vnc = co_await impl->execute("query-vnc-servers");
    if (vnc.size() == 0)
      impl->fail(errc::not_supported, "add a VNC client", "it has no VNC display",
                 "Give it one with display.type \"vnc\"; display.vnc.listen \"none\" needs no port.");
  }
  const std::string fd_name = fmt::format("qemuctl-client-{}", impl->next_fd_name++);
  ExecuteOptions with_fd;
  with_fd.file_descriptors.push_back(std::move(socket));
  Json name_argument = Json::object({{"fdname", fd_name}});
  Json arguments = Json::object({{"protocol", protocol}, {"fdname", fd_name}, {"skipauth", skip_auth}});
  if (protocol == "spice") arguments.set("tls", tls);
  std::exception_ptr failure;
  try {
    co_await impl->execute("getfd", name_argument, std::move(with_fd));
    co_await impl->execute("add_client", std::move(arguments));
    co_return;
  } catch (...) {
    failure = std::current_exception();
  }
  if (is_unanswered(failure))
    let_go_in_background(impl, "closefd", std::move(name_argument));
  else
    co_await let_go(impl, "closefd", std::move(name_argument));
  std::rethrow_exception(failure);
}

asio::awaitable<void> set_password(ImplPtr impl, std::string protocol, std::string password,
                                   std::optional<PasswordExpiry> expiry) {
  Json arguments = Json::object({{"protocol", protocol}, {"password", std::move(password)}, {"connected", "keep"}});
  co_await impl->execute("set_password", std::move(arguments));
  if (expiry) {
    Json expire = Json::object({{"protocol", protocol}, {"time", expiry->qmp_value}});
    co_await impl->execute("expire_password", std::move(expire));
  }
}

/// A file that is written beside its destination and appears there whole or not at all. Throws `Error`.
class NewFile {
 public:
  NewFile(const Instance::Impl& impl, std::filesystem::path destination)
      : impl_(impl), destination_(std::move(destination)) {
    // Not mkstemp, which ignores the umask and opens for reading, too: QEMU finds the descriptor it is passed only
    // when its access mode is the one it wants.
    std::random_device random;
    for (int attempt = 0; attempt < 100 && !fd_; ++attempt) {
      temporary_ = destination_.string() + fmt::format(".{:08x}", random());
      fd_.reset(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
      if (!fd_ && errno != EEXIST) break;
    }
    if (!fd_) {
      const int error = errno;
      temporary_.clear();
      fail(error);
    }
  }
  NewFile(NewFile&&) = delete;
  ~NewFile() {
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
  }
  FileDescriptor descriptor() const { return fd_.duplicate(); }
  void start_over() const {
    if (::ftruncate(fd_.get(), 0) != 0) fail(errno);
  }
  void commit() {
    if (::rename(temporary_.c_str(), destination_.c_str()) != 0) fail(errno);
    temporary_.clear();
  }

 private:
  [[noreturn]] void fail(int error) const {
    const std::error_code code(error, std::generic_category());
    impl_.fail(code, "take a screenshot",
               fmt::format("{} cannot be written: {}", destination_.string(), code.message()), "");
  }

  const Instance::Impl& impl_;
  std::filesystem::path destination_, temporary_;
  FileDescriptor fd_;
};

/// A number for a set of descriptors, chosen here so that the set can be removed even if the reply to its creation
/// never came. It shares a space with other clients' sets, and QEMU reads it as an `int`.
std::int64_t new_fdset_id() {
  std::random_device random;
  return std::uniform_int_distribution<std::int64_t>(1 << 20, std::numeric_limits<int>::max())(random);
}

/// One `screendump` into a descriptor. The set is removed whatever happens: QEMU keeps unused sets open.
asio::awaitable<void> dump_screen(ImplPtr impl, FileDescriptor file, ScreenshotFormat format) {
  const std::int64_t set = new_fdset_id();
  Json set_argument = Json::object({{"fdset-id", set}});
  ExecuteOptions with_fd;
  with_fd.file_descriptors.push_back(std::move(file));
  Json arguments = Json::object({{"filename", fmt::format("/dev/fdset/{}", set)}});
  // PPM is what a QEMU before 7.1, which has no such argument, writes anyway.
  if (format == ScreenshotFormat::png) arguments.set("format", "png");
  std::exception_ptr failure;
  try {
    co_await impl->execute("add-fd", set_argument, std::move(with_fd));
    co_await impl->execute("screendump", std::move(arguments));
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure && is_unanswered(failure))
    let_go_in_background(impl, "remove-fd", std::move(set_argument));
  else
    co_await let_go(impl, "remove-fd", std::move(set_argument));
  if (failure) std::rethrow_exception(failure);
}

asio::awaitable<ScreenshotFormat> take_screenshot(ImplPtr impl, std::filesystem::path file,
                                                  ScreenshotFormat preferred) {
  NewFile output(*impl, std::move(file));
  ScreenshotFormat format = preferred;
  if (preferred == ScreenshotFormat::png) {
    try {
      co_await dump_screen(impl, output.descriptor(), ScreenshotFormat::png);
    } catch (const Error& error) {
      // "Parameter 'format' is unexpected" before 7.1, "Enable PNG support..." in a build without libpng.
      const std::string& text = error.diagnostics().server_text;
      const bool no_png = error.code() == errc::command_failed &&
                          (text.find("format") != std::string::npos || text.find("PNG") != std::string::npos);
      if (!no_png) throw;
      format = ScreenshotFormat::ppm;
    }
  }
  if (format == ScreenshotFormat::ppm) {
    output.start_over();
    co_await dump_screen(impl, output.descriptor(), ScreenshotFormat::ppm);
  }
  output.commit();
  co_return format;
}

} // namespace

asio::awaitable<ScreenshotFormat> Instance::screendump(std::filesystem::path file, ScreenshotFormat preferred) {
  return take_screenshot(impl_, std::move(file), preferred);
}

asio::awaitable<void> Instance::add_vnc_client(FileDescriptor socket, bool skip_auth) {
  return add_client(impl_, "vnc", std::move(socket), skip_auth, false);
}

asio::awaitable<void> Instance::add_spice_client(FileDescriptor socket, bool skip_auth, bool tls) {
  return add_client(impl_, "spice", std::move(socket), skip_auth, tls);
}

asio::awaitable<void> Instance::set_vnc_password(std::string password, std::optional<PasswordExpiry> expiry) {
  return set_password(impl_, "vnc", std::move(password), std::move(expiry));
}

asio::awaitable<void> Instance::set_spice_password(std::string password, std::optional<PasswordExpiry> expiry) {
  return set_password(impl_, "spice", std::move(password), std::move(expiry));
}

PasswordExpiry PasswordExpiry::in(std::chrono::seconds duration) {
  // QEMU reads "+0" as "already expired".
  return {fmt::format("+{}", std::max<std::chrono::seconds::rep>(duration.count(), 1))};
}

PasswordExpiry PasswordExpiry::at(std::chrono::system_clock::time_point time) {
  return {fmt::format("{}", std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count())};
}

asio::awaitable<void> Instance::send_key(std::vector<std::string> keys, std::optional<std::chrono::milliseconds> hold) {
  auto impl = impl_;
  if (keys.empty() || keys.size() > 16)
    impl->fail(errc::invalid_argument, "send keys", fmt::format("{} keys were given", keys.size()),
               "Give 1 to 16 keys.");
  Json::Array values;
  for (std::string& key : keys) values.push_back(Json::object({{"type", "qcode"}, {"data", std::move(key)}}));
  Json arguments = Json::object({{"keys", Json::array(std::move(values))}});
  if (hold) arguments.set("hold-time", static_cast<std::int64_t>(hold->count()));
  co_await impl->execute("send-key", std::move(arguments));
}

} // namespace qemuctl
