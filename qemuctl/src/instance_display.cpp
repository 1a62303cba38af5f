// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "instance_impl.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <system_error>

namespace qemuctl {
namespace {

using ImplPtr = std::shared_ptr<Instance::Impl>;

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
  co_await impl->execute("getfd", name_argument, std::move(with_fd));

  Json arguments = Json::object({{"protocol", protocol}, {"fdname", fd_name}, {"skipauth", skip_auth}});
  if (protocol == "spice") arguments.set("tls", tls);
  std::exception_ptr failure;
  try {
    co_await impl->execute("add_client", std::move(arguments));
  } catch (const Error&) {
    failure = std::current_exception();
  }
  if (failure) {
    try {
      co_await impl->execute("closefd", std::move(name_argument));
    } catch (const Error&) { // QEMU has taken the name already, or is gone: the first error is the one to tell
    }
    std::rethrow_exception(failure);
  }
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

/// A file that is written beside its destination and appears there whole or not at all.
class NewFile {
 public:
  explicit NewFile(std::filesystem::path destination) : destination_(std::move(destination)) {
    std::string pattern = destination_.string() + ".XXXXXX";
    const int created = ::mkostemp(pattern.data(), O_CLOEXEC);
    if (created < 0) throw std::system_error(errno, std::system_category(), destination_.string());
    ::close(created);
    temporary_ = pattern;
    // QEMU opens the passed descriptor for writing only, and finds it only when its access mode is exactly that.
    fd_.reset(::open(temporary_.c_str(), O_WRONLY | O_CLOEXEC));
    ::chmod(temporary_.c_str(), 0644);
  }
  NewFile(NewFile&&) = delete;
  ~NewFile() {
    if (!temporary_.empty()) ::unlink(temporary_.c_str());
  }
  FileDescriptor descriptor() const { return fd_.duplicate(); }
  void start_over() const {
    if (::ftruncate(fd_.get(), 0) != 0) throw std::system_error(errno, std::system_category(), temporary_.string());
  }
  void commit() {
    std::filesystem::rename(temporary_, destination_);
    temporary_.clear();
  }

 private:
  std::filesystem::path destination_, temporary_;
  FileDescriptor fd_;
};

/// One `screendump` into a descriptor. The set is removed whatever happens: QEMU keeps unused sets open.
asio::awaitable<void> dump_screen(ImplPtr impl, FileDescriptor file, ScreenshotFormat format) {
  ExecuteOptions with_fd;
  with_fd.file_descriptors.push_back(std::move(file));
  const Json added = co_await impl->execute("add-fd", Json(), std::move(with_fd));
  const std::int64_t set = added.at("fdset-id").as_int();

  Json arguments = Json::object({{"filename", fmt::format("/dev/fdset/{}", set)}});
  // PPM is what a QEMU before 7.1, which has no such argument, writes anyway.
  if (format == ScreenshotFormat::png) arguments.set("format", "png");
  std::exception_ptr failure;
  try {
    co_await impl->execute("screendump", std::move(arguments));
  } catch (...) {
    failure = std::current_exception();
  }
  try {
    Json set_argument = Json::object({{"fdset-id", set}});
    co_await impl->execute("remove-fd", std::move(set_argument));
  } catch (const Error&) { // gone already, or QEMU is: nothing is left open either way
  }
  if (failure) std::rethrow_exception(failure);
}

asio::awaitable<ScreenshotFormat> take_screenshot(ImplPtr impl, std::filesystem::path file,
                                                  ScreenshotFormat preferred) {
  NewFile output(std::move(file));
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
