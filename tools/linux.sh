# shellcheck shell=bash
# SPDX-FileCopyrightText: The qemuctl authors
# SPDX-License-Identifier: Apache-2.0
#
# What the scripts beside this file share to make guests: Debian's kernel, which is fetched and unpacked, not installed,
# and root file systems with one static busybox and some modules. To be read after debian.sh.

PATH=$PATH:/usr/sbin:/sbin # depmod and modprobe
# boot/vmlinuz-* and lib/modules/* are in it.
linux=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/build/linux

# linux-image-amd64 is an empty package that depends on the one with the newest kernel.
kernel_package() {
  apt-cache depends linux-image-amd64 2>/dev/null | awk '/Depends: linux-image-/ {print $2; exit}'
}

# fetch_kernel FOLDER
fetch_kernel() {
  local package
  package=$(kernel_package)
  # Without a sandbox user: apt's own could not write into our folder.
  [[ $package ]] && (cd "$1" && apt-get -qq -o APT::Sandbox::User=root -o Acquire::Retries=3 download "$package")
}

# The modules are in lib or, since Debian 13, in usr/lib, and kmod looks in one of them: both names must do.
both_names() {
  mkdir -p "$1/usr"
  [[ -e $1/lib ]] || ln -s usr/lib "$1/lib"
  [[ -e $1/usr/lib ]] || ln -s ../lib "$1/usr/lib"
}

# unpack_kernel: makes $linux, once.
unpack_kernel() {
  local work
  [[ -e $linux ]] && return
  [[ $(dpkg --print-architecture) == amd64 ]] || fail "guests are made for amd64 only"
  mkdir -p "$(dirname "$linux")"
  work=$(mktemp -d "$linux.XXXXXX")
  # shellcheck disable=SC2064
  trap "rm -rf '$work'" EXIT
  if ! fetch_kernel "$work" 2>/dev/null; then
    apt_get update # the lists may be missing or old
    fetch_kernel "$work" || fail "cannot fetch the package that linux-image-amd64 depends on"
  fi
  mkdir "$work/unpacked"
  dpkg --fsys-tarfile "$work"/linux-image-*.deb | tar -x -C "$work/unpacked"
  both_names "$work/unpacked"
  depmod -b "$work/unpacked" "$(basename "$work"/unpacked/lib/modules/*)"
  mv "$work/unpacked" "$linux"
  rm -rf "$work"
  trap - EXIT
}

linux_version() {
  basename "$linux"/lib/modules/*
}

# start_root ROOT MODULE...: an empty root file system with a busybox and these modules, and what they depend on.
start_root() {
  local root=$1 version module file
  shift
  version=$(linux_version)
  mkdir -p "$root"/{bin,dev,proc,sys,tmp,root,"lib/modules/$version"}
  both_names "$root"
  cp "$(command -v busybox)" "$root/bin/busybox"
  for module; do
    modprobe -d "$linux" -S "$version" --show-depends "$module"
  done | awk '$1 == "insmod" && !seen[$2]++ {print $2}' | while read -r file; do
    cp "$file" "$root/lib/modules/$version/"
  done
  find "$root/lib/modules" -name '*.ko.xz' -exec unxz {} +
  depmod -b "$root" "$version" 2>/dev/null # it misses lists of what is built in, which nothing here needs
}

# pack_root ROOT FILE: not compressed, because under TCG unpacking would take longer than loading.
pack_root() {
  (cd "$1" && find . | LC_ALL=C sort | cpio --quiet -o -H newc) >"$2"
}

# copy_kernel FILE: unpacked, too, for QEMU starts an ELF file by PVH: under TCG that saves 3 s of 5.
copy_kernel() {
  unpack_image "$1" '\xFD7zXZ\x00' 'xz -dc --single-stream' || unpack_image "$1" '\x28\xB5\x2F\xFD' 'zstd -dc' ||
    cp "$linux"/boot/vmlinuz-* "$1"
}

# unpack_image FILE MAGIC COMMAND: what follows the first MAGIC in the kernel's file is its packed image, and then some.
unpack_image() {
  local packed offset
  packed=$(echo "$linux"/boot/vmlinuz-*)
  offset=$(LC_ALL=C grep -obUaP -m 1 "$2" "$packed" | head -n 1 | cut -d : -f 1) || true
  [[ $offset ]] || return
  $3 < <(tail -c +$((offset + 1)) "$packed") >"$1" 2>/dev/null || true
  [[ $(head -c 4 "$1") == $'\x7fELF' ]]
}
