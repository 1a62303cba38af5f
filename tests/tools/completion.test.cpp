// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
//
// Completion of qemuctl in shells that are really there.
#include "catch.hpp"
#include "command.hpp"
#include "golden.hpp"
#include "program.hpp"
#include "temp_dir.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

using Catch::Matchers::ContainsSubstring;

namespace {

/// A folder with a qemuctl that knows some names.
class Names {
 public:
  Names() {
    const std::filesystem::path program = folder_ / "qemuctl";
    std::ofstream(program) << R"sh(#!/bin/sh
case "$*" in
  "--vsock 2:2000 vm list --names") echo vm1; echo vm2 ;;
  "--socket h vm list --names") printf '%s\n' "\$(touch $0.touched)" "\`touch $0.touched\`" "x; touch $0.touched" ;;
  "vm list --names") echo vm3 ;;
  "usb list --names") echo 3-1; echo 3-1.4 ;;
  "pci list --names") echo 0000:01:00.0 ;;
esac
)sh";
    std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  }
  std::string folder() const { return folder_.path().string(); }
  /// Whether a shell has executed the content of a name.
  bool touched() const { return std::filesystem::exists(folder_ / "qemuctl.touched"); }

 private:
  test::TempDir folder_;
};

std::string completion(const char* file) {
  return (test::source_dir() / "tools/completion" / file).string();
}

/// The words, in order, with a space between them.
std::string sorted(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  std::sort(words.begin(), words.end());
  std::string joined;
  for (const std::string& word : words) joined += (joined.empty() ? "" : " ") + word;
  return joined;
}

/// What is offered for lines, and what is not: the same in all shells.
template<class Offered>
void check(Offered offered) {
  CHECK(offered("qemuctl u") == "usb");
  CHECK(offered("qemuctl evdev ") == "attach detach list resume suspend");
  CHECK(offered("qemuctl usb attach ") == "3-1 3-1.4");
  CHECK(offered("qemuctl --vsock 2:2000 usb attach 3-1 ") == "vm1 vm2");
  CHECK(offered("qemuctl --vsock 2:2000 vm pause v") == "vm1 vm2");
  CHECK(offered("qemuctl pci detach 0000:0") == "0000:01:00.0");
  CHECK(offered("qemuctl explain ") == "0000:01:00.0 3-1 3-1.4");
  CHECK(offered("qemuctl vmm-args ") == "vm3");
  CHECK(offered("qemuctl usb suspend ") == "vm3");
  CHECK(offered("qemuctl usb attach 3-1 vm3 ").empty());
  CHECK(offered("qemuctl vm list ").empty());
  CHECK(offered("qemuctl vm pause vm3 ").empty());
}

} // namespace

TEST_CASE("fish completes qemuctl commands and the names the service reports") {
  const Names names;
  check([&](const std::string& line) {
    // One line each, with the description after a tab.
    return sorted(test::run_command({"env", "HOME=" + names.folder(), "XDG_CONFIG_HOME=" + names.folder(),
                                     "XDG_DATA_HOME=" + names.folder(), "fish", "--no-config", "-c",
                                     "set PATH $argv[1] $PATH; source $argv[2]; complete -C $argv[3] | cut -f 1",
                                     names.folder(), completion("qemuctl.fish"), line}));
  });
  const std::string offered = test::run_command(
      {"env", "HOME=" + names.folder(), "XDG_CONFIG_HOME=" + names.folder(), "XDG_DATA_HOME=" + names.folder(), "fish",
       "--no-config", "-c", "set PATH $argv[1] $PATH; source $argv[2]; complete -C 'qemuctl --socket h vm pause '",
       names.folder(), completion("qemuctl.fish")});
  CHECK_THAT(offered, ContainsSubstring("touch"));
  CHECK_FALSE(names.touched());
}

TEST_CASE("zsh completes qemuctl commands and the names the service reports") {
  const Names names;
  test::run_command({"zsh", "--version"}); // skips the case if there is none
  test::Program zsh({"/usr/bin/env", "HOME=" + names.folder(), "TERM=dumb", "zsh", "-f"}, test::Program::Io::terminal);
  // Ctrl-G inserts all completions into the line.
  zsh.type("path=(" + names.folder() + " $path); fpath=(" +
           std::filesystem::path(completion("_qemuctl")).parent_path().string() +
           " $fpath); stty cols 500; autoload -Uz compinit; compinit -u -D; zle -C all complete-word _generic; "
           "zstyle ':completion:all:*' completer _all_matches _complete; zstyle ':completion:all:*' insert yes; "
           "bindkey '^G' all; echo rea''dy\n");
  zsh.wait_for("ready\r\n");
  check([&](const std::string& line) {
    zsh.type(line + "\x07\x01print -r -- '<<' \x05'>>'\n"); // Ctrl-A and Ctrl-E: around the whole line
    zsh.wait_for("\n<< ");
    const std::string all = zsh.wait_for(">>\r\n");
    return sorted(all.substr(std::min(line.rfind(' ') + 1, all.size())));
  });
  zsh.type("qemuctl --socket h vm pause \x07\x01print -r -- '<<' \x05'>>'\n");
  zsh.wait_for("\n<< ");
  CHECK_THAT(zsh.wait_for(">>\r\n"), ContainsSubstring("touch"));
  CHECK_FALSE(names.touched());
}
