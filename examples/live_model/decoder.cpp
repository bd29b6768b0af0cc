#include "decoder.hpp"

#include "common/input_error.hpp"
#include "dumps/tensor_file.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

namespace live_model {
namespace {

namespace dumps = examples::dumps;
using examples::reject;

/// The tensors and numbers of a file, by name.
class weights_file {
 public:
  explicit weights_file(const std::string& path) : file_(dumps::open_tensor_file(path)) {}

  template <class Number>
  Number number(const std::string& name) const {
    const auto found = file_.metadata.find(name);
    const std::string text = found == file_.metadata.end() ? "" : found->second;
    Number value{};
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (code != std::errc() || end != text.data() + text.size() || !(value > 0))
      reject(file_.path, R"(expected a number > 0 as "{}" of its metadata, got "{}")", name, text);
    return value;
  }

  /// Throws unless it has this shape.
  matrix tensor(const std::string& name, index rows, index cols) const {
    const auto found = std::find_if(file_.tensors.begin(), file_.tensors.end(),
                                    [&](const dumps::tensor& t) { return t.name == name; });
    if (found == file_.tensors.end()) reject(file_.path, "expected a tensor {}, got none", name);
    const auto shape = rows == 1 ? std::vector<dumps::index>{cols} : std::vector<dumps::index>{rows, cols};
    if (found->dtype != dumps::data_type::f16 || found->shape != shape)
      reject(file_.path, "expected {} to be F16 of {}, got {} of {}", name, dumps::shape_text(shape),
             dumps::name_of(found->dtype), dumps::shape_text(found->shape));
    Eigen::Matrix<Eigen::half, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> values(rows, cols);
    std::memcpy(values.data(), found->bytes.data(), found->bytes.size());
    return values.cast<float>();
  }

 private:
  dumps::tensor_file file_;
};

/// x / sqrt(mean(x^2) + epsilon) * gain
matrix normalize(const Eigen::Ref<const matrix>& x, const Eigen::RowVectorXf& gain, float epsilon) {
  const Eigen::VectorXf size = (x.rowwise().squaredNorm().array() / static_cast<float>(x.cols()) + epsilon).sqrt();
  return (x.array().colwise() / size.array()).rowwise() * gain.array();
}

}  // namespace

decoder::decoder(const std::string& path) {
  const weights_file file(path);
  const auto d = file.number<index>("width"), hidden = file.number<index>("hidden");
  heads_ = file.number<index>("heads");
  rotary_base_ = file.number<float>("rotary_base");
  norm_epsilon_ = file.number<float>("norm_epsilon");
  if (d % (2 * heads_) != 0)
    reject(path, "expected a width that twice the number of heads divides, got {} and {}", d, heads_);
  embedding_ = file.tensor("embedding", file.number<index>("vocabulary"), d);
  if (embedding_.rows() != 256) reject(path, "expected a vocabulary of 256 bytes, got {}", embedding_.rows());
  final_norm_ = file.tensor("norm", 1, d);
  layers_.resize(file.number<std::size_t>("layers"));
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const auto part = [&](const char* name, index rows, index cols) {
      return file.tensor("layers." + std::to_string(l) + "." + name, rows, cols);
    };
    layers_[l] = {.attention_norm = part("attention.norm", 1, d),
                  .feed_norm = part("feed_forward.norm", 1, d),
                  .q = part("attention.q", d, d),
                  .k = part("attention.k", d, d),
                  .v = part("attention.v", d, d),
                  .attention_output = part("attention.output", d, d),
                  .gate = part("feed_forward.gate", hidden, d),
                  .up = part("feed_forward.up", hidden, d),
                  .down = part("feed_forward.down", d, hidden)};
  }
}

/// Causal, with rotary positions, before the output's matrix.
matrix decoder::attention(const layer& weights, const matrix& normalized) const {
  const index tokens = normalized.rows(), e = width() / heads_, half = e / 2;
  matrix q = normalized * weights.q.transpose(), k = normalized * weights.k.transpose();
  const matrix v = normalized * weights.v.transpose();
  for (index j = 0; j < half; ++j)
    for (index t = 0; t < tokens; ++t) {
      const double angle = static_cast<double>(t) * std::pow(static_cast<double>(rotary_base_),
                                                             -2.0 * static_cast<double>(j) / static_cast<double>(e));
      const auto cosine = static_cast<float>(std::cos(angle)), sine = static_cast<float>(std::sin(angle));
      for (matrix* m : {&q, &k})
        for (index head = 0; head < heads_; ++head) {
          float &low = (*m)(t, head * e + j), &high = (*m)(t, head * e + j + half);
          const float before = low;
          low = before * cosine - high * sine;
          high = high * cosine + before * sine;
        }
    }
  q /= std::sqrt(static_cast<float>(e));

  matrix out(tokens, width());
  for (index head = 0; head < heads_; ++head) {
    matrix shares = q.middleCols(head * e, e) * k.middleCols(head * e, e).transpose();
    for (index t = 0; t < tokens; ++t) {
      auto past = shares.row(t).head(t + 1);
      past = (past.array() - past.maxCoeff()).exp();
      past /= past.sum();
      shares.row(t).tail(tokens - t - 1).setZero();
    }
    out.middleCols(head * e, e).noalias() = shares * v.middleCols(head * e, e);
  }
  return out;
}

void decoder::run(std::string_view text, std::vector<matrix>& states, index first_row) const {
  const auto tokens = static_cast<index>(text.size());
  const auto rows_of = [&](std::size_t l) { return states[l].middleRows(first_row, tokens); };
  matrix h(tokens, width());
  for (index t = 0; t < tokens; ++t)
    h.row(t) = embedding_.row(static_cast<unsigned char>(text[static_cast<std::size_t>(t)]));
  rows_of(0) = h;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const layer& weights = layers_[l];
    h.noalias() +=
        attention(weights, normalize(h, weights.attention_norm, norm_epsilon_)) * weights.attention_output.transpose();
    const matrix in = normalize(h, weights.feed_norm, norm_epsilon_);
    const matrix gate = in * weights.gate.transpose(), up = in * weights.up.transpose();
    const matrix hidden = gate.array() / (1.0f + (-gate.array()).exp()) * up.array();  // silu(gate) * up
    h.noalias() += hidden * weights.down.transpose();
    rows_of(l + 1) = h;
  }
}

matrix decoder::logits(const Eigen::Ref<const matrix>& last_state) const {
  return normalize(last_state, final_norm_, norm_epsilon_) * embedding_.transpose();
}

double cross_entropy(const matrix& logits, std::string_view text) {
  double sum = 0;
  for (index t = 0; t + 1 < logits.rows(); ++t) {
    const auto row = logits.row(t).cast<double>().array();
    const double peak = row.maxCoeff();
    const auto next = static_cast<unsigned char>(text[static_cast<std::size_t>(t) + 1]);
    sum += peak + std::log((row - peak).exp().sum()) - row[next];
  }
  return sum;
}

}  // namespace live_model
