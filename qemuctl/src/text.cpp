// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#include "text.hpp"

#include <cstddef>
#include <cstdint>

namespace qemuctl::detail {

namespace {

struct Decoded {
    std::uint32_t code_point;
    std::size_t length; ///< in bytes; 0: this byte begins no valid sequence
};

/// The first character of `text` (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF).
Decoded decode(std::string_view text) noexcept {
    const auto byte = [&](std::size_t index) { return static_cast<std::uint8_t>(text[index]); };
    const std::uint8_t lead = byte(0);
    if (lead < 0x80) return {lead, 1};

    const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return {0, 0};
    std::uint32_t code_point = lead & (0x7fu >> length);
    for (std::size_t index = 1; index < length; ++index) {
        if ((byte(index) & 0xc0u) != 0x80u) return {0, 0};
        code_point = code_point << 6 | (byte(index) & 0x3fu);
    }
    const bool overlong = (length == 3 && code_point < 0x800) || (length == 4 && code_point < 0x10000);
    const bool surrogate = code_point >= 0xd800 && code_point <= 0xdfff;
    if (overlong || surrogate || code_point > 0x10ffff) return {0, 0};
    return {code_point, length};
}

bool is_control(std::uint32_t code_point) noexcept {
    return code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0) || code_point == 0x2028 ||
           code_point == 0x2029;
}

} // namespace

std::string printable(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        const auto [code_point, length] = decode(text);
        if (length == 0) {
            out += "\xef\xbf\xbd";
            text.remove_prefix(1);
            continue;
        }
        if (code_point == '\t')
            out += ' ';
        else if (is_control(code_point))
            out += '?';
        else
            out += text.substr(0, length);
        text.remove_prefix(length);
    }
    return out;
}

} // namespace qemuctl::detail
