// layerwise: metrics and regularizers for the hidden states of transformers
// SPDX-License-Identifier: MIT
#pragma once

#include <layerwise/core/types.hpp>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

/// @file
/// What is thrown for bad input. With LAYERWISE_NO_EXCEPTIONS defined, for units compiled with
/// -fno-exceptions, nothing is: the message goes to stderr, and std::abort() is called.
namespace layerwise::inline LAYERWISE_ABI {

/// Where a fault is: "hidden_states, layer 3, row 7, column 0". Negative and empty parts are left out; everything
/// counts from 0 (h_0 is the embedding output).
struct place {
  std::string_view operand = {};  ///< which argument
  index layer = -1;               ///< l of h_l
  index row = -1;                 ///< the token
  index column = -1;              ///< the dimension
};

/// Base of everything the library throws for bad input. The message says what was expected, what came, and where:
/// "layerwise: expected finite values, got nan (hidden_states, layer 3, row 7, column 0)". Functions say which of the
/// classes below they throw, and when.
class error : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
  /// Of a message in which the operand's name begins at `operand`.
  error(const std::string& message, const place& at, std::size_t operand)
      : std::invalid_argument(message), at_(at), operand_(operand), length_(at.operand.size()) {}

  /// Where the fault is, as the message says it; the name is the error's, and good as long as it lives.
  place where() const {
    place at = at_;
    at.operand = length_ == 0 ? std::string_view() : std::string_view(what() + operand_, length_);
    return at;
  }

 private:
  place at_;  // but for the operand, whose name may have been a temporary
  std::size_t operand_ = 0, length_ = 0;
};

/// Sizes that do not fit together or that nothing can have, an index outside its range.
class shape_error : public error {
 public:
  using error::error;
};

/// An option outside its range (a tolerance below 0), or one that what it is asked of does not allow. A weight of a
/// regularizer that is no number is a non_finite_error.
class option_error : public error {
 public:
  using error::error;
};

/// NaN or infinity in the data, in a weight or a factor, or a result beyond the range of double.
class non_finite_error : public error {
 public:
  using error::error;
};

/// Data for which the quantity is undefined: an empty matrix, no variance, a zero row where an angle is asked for.
class degenerate_input_error : public error {
 public:
  using error::error;
};

/// Memory that cannot be read as it is: of another scalar type, on another device, without strides. Or a unit of the
/// program that was compiled so that its arithmetic cannot be trusted.
class unsupported_error : public error {
 public:
  using error::error;
};

namespace detail {

inline std::ostream& operator<<(std::ostream& out, const place& at) {
  const char* separator = "";
  if (!at.operand.empty()) out << at.operand, separator = ", ";
  if (at.layer >= 0) out << separator << "layer " << at.layer, separator = ", ";
  if (at.row >= 0) out << separator << "row " << at.row, separator = ", ";
  if (at.column >= 0) out << separator << "column " << at.column;
  return out;
}

inline std::ostream& operator<<(std::ostream& out, const shape& s) { return out << s.rows << " x " << s.cols; }

template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

/// Throws out of line, so that the checks in hot functions stay a compare and a jump.
template <class Error>
[[noreturn, gnu::cold, gnu::noinline]] void fail(const std::string& expected, const std::string& got, const place& at) {
  const std::string begin = text("layerwise: expected ", expected, ", got ", got, " ("), message = text(begin, at, ")");
#ifdef LAYERWISE_NO_EXCEPTIONS
  std::fprintf(stderr, "%s\n", message.c_str());
  std::abort();
#else
  throw Error(message, at, begin.size());
#endif
}

}  // namespace detail
}  // namespace layerwise::inline LAYERWISE_ABI
