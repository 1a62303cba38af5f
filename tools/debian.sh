# shellcheck shell=bash
# SPDX-FileCopyrightText: The qemuctl authors
# SPDX-License-Identifier: Apache-2.0
#
# What the scripts beside this file share: messages, and Debian packages.

fail() {
  echo "tools/$(basename "$0"): $*" >&2
  exit 1
}

# usage: the comment at the top of the calling script.
usage() {
  awk 'NR > 4 && !/^#/ {exit} NR > 4 {sub(/^# ?/, ""); print}' "$0"
}

# quietly COMMAND...: shows the output only when it failed.
quietly() {
  local log
  log=$(mktemp)
  if ! "$@" >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    rm -f "$log"
    fail "failed: $*"
  fi
  rm -f "$log"
}

as_root() {
  if [[ $(id -u) == 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "needs root or sudo for: $*"
  fi
}

apt_get() {
  quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends \
    -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@"
}

# install_missing PACKAGE...: those that are not installed yet.
install_missing() {
  local package missing=()
  for package; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  echo "installing: ${missing[*]}"
  apt_get update
  apt_get install "${missing[@]}"
}

debian_codename() {
  # shellcheck source=/dev/null
  (. /etc/os-release && echo "${VERSION_CODENAME:-}")
}

# debian_archive: the URI that this machine's own packages come from.
debian_archive() {
  local uri
  # shellcheck disable=SC2016 # apt fills these in
  uri=$(apt-get indextargets --format '$(RELEASE) $(CODENAME) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
    awk -v codename="$(debian_codename)" '($1 == codename || $2 == codename) && $3 == "main" {print $4; exit}')
  [[ $uri ]] || fail "this machine's apt configuration names no archive for $(debian_codename)"
  echo "$uri"
}
