#include "corpus.hpp"

#include "common/input_error.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

namespace pretraining {

corpus::corpus(const std::string& path) : path_(path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file) examples::reject(path, "it can't be read: {}", std::strerror(errno));
  bytes_ = at::from_blob(text.data(), {static_cast<std::int64_t>(text.size())}, at::kByte).to(at::kLong);
}

/// How many places a sequence and the byte after it can start at.
std::int64_t corpus::starts(std::int64_t length) const {
  if (size() <= length)
    examples::reject(path_, "expected a text longer than a sequence of {} bytes, got {}", length, size());
  return size() - length;
}

batch corpus::cut(const at::Tensor& starts, std::int64_t length) const {
  const auto windows = bytes_.index({starts.unsqueeze(1) + at::arange(length + 1)});
  return {windows.slice(1, 0, length).contiguous(), windows.slice(1, 1, length + 1).contiguous()};
}

batch corpus::random_batch(std::mt19937_64& random, std::int64_t sequences, std::int64_t length) const {
  const auto places = static_cast<std::uint64_t>(starts(length));
  std::vector<std::int64_t> chosen;
  // std::uniform_int_distribution differs between standard libraries; a remainder of 64 bits is even enough.
  for (std::int64_t i = 0; i < sequences; ++i) chosen.push_back(static_cast<std::int64_t>(random() % places));
  return cut(at::tensor(chosen), length);
}

batch corpus::even_batch(std::int64_t sequences, std::int64_t length) const {
  const std::int64_t places = starts(length), count = std::clamp<std::int64_t>(size() / (length + 1), 1, sequences);
  return cut(at::arange(count) * (places / count), length);
}

}  // namespace pretraining
