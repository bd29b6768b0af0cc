#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <random>
#include <string>

namespace pretraining {

/// Sequences of bytes and, for each byte, the one that follows it: [sequences][length] of int64 both.
struct batch {
  at::Tensor inputs, targets;
};

/// A text, byte by byte.
class corpus {
 public:
  /// Reads a whole file. Throws examples::input_error.
  explicit corpus(const std::string& path);

  const std::string& path() const { return path_; }
  std::int64_t size() const { return bytes_.numel(); }

  /// Sequences from random places. The same generator state gives the same ones on any machine. Throws
  /// input_error if the text is shorter than a sequence.
  batch random_batch(std::mt19937_64& random, std::int64_t sequences, std::int64_t length) const;

  /// Sequences at even distances over the whole text; fewer than asked for if they would overlap. Throws
  /// input_error if the text is shorter than a sequence.
  batch even_batch(std::int64_t sequences, std::int64_t length) const;

 private:
  std::int64_t starts(std::int64_t length) const;
  batch cut(const at::Tensor& starts, std::int64_t length) const;

  std::string path_;
  at::Tensor bytes_;  // [size] of int64
};

}  // namespace pretraining
