// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

// Before any other header of Catch2.
#define CATCH_CONFIG_EXTERNAL_INTERFACES
#include "catch.hpp"

#if __has_include(<catch2/reporters/catch_reporter_event_listener.hpp>)
  #include <catch2/catch_test_case_info.hpp>
  #include <catch2/reporters/catch_reporter_event_listener.hpp>
  #include <catch2/reporters/catch_reporter_registrars.hpp>
#endif

namespace test {

/// Notifications about the run and its cases, in Catch2 2 and 3; see CATCH_REGISTER_LISTENER.
#if __has_include(<catch2/reporters/catch_reporter_event_listener.hpp>)
using Listener = Catch::EventListenerBase;
#else
using Listener = Catch::TestEventListenerBase;
#endif

} // namespace test
