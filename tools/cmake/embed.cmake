# SPDX-FileCopyrightText: The qemuctl authors
# SPDX-License-Identifier: Apache-2.0
#
# cmake -D OUTPUT=FILE.cpp -D FILES=A;B -P embed.cmake: writes hotplug::detail::web_files() with the contents of these files.
set(code "// Made by tools/cmake/embed.cmake.\n#include \"web_files.hpp\"\n\nnamespace hotplug::detail {\n\nnamespace {\n\n")
set(list "")
set(number 0)
foreach(file IN LISTS FILES)
  get_filename_component(name ${file} NAME)
  file(READ ${file} bytes HEX)
  string(LENGTH "${bytes}" length)
  math(EXPR length "${length} / 2")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(APPEND code "constexpr unsigned char file_${number}[]{${bytes}0};\n")
  string(APPEND list "      {\"${name}\", {reinterpret_cast<const char*>(file_${number}), ${length}}},\n")
  math(EXPR number "${number} + 1")
endforeach()
string(APPEND code "\n} // namespace\n\nconst std::vector<WebFile>& web_files() {\n  static const std::vector<WebFile> files{\n"
  "${list}  };\n  return files;\n}\n\n} // namespace hotplug::detail\n")
file(WRITE ${OUTPUT} "${code}")
