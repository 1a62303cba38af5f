// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Whatever a peer sends, in whatever pieces it arrives, a QMP session keeps its promises.
//
// The input is what the peer sends, except for its last byte: that one chooses the limits, which commands are forgotten
// and the sizes of the pieces. The same bytes are given to a second session at once; it must want the same done.
#include "check.hpp"
#include "qmp_session.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

using namespace qemuctl;
using namespace qemuctl::detail;
using fuzz::check;

namespace {

class Driver {
 public:
  explicit Driver(std::uint8_t choice) : session_(limits(choice), "ab"), forgotten_(choice % 5) {}

  void receive(std::string_view bytes) {
    const std::vector<char> piece(bytes.begin(), bytes.end()); // of its own, so that reading beyond it is seen
    session_.receive({piece.data(), piece.size()});
    while (const auto action = session_.next_action()) {
      check(!failed_, "nothing follows a failure");
      std::visit([this](const auto& known) { perform(known); }, *action);
    }
    check(session_.is_ready() == (ready_ && !failed_), "is_ready() says what was delivered");
    check(session_.greeted() == greeted_, "greeted() says what was delivered");
  }

  /// What it wanted done. The reason of a failure may quote what has come so far, so only its presence counts.
  const std::string& log() const { return log_; }

  void close() {
    for (const std::string_view error : {"", "Connection reset by peer"}) {
      const ConnectionEnd end = session_.peer_closed(error);
      check((end.kind == ConnectionEnd::Kind::garbage) == failed_, "the end is garbage after a failure only");
      check(end.kind != ConnectionEnd::Kind::closed_here, "we did not close");
      check(!end.reason.empty(), "the end has a reason");
      log_ += failed_ ? "end\n" : "end " + end.reason + "\n";
    }
  }

 private:
  static QmpSession::Limits limits(std::uint8_t choice) {
    if (choice % 3 == 0) return {.max_message_bytes = 64, .max_depth = 3};
    return {};
  }

  void perform(const QmpSession::Send& send) {
    check(!greeted_, "the greeting is answered once");
    check(send.bytes == "{\"execute\":\"qmp_capabilities\",\"id\":\"ab0\"}\n", "only qmp_capabilities is sent");
    greeted_ = true;
    log_ += "send\n";
  }

  void perform(const QmpSession::Ready& ready) {
    check(greeted_ && !ready_, "ready once, after the greeting");
    ready_ = true;
    log_ += "ready " + std::to_string(ready.greeting.major) + "\n";
    for (const char* name : {"query-status", "device_add", "quit", "x", "y"}) {
      const auto command = session_.encode(name, Json::object({{"a", "\"}{"}}));
      check(command.id == waiting_.size() + 1, "commands are counted from 1");
      waiting_.insert(command.id);
    }
    session_.forget(forgotten_);
    waiting_.erase(forgotten_);
  }

  void answered(QmpSession::CommandId id) {
    check(ready_, "no answer before a command");
    check(waiting_.erase(id) == 1, "an answer is for a command that waits for one");
    log_ += "answer " + std::to_string(id) + " ";
  }
  void perform(const QmpSession::Reply& reply) {
    answered(reply.id);
    fuzz::check_round_trip(reply.value);
    log_ += reply.value.dump() + "\n";
  }
  void perform(const QmpSession::Refusal& refusal) {
    answered(refusal.id);
    log_ += Json(refusal.qmp_class).dump() + Json(refusal.text).dump() + "\n";
  }

  void perform(const QmpSession::EventReceived& received) {
    const Event& event = received.event;
    check(event.data.is_null() || event.data.is_object(), "an event's data is an object");
    check(event.timestamp.time_since_epoch().count() >= 0, "an event's time is not before the epoch");
    check(event.lost == 0, "a session loses nothing");
    fuzz::check_round_trip(event.data);
    log_ += "event " + Json(event.name).dump() + event.data.dump() + "\n";
  }

  void perform(const QmpSession::Failure& failure) {
    check(!failure.reason.empty(), "a failure has a reason");
    failed_ = true;
    log_ += "failure\n";
  }

  QmpSession session_;
  QmpSession::CommandId forgotten_;
  std::set<QmpSession::CommandId> waiting_;
  bool greeted_ = false;
  bool ready_ = false;
  bool failed_ = false;
  std::string log_;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::uint8_t choice = data[size - 1];
  const std::string_view stream(reinterpret_cast<const char*>(data), size - 1);

  Driver at_once(choice);
  at_once.receive(stream);
  at_once.close();

  Driver in_pieces(choice);
  std::minstd_rand random(choice);
  const std::size_t longest = choice % 2 == 0 ? 1 : 16;
  for (std::size_t at = 0; at < stream.size();) {
    const std::size_t length = std::min<std::size_t>(1 + random() % longest, stream.size() - at);
    in_pieces.receive(stream.substr(at, length));
    at += length;
  }
  in_pieces.close();
  check(at_once.log() == in_pieces.log(), "the pieces in which bytes arrive make no difference");
  return 0;
}
