// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "environment.hpp"
#include "serving_host.hpp"

#include <hotplug/rest_server.hpp>

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace test {

/// A host with an engine that serves the web page, and a browser that looks at it.
///
/// The part of a case that uses the browser is a function of browser.py. It asks for what happens on the host: a line
/// with a word of `commands` and an argument, which gets a line as an answer.
class PageHost : public ServingHost {
 public:
  PageHost();

  /// Starts the engine, and serves the page when all VMs that run are connected.
  void start_page();
  /// Runs that function of browser.py; fails the case when it fails, and skips it when there is no browser.
  void browse(const std::string& scenario);

  hotplug::RestConfig rest;
  hotplug::RestServerOptions rest_options;
  std::map<std::string, std::function<std::string(const std::string&)>> commands;

 private:
  void start_service();
  std::string answer(const std::string& line);
  /// "4 Mouse": what goes into that port.
  std::string plug(const std::string& argument);

  Environment no_preload_{"LD_PRELOAD", std::nullopt}; // umockdev's, which is for this process alone
  std::optional<hotplug::RestServer> server_;
  std::map<std::string, std::string> plugged_; ///< sysfs paths by port
};

} // namespace test
