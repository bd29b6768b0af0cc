#include "training.hpp"

#include "shards.hpp"

#include <torch/autograd.h>
#include <torch/optim/adamw.h>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <vector>

namespace pretraining {
namespace {

void require(bool holds, const std::string& expected, const std::string& got) {
  if (!holds) throw std::invalid_argument(fmt::format("expected {}, got {}", expected, got));
}

void check(const training_options& o) {
  require(o.steps >= 0 && o.batch_size >= 1 && o.length >= 1 && o.warm_up >= 0,
          "steps, warm-up >= 0 and a batch of at least one byte",
          fmt::format("{} steps, {} of warm-up, a batch of {} x {}", o.steps, o.warm_up, o.batch_size, o.length));
  require(o.threads >= 1 && o.batch_size % o.threads == 0, "threads that divide the batch's sequences",
          fmt::format("{} threads for {} sequences", o.threads, o.batch_size));
  require(std::isfinite(o.learning_rate) && o.learning_rate > 0, "a learning rate > 0",
          fmt::format("{}", o.learning_rate));
}

/// Of step `step`, counted from 0, in units of the highest one.
double rate_of(const training_options& o, std::int64_t step) {
  const auto number = static_cast<double>(step);
  if (step < o.warm_up) return (number + 1) / static_cast<double>(o.warm_up);
  const double done =
      (number - static_cast<double>(o.warm_up)) / static_cast<double>(std::max<std::int64_t>(1, o.steps - o.warm_up));
  constexpr double lowest = 0.05;
  return lowest + (1 - lowest) * (1 + std::cos(std::numbers::pi * done)) / 2;
}

double lambda_share(const training_options& o, std::int64_t step) {
  if (o.penalty.schedule == lambda_schedule::constant) return 1;
  return layerwise::linear_schedule{.end = static_cast<double>(o.warm_up)}(static_cast<double>(step));
}

class optimizer {
 public:
  optimizer(const decoder& model, double learning_rate)
      : rate_(learning_rate), parameters_(model.parameters()), adam_(groups(), options(0)) {}

  const std::vector<at::Tensor>& parameters() const { return parameters_; }

  /// One step along these gradients, clipped.
  void step(std::vector<at::Tensor> gradients, double rate) {
    at::Tensor squares = at::zeros({}, at::kDouble);
    for (const at::Tensor& g : gradients) squares += g.square().sum(at::kDouble);
    const double norm = squares.sqrt().item<double>();
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      if (norm > 1) gradients[i].mul_(1 / norm);
      parameters_[i].mutable_grad() = gradients[i];
    }
    for (auto& group : adam_.param_groups()) static_cast<torch::optim::AdamWOptions&>(group.options()).lr(rate * rate_);
    adam_.step();
  }

 private:
  torch::optim::AdamWOptions options(double decay) const {
    return torch::optim::AdamWOptions(rate_).betas({0.9, 0.95}).weight_decay(decay);
  }

  /// Gains of a norm do not decay: they have a right size of their own.
  std::vector<torch::optim::OptimizerParamGroup> groups() const {
    std::vector<at::Tensor> matrices, gains;
    for (const at::Tensor& p : parameters_) (p.dim() > 1 ? matrices : gains).push_back(p);
    std::vector<torch::optim::OptimizerParamGroup> out;
    out.emplace_back(matrices, std::make_unique<torch::optim::AdamWOptions>(options(0.1)));
    out.emplace_back(gains, std::make_unique<torch::optim::AdamWOptions>(options(0)));
    return out;
  }

  double rate_;
  std::vector<at::Tensor> parameters_;
  torch::optim::AdamW adam_;
};

/// What a thread computes of its share of a batch.
struct shard_result {
  double loss = 0, penalty = 0;
  std::vector<at::Tensor> gradients;
};

shard_result run_shard(const decoder& model, const std::vector<at::Tensor>& parameters, const batch& text,
                       const penalty_options& penalty, double share) {
  const model_output out = model.forward(text.inputs);
  const at::Tensor loss = cross_entropy(out.logits, text.targets);
  const at::Tensor extra = penalize(penalty, share, out.states);
  return {loss.item<double>(), extra.item<double>(), torch::autograd::grad({loss + extra}, parameters)};
}

/// Means of the shards, in their order.
shard_result mean_of(std::vector<shard_result> shards) {
  const auto count = static_cast<double>(shards.size());
  shard_result mean = std::move(shards.front());
  for (std::size_t i = 1; i < shards.size(); ++i) {
    mean.loss += shards[i].loss;
    mean.penalty += shards[i].penalty;
    for (std::size_t p = 0; p < mean.gradients.size(); ++p) mean.gradients[p] += shards[i].gradients[p];
  }
  mean.loss /= count;
  mean.penalty /= count;
  for (at::Tensor& g : mean.gradients) g /= count;
  return mean;
}

}  // namespace

std::vector<std::int64_t> measured_steps(std::int64_t steps, int count) {
  std::vector<std::int64_t> out{0};
  // Cubes: with 5600 steps and 14 measurements 3, 20, 69, ... 4404, 5600.
  for (int i = 1; i < count; ++i) {
    const double part = static_cast<double>(i) / (count - 1);
    const auto step = static_cast<std::int64_t>(std::lround(static_cast<double>(steps) * part * part * part));
    if (step > out.back()) out.push_back(step);
  }
  return out;
}

void train(decoder& model, const corpus& text, const training_options& o,
           const std::function<void(std::int64_t step, const step_means&)>& after_step) {
  check(o);
  std::mt19937_64 random(o.seed);
  optimizer adam(model, o.learning_rate);
  const std::vector<std::int64_t> measured = measured_steps(o.steps);
  auto next = measured.begin();
  after_step(*next++, {});
  double loss = 0, penalty = 0;
  std::int64_t steps = 0;  // that these are sums of
  for (std::int64_t step = 0; step < o.steps; ++step) {
    const batch all = text.random_batch(random, o.batch_size, o.length);
    const std::int64_t share = o.batch_size / o.threads;
    std::vector<shard_result> shards(static_cast<std::size_t>(o.threads));
    for_each_shard(o.threads, [&](std::int64_t i) {
      const batch part{all.inputs.narrow(0, i * share, share), all.targets.narrow(0, i * share, share)};
      shards[static_cast<std::size_t>(i)] = run_shard(model, adam.parameters(), part, o.penalty, lambda_share(o, step));
    });
    shard_result mean = mean_of(std::move(shards));
    if (!std::isfinite(mean.loss + mean.penalty))
      throw std::runtime_error(
          fmt::format("step {}: the loss is {} and the penalty {}: try a smaller learning rate or lambda", step + 1,
                      mean.loss, mean.penalty));
    loss += mean.loss;
    penalty += mean.penalty;
    ++steps;
    adam.step(std::move(mean.gradients), rate_of(o, step));
    if (next != measured.end() && step + 1 == *next) {
      const auto count = static_cast<double>(steps);
      after_step(*next++, {.loss = loss / count, .penalty = penalty / count});
      loss = penalty = 0;
      steps = 0;
    }
  }
}

}  // namespace pretraining
