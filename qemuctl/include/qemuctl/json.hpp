// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace qemuctl {

/// An owning JSON value, as carried by QMP commands, replies and events.
///
/// Objects keep the order in which members were written. Numbers keep their kind: integers up to 64 bits exactly
/// (signed, or unsigned above `INT64_MAX`), everything else as `double`.
///
///     Json args = Json::object({{"driver", "file"}, {"read-only", true}, {"ports", Json::array({1, 2})}});
///     std::string driver = args.at("driver").as_string();
///
/// A plain value type: distinct objects may be used from distinct threads.
class Json {
 public:
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;
  enum class Kind { null, boolean, integer, unsigned_integer, real, string, array, object };

  Json() noexcept = default;
  Json(std::nullptr_t) noexcept {}
  Json(std::same_as<bool> auto value) noexcept : value_(value) {}
  Json(std::signed_integral auto value) noexcept : value_(static_cast<std::int64_t>(value)) {}
  template<std::unsigned_integral T>
  requires(!std::same_as<T, bool>) Json(T value)
  noexcept;
  Json(double value) noexcept : value_(value) {}
  Json(std::string value) noexcept : value_(std::move(value)) {}
  Json(std::string_view value) : value_(std::string(value)) {}
  Json(const char* value) : value_(std::string(value)) {}

  static Json array(Array items = {});
  static Json object(Object members = {});

  Kind kind() const noexcept;
  bool is_null() const noexcept { return kind() == Kind::null; }
  bool is_bool() const noexcept { return kind() == Kind::boolean; }
  bool is_integer() const noexcept { return kind() == Kind::integer || kind() == Kind::unsigned_integer; }
  bool is_number() const noexcept { return is_integer() || kind() == Kind::real; }
  bool is_string() const noexcept { return kind() == Kind::string; }
  bool is_array() const noexcept { return kind() == Kind::array; }
  bool is_object() const noexcept { return kind() == Kind::object; }

  /// @name Access
  /// Each throws `Error` (`errc::invalid_argument`) naming the expected and the actual kind.
  /// @{
  bool as_bool() const;
  std::int64_t as_int() const;   ///< also throws if it does not fit in 64 signed bits
  std::uint64_t as_uint() const; ///< also throws for negative numbers
  double as_double() const;      ///< any number
  const std::string& as_string() const;
  const Array& as_array() const;
  Array& as_array();
  const Object& as_object() const;
  Object& as_object();
  const Json& at(std::string_view key) const; ///< the member `key`; throws, naming it, if absent
  const Json& at(std::size_t index) const;
  /// @}

  /// The member `key`, or nullptr if it is absent or this is not an object. With duplicate keys, the first.
  const Json* find(std::string_view key) const noexcept;
  bool contains(std::string_view key) const noexcept { return find(key) != nullptr; }

  /// Sets the member `key` of an object (a null value becomes an empty object first). Throws on any other kind.
  Json& set(std::string_view key, Json value);
  /// Appends to an array (a null value becomes an empty array first). Throws on any other kind.
  Json& push_back(Json value);

  /// Number of items or members; 0 for anything else.
  std::size_t size() const noexcept;

  /// One line, ASCII control characters and invalid UTF-8 escaped (an invalid byte becomes U+FFFD): always valid JSON.
  /// A `double` that is not finite is written as `null`.
  std::string dump() const;
  void dump_to(std::string& out) const;
  /// Several lines, indented by two spaces, for humans.
  std::string pretty() const;

  bool operator==(const Json&) const = default;

 private:
  explicit Json(Array items) : value_(std::move(items)) {}
  explicit Json(Object members) : value_(std::move(members)) {}

  std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double, std::string, Array, Object> value_{nullptr};
};

template<std::unsigned_integral T>
requires(!std::same_as<T, bool>) Json::Json(T value)
noexcept {
  // One number has one representation, so that 1u == 1.
  if (static_cast<std::uint64_t>(value) <= static_cast<std::uint64_t>(INT64_MAX))
    value_ = static_cast<std::int64_t>(value);
  else
    value_ = static_cast<std::uint64_t>(value);
}

struct JsonParseOptions {
  std::size_t max_depth = 1024;       ///< deepest nesting of arrays and objects; at most 1024, QEMU's own limit
  bool refuse_duplicate_keys = false; ///< true for files written by humans
  std::string source = "JSON";        ///< for error messages: a file name
};

/// Parses one JSON document and nothing after it but whitespace.
///
/// Throws `Error` (`errc::invalid_argument`) with `detail` of the form `vm.json:3:9: what is wrong`
/// (line and column, both from 1, the column in bytes).
Json parse_json(std::string_view text, const JsonParseOptions& options);
/// Not a default argument: GCC 12 frees the strings of such a temporary twice in an operand of `co_await`.
Json parse_json(std::string_view text);

} // namespace qemuctl
