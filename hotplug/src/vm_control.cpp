// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "vm_control.hpp"

#include "api_message.hpp"
#include "text_file.hpp"

#include <qemuctl/error.hpp>

#include <stdlib.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

namespace hotplug::detail {

using qemuctl::Instance;
using qemuctl::Json;

namespace {

constexpr const char* taking = "take a screenshot";
/// 4096 by 2160 pixels without compression.
constexpr std::size_t largest_screenshot = 27 << 20;

/// A private folder, removed at the end.
class PrivateFolder {
 public:
  PrivateFolder() : path_((std::filesystem::temp_directory_path() / "qemuctl-XXXXXX").string()) {
    if (::mkdtemp(path_.data())) return;
    qemuctl::Diagnostics diagnostics;
    diagnostics.operation = taking;
    diagnostics.subject = path_;
    throw qemuctl::Error(std::error_code(errno, std::generic_category()), std::move(diagnostics));
  }
  ~PrivateFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  PrivateFolder(const PrivateFolder&) = delete;
  PrivateFolder& operator=(const PrivateFolder&) = delete;

  std::filesystem::path operator/(const char* name) const { return std::filesystem::path(path_) / name; }

 private:
  std::string path_;
};

} // namespace

asio::awaitable<Screenshot> take_screenshot(std::shared_ptr<Instance> vm) {
  const PrivateFolder folder;
  const std::filesystem::path file = folder / "screen";
  Screenshot result;
  result.format = co_await vm->screendump(file);
  result.bytes = qemuctl::detail::read_text_file(file, largest_screenshot, taking);
  co_return result;
}

asio::awaitable<Json> control_vm(std::shared_ptr<Instance> vm, ApiRequest request) {
  Json result;
  switch (request.known->action) {
  case ApiAction::vm_shutdown:
    co_await vm->shutdown();
    break;
  case ApiAction::vm_stop: {
    const qemuctl::StopResult how = co_await vm->stop(std::chrono::seconds(request.timeout));
    result.set("outcome", qemuctl::to_string(how));
    break;
  }
  case ApiAction::vm_pause:
    co_await vm->pause();
    break;
  case ApiAction::vm_resume:
    co_await vm->resume();
    break;
  case ApiAction::vm_reset:
    co_await vm->reset();
    break;
  case ApiAction::vm_screenshot: {
    const Screenshot picture = co_await take_screenshot(vm);
    result.set("format", picture.format == qemuctl::ScreenshotFormat::png ? "png" : "ppm");
    result.set("image", base64(picture.bytes));
    break;
  }
  case ApiAction::vm_send_key:
    co_await vm->send_key(std::move(request.keys));
    break;
  default:
    break;
  }
  co_return result;
}

} // namespace hotplug::detail
