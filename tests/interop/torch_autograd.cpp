#include <layerwise/interop/torch_autograd.hpp>

#include "checks.hpp"

#include <doctest/doctest.h>

#include <torch/torch.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <list>
#include <string>
#include <vector>

namespace {

using layerwise::cosine_regularizer;
using layerwise::jreg_regularizer;
using layerwise::mse_regularizer;
using layerwise::reduction;
using layerwise::token_mask;
using namespace layerwise_test;
using tensors = std::vector<torch::Tensor>;

constexpr double infinity = std::numeric_limits<double>::infinity();

static_assert(layerwise::torch_regularizer<mse_regularizer> && layerwise::torch_regularizer<cosine_regularizer> &&
              layerwise::torch_regularizer<jreg_regularizer> && !layerwise::torch_regularizer<int>);

torch::Tensor to_torch(const row_major& m) {
  return torch::from_blob(const_cast<double*>(m.data()), {m.rows(), m.cols()}, torch::kFloat64).clone();
}

/// h_0 ... h_{layers - 1} that require a gradient, leaves of autograd.
tensors make_leaves(std::int64_t layers, std::int64_t tokens, std::int64_t dims,
                    torch::ScalarType type = torch::kFloat64) {
  tensors out;
  for (const auto& h : make_states<double>(layers, tokens, dims)) out.push_back(to_torch(h).to(type).requires_grad_());
  return out;
}

/// The regularizers' formulas in ATen's operations, in the states' own precision.
torch::Tensor over_tokens(const torch::Tensor& terms, reduction how) {
  return how == reduction::mean ? terms.mean() : terms.sum();
}

/// 1 - cos of every token.
torch::Tensor turns(const torch::Tensor& before, const torch::Tensor& after) {
  return 1 - (before * after).sum(-1) / (before.norm(2, -1) * after.norm(2, -1));
}

torch::Tensor steps(const torch::Tensor& before, const torch::Tensor& after) {
  return (after - before).square().sum(-1);
}

/// lambda * sum_l weights[l - first] term(h_{l-1}, h_l), over the layers that take part.
template <class Regularizer, class Term>
torch::Tensor over_layers(const Regularizer& r, const tensors& h, const torch::Tensor& weights, const Term& term) {
  using layerwise::stop_gradient;
  torch::Tensor sum = torch::zeros({}, h[0].options());
  for (std::int64_t i = 0; i < weights.numel(); ++i) {
    const auto l = static_cast<std::size_t>(r.layers.first + i);
    const torch::Tensor before = r.stop_gradient == stop_gradient::before ? h[l - 1].detach() : h[l - 1],
                        after = r.stop_gradient == stop_gradient::after ? h[l].detach() : h[l];
    sum = sum + weights[i].item<double>() * over_tokens(term(before, after), r.reduction);
  }
  return r.lambda * sum;
}

template <class Regularizer>
std::int64_t count_layers(const Regularizer& r, const tensors& h) {
  return r.layers.last.value_or(static_cast<std::int64_t>(h.size()) - 1) - r.layers.first + 1;
}

torch::Tensor definition(const mse_regularizer& r, const tensors& h) {
  return over_layers(r, h, torch::ones({count_layers(r, h)}, torch::kFloat64), steps);
}

torch::Tensor definition(const cosine_regularizer& r, const tensors& h) {
  return over_layers(r, h, torch::ones({count_layers(r, h)}, torch::kFloat64), turns);
}

torch::Tensor definition(const jreg_regularizer& r, const tensors& h) {
  const std::int64_t layers = count_layers(r, h);
  torch::Tensor weights = torch::zeros({layers}, torch::kFloat64);
  if (std::isinf(r.alpha))
    weights[layers - 1] = 1;
  else
    weights = (torch::arange(1, layers + 1, torch::kFloat64) * r.alpha).softmax(0);
  return over_layers(r, h, weights / 2, turns);
}

double distance(const torch::Tensor& got, const torch::Tensor& want) {
  const auto a = got.to(torch::kFloat64), b = want.to(torch::kFloat64);
  return (a - b).abs().max().item<double>() / std::max(b.abs().max().item<double>(), 1e-300);
}

/// d value / d leaves; 0 where it does not depend on one.
tensors gradients_of(const torch::Tensor& value, const tensors& leaves) {
  tensors gradients = torch::autograd::grad({value}, leaves, {}, true, false, true);
  for (std::size_t l = 0; l < leaves.size(); ++l)
    if (!gradients[l].defined()) gradients[l] = torch::zeros_like(leaves[l]);
  return gradients;
}

/// calls f with every regularizer.
template <class F>
void for_each_regularizer(const F& f) {
  for (const reduction how : {reduction::mean, reduction::sum}) {
    f(mse_regularizer{.lambda = 0.5, .reduction = how});
    f(cosine_regularizer{.lambda = 0.5, .reduction = how});
    for (const double alpha : {0.0, 0.7, 400.0, infinity})
      f(jreg_regularizer{.lambda = 3, .alpha = alpha, .reduction = how});
  }
}

/// calls f with every regularizer, on some layers, with a constant on one side of each pair.
template <class F>
void for_each_selection(const F& f) {
  using layerwise::stop_gradient;
  for (const auto stop : {stop_gradient::none, stop_gradient::before, stop_gradient::after})
    for (const layerwise::layer_range& layers :
         {layerwise::layer_range{}, {.first = 2, .last = 3}, {.first = 4}, {.first = 1, .last = 1}}) {
      f(mse_regularizer{.lambda = 0.5, .layers = layers, .stop_gradient = stop});
      f(cosine_regularizer{.lambda = 0.5, .layers = layers, .stop_gradient = stop});
      f(jreg_regularizer{.lambda = 3, .alpha = 0.7, .layers = layers, .stop_gradient = stop});
    }
}

TEST_CASE("value and gradients are those of the formula in ATen, differentiated by autograd") {
  const tensors leaves = make_leaves(5, 7, 12);
  const auto check = [&](const auto& regularizer) {
    const torch::Tensor got = layerwise::penalty(regularizer, leaves), want = definition(regularizer, leaves);
    CHECK((got.scalar_type() == torch::kFloat64));
    CHECK(got.dim() == 0);
    CHECK(static_cast<bool>(got.grad_fn()));
    CHECK(got.item<double>() == near(want.item<double>(), 1e-12));
    // Multiplied, as in a sum of losses.
    const tensors g = gradients_of(-2.5 * got, leaves), expected = gradients_of(-2.5 * want, leaves);
    for (std::size_t l = 0; l < g.size(); ++l) {
      CAPTURE(l);
      CHECK((g[l] - expected[l]).abs().max().item<double>() < 1e-12);
    }
  };
  for_each_regularizer(check);
  for_each_selection(check);
}

TEST_CASE("gradients are the slopes of the value") {
  const tensors leaves = make_leaves(4, 3, 5);
  for_each_regularizer([&](const auto& regularizer) {
    const tensors g = gradients_of(layerwise::penalty(regularizer, leaves), leaves);
    const torch::NoGradGuard no_gradients;
    for (std::size_t l = 0; l < leaves.size(); ++l)
      for (std::int64_t i = 0; i < leaves[l].numel(); ++i) {
        double* x = leaves[l].data_ptr<double>() + i;
        const double before = *x, step = 1e-5;
        *x = before + step;
        const double above = layerwise::penalty(regularizer, leaves).template item<double>();
        *x = before - step;
        const double below = layerwise::penalty(regularizer, leaves).template item<double>();
        *x = before;
        const double slope = (above - below) / (2 * step);
        CHECK(std::abs(g[l].flatten()[i].template item<double>() - slope) < 1e-8 * std::max(1.0, std::abs(slope)));
      }
  });
}

TEST_CASE("types of 32 and 16 bits: computed in double, rounded once") {
  for (const auto type : {torch::kFloat32, torch::kBFloat16, torch::kFloat16}) {
    const double rounding = type == torch::kFloat32 ? 6.1e-8 : type == torch::kFloat16 ? 4.9e-4 : 3.95e-3;
    const tensors leaves = make_leaves(4, 6, 10, type);
    tensors exact;
    for (const auto& h : leaves) exact.push_back(h.detach().to(torch::kFloat64).requires_grad_());
    for_each_regularizer([&](const auto& regularizer) {
      const torch::Tensor got = layerwise::penalty(regularizer, leaves), want = definition(regularizer, exact);
      CHECK((got.scalar_type() == torch::kFloat32));
      CHECK(got.item<double>() == near(want.item<double>(), 6.1e-8));
      const tensors g = gradients_of(got, leaves), expected = gradients_of(want, exact);
      for (std::size_t l = 0; l < g.size(); ++l) {
        CHECK((g[l].scalar_type() == type));
        const auto error = (g[l].to(torch::kFloat64) - expected[l]).abs();
        // Each element to its own rounding (and twice that of float32), the smallest of float16 apart.
        CHECK((error - expected[l].abs() * (rounding + 1.2e-7)).max().template item<double>() < 3e-8);
      }
    });
  }
}

TEST_CASE("a scaled loss keeps gradients of 16 bits from underflow") {
  tensors leaves = make_leaves(2, 4, 8, torch::kFloat16);
  const cosine_regularizer regularizer{.lambda = 1e-7};
  const auto lost = gradients_of(layerwise::penalty(regularizer, leaves), leaves);
  CHECK(lost[0].abs().max().item<double>() < 1e-6);
  const auto kept = gradients_of(65536 * layerwise::penalty(regularizer, leaves), leaves);
  const auto want = gradients_of(layerwise::penalty(cosine_regularizer{.lambda = 1e-7 * 65536}, leaves), leaves);
  for (std::size_t l = 0; l < kept.size(); ++l) CHECK(kept[l].equal(want[l]));
}

TEST_CASE("types that differ: the result has the one they promote to, each gradient its own") {
  tensors leaves = make_leaves(4, 5, 6);
  leaves[1] = leaves[1].detach().to(torch::kBFloat16).requires_grad_();
  leaves[2] = leaves[2].detach().to(torch::kFloat32).requires_grad_();
  const torch::Tensor value = layerwise::penalty(cosine_regularizer{.lambda = 1}, leaves);
  CHECK((value.scalar_type() == torch::kFloat64));
  const tensors g = gradients_of(value, leaves);
  for (std::size_t l = 0; l < g.size(); ++l) CHECK((g[l].scalar_type() == leaves[l].scalar_type()));
  leaves[0] = leaves[3] = leaves[2];
  CHECK((layerwise::penalty(mse_regularizer{.lambda = 1}, leaves).scalar_type() == torch::kFloat32));
  leaves[0] = leaves[2] = leaves[3] = leaves[1].detach().to(torch::kFloat16);
  CHECK((layerwise::penalty(mse_regularizer{.lambda = 1}, leaves).scalar_type() == torch::kFloat32));
}

/// Two layers whose rows are `after` times those of the first, turned by about `angle`.
tensors make_pair(double scale_before, double scale_after, double angle) {
  tensors h = make_leaves(2, 5, 8);
  const auto unit = [](const torch::Tensor& x) { return (x / x.norm(2, -1, true)).detach(); };
  const auto u = unit(h[0]), v = unit(h[1]), across = unit(v - (v * u).sum(-1, true) * u);
  return {(scale_before * u).requires_grad_(),
          (scale_after * (std::cos(angle) * u + std::sin(angle) * across)).requires_grad_()};
}

TEST_CASE("nearly parallel, antiparallel, tiny and huge rows") {
  constexpr double pi = 3.14159265358979323846;
  const cosine_regularizer regularizer{.lambda = 1};
  for (const double angle : {1e-7, 1e-3, 1.0, pi / 2, pi - 1e-3, pi - 1e-7})
    for (const double scale : {1e-30, 1.0, 1e30, 1e200}) {
      CAPTURE(angle);
      CAPTURE(scale);
      const tensors h = make_pair(scale, 3 * scale, angle);
      const torch::Tensor value = layerwise::penalty(regularizer, h);
      const double half = std::sin(angle / 2);
      CHECK(std::abs(value.item<double>() - 2 * half * half) < 1e-8 * half * half + 1e-20);
      // The gradient of 1 - cos is of length sin(angle) / ||h||, per token; across h.
      const tensors g = gradients_of(value, h);
      for (const std::size_t l : {0u, 1u}) {
        const auto in_units = g[l] * (l == 0 ? scale : 3 * scale) * 5;
        const auto lengths = in_units.norm(2, -1);
        CHECK((lengths - std::sin(angle)).abs().max().item<double>() < 1e-8 * std::sin(angle) + 1e-15);
        CHECK((in_units * (h[l].detach() / h[l].detach().norm(2, -1, true))).sum(-1).abs().max().item<double>() <
              1e-13);
      }
    }
  const tensors same = {make_leaves(1, 5, 8)[0], make_leaves(1, 5, 8)[0]};
  CHECK(layerwise::penalty(regularizer, same).item<double>() == 0);
  const tensors g = gradients_of(layerwise::penalty(regularizer, same), same);
  CHECK(g[0].abs().max().item<double>() < 1e-15);
}

TEST_CASE("a mask: tokens outside are not read and get no gradient") {
  const tensors leaves = make_leaves(4, 6, 5);
  const std::vector<bool> keep = {true, false, true, true, false, true};
  const torch::Tensor rows = torch::tensor({0, 2, 3, 5});
  tensors kept;
  for (const auto& h : leaves) kept.push_back(h.index_select(0, rows));
  for_each_regularizer([&](const auto& regularizer) {
    const auto want = layerwise::penalty(regularizer, kept);
    tensors spoilt;
    for (const auto& h : leaves) {
      torch::Tensor copy = h.detach().clone();
      copy[1].fill_(NAN);
      copy[4].zero_();
      spoilt.push_back(copy.requires_grad_());
    }
    const auto got = layerwise::penalty(regularizer, spoilt, token_mask(keep));
    CHECK(got.template item<double>() == want.template item<double>());
    const tensors g = gradients_of(got, spoilt), expected = gradients_of(want, leaves);
    for (std::size_t l = 0; l < g.size(); ++l) CHECK(g[l].equal(expected[l]));
  });
}

TEST_CASE("rank 3, contiguous or not; slices, transposes; a stack's layers") {
  const tensors flat = make_leaves(3, 12, 5);
  const cosine_regularizer regularizer{.lambda = 1};
  const torch::Tensor want = layerwise::penalty(regularizer, flat);
  const tensors expected = gradients_of(want, flat);
  const auto check = [&](const tensors& states) {
    const torch::Tensor got = layerwise::penalty(regularizer, states);
    CHECK(got.item<double>() == want.item<double>());
    const tensors g = gradients_of(got, flat);
    for (std::size_t l = 0; l < g.size(); ++l) CHECK(g[l].equal(expected[l]));
  };
  tensors batches, transposed, sliced, columns;
  for (const auto& h : flat) {
    batches.push_back(h.view({3, 4, 5}));
    transposed.push_back(h.view({3, 4, 5}).transpose(0, 1).contiguous().transpose(0, 1));  // has to be copied
    sliced.push_back(torch::cat({h, h}, 1).slice(1, 0, 5));
    columns.push_back(h.t().contiguous().t());
  }
  check(batches);
  check(transposed);
  check(sliced);
  check(columns);
  check(torch::stack(flat).unbind(0));
  check(torch::stack(flat, 1).unbind(1));
  const token_mask last = token_mask::last_of_each(12, 4);
  CHECK(layerwise::penalty(regularizer, batches, last).item<double>() ==
        layerwise::penalty(regularizer, flat, last).item<double>());
}

TEST_CASE("a penalty of tensors is a tensor, in whatever range they come; of other matrices a double") {
  const tensors leaves = make_leaves(3, 6, 5);
  const cosine_regularizer regularizer{.lambda = 1};
  const double value = layerwise::penalty(regularizer, leaves).item<double>();
  const auto check = [&](const torch::Tensor& got) { CHECK(got.item<double>() == value); };
  check(layerwise::penalty(regularizer, {leaves[0], leaves[1], leaves[2]}));
  check(layerwise::penalty(regularizer, at::TensorList(leaves)));
  check(layerwise::penalty(regularizer, std::array{leaves[0], leaves[1], leaves[2]}));
  check(layerwise::penalty(regularizer, std::list<torch::Tensor>(leaves.begin(), leaves.end())));
  const double of_matrices = layerwise::penalty(regularizer, make_states<double>(3, 6, 5));
  CHECK(of_matrices == value);
}

TEST_CASE("a detached layer is a constant") {
  const tensors leaves = make_leaves(3, 6, 5);
  const tensors all = gradients_of(layerwise::penalty(mse_regularizer{.lambda = 1}, leaves), leaves);
  const torch::Tensor value =
      layerwise::penalty(mse_regularizer{.lambda = 1}, {leaves[0].detach(), leaves[1], leaves[2].detach()});
  value.backward();
  CHECK_FALSE(leaves[0].grad().defined());
  CHECK_FALSE(leaves[2].grad().defined());
  CHECK(leaves[1].grad().equal(all[1]));

  // A tensor that is there twice gets both.
  torch::Tensor x = leaves[0].detach().clone().requires_grad_();
  layerwise::penalty(mse_regularizer{.lambda = 1}, {x, leaves[1].detach(), x}).backward();
  const tensors want =
      gradients_of(layerwise::penalty(mse_regularizer{.lambda = 1}, {leaves[0], leaves[1], leaves[0]}), {leaves[0]});
  CHECK(x.grad().equal(want[0]));
}

TEST_CASE("without gradients there is only the value") {
  tensors leaves = make_leaves(3, 6, 5);
  const auto regularizer = jreg_regularizer{.lambda = 1, .alpha = 1};
  const double value = layerwise::penalty(regularizer, leaves).item<double>();
  {
    const torch::NoGradGuard no_gradients;
    const auto got = layerwise::penalty(regularizer, leaves);
    CHECK(got.item<double>() == value);
    CHECK_FALSE(got.requires_grad());
  }
  for (auto& h : leaves) h = h.detach();
  const auto got = layerwise::penalty(regularizer, leaves);
  CHECK(got.item<double>() == value);
  CHECK_FALSE(static_cast<bool>(got.grad_fn()));
}

TEST_CASE("it trains: the chain rule goes on through what made the states") {
  torch::manual_seed(1);
  const torch::Tensor x = torch::randn({20, 6}, torch::kFloat64);
  torch::Tensor w = (torch::randn({6, 6}, torch::kFloat64) * 0.3).requires_grad_();
  const auto states = [&] { return tensors{x, x + x.matmul(w).tanh()}; };
  const cosine_regularizer regularizer{.lambda = 1};
  const auto want = gradients_of(definition(regularizer, states()), {w});
  layerwise::penalty(regularizer, states()).backward();
  CHECK(distance(w.grad(), want[0]) < 1e-13);
  const double before = layerwise::penalty(regularizer, states()).item<double>();
  torch::NoGradGuard no_gradients;
  w -= 0.1 * w.grad();
  CHECK(layerwise::penalty(regularizer, states()).item<double>() < before);
}

TEST_CASE("what it refuses") {
  const tensors leaves = make_leaves(3, 6, 5);
  const cosine_regularizer regularizer{.lambda = 1};
  const auto value = layerwise::penalty(regularizer, leaves);
  const tensors g = torch::autograd::grad({value}, leaves, {}, true, true);
  CHECK(g[0].requires_grad());
  check_throws<layerwise::unsupported_error>([&] { g[0].square().sum().backward(); }, "first derivatives only",
                                             "a gradient of a gradient", "at::Tensor");
  check_throws<layerwise::unsupported_error>([&] { layerwise::penalty(regularizer, {leaves[0], torch::Tensor()}); },
                                             "a tensor", "an undefined one", "at::Tensor");
  check_throws<layerwise::shape_error>([&] { layerwise::penalty(regularizer, {torch::ones({5}), torch::ones({5})}); },
                                       "a tensor of rank 2", "rank 1", "at::Tensor");
  check_throws<layerwise::degenerate_input_error>(
      [&] { layerwise::penalty(regularizer, {leaves[0], torch::zeros({6, 5}).requires_grad_()}); },
      "a row other than zero, where an angle is asked for", "a row of zeros", "hidden_states, layer 1, row 0");
}

/// Both scores by their definition, a projection onto the columns of X by QR, which autograd can
/// differentiate.
torch::Tensor explained_share(const torch::Tensor& x, const torch::Tensor& y) {
  const torch::Tensor centred = x - x.mean(0, true), target = y - y.mean(0, true);
  const auto [q, r] = torch::linalg_qr(centred);
  return torch::matmul(q.t(), target).square().sum() / target.square().sum();
}

TEST_CASE("the linearity scores and their gradients are those of autograd through a QR factorization") {
  for (const std::int64_t tokens : {40, 700})
    for (const std::int64_t dims : {5, 30}) {
      torch::manual_seed(static_cast<std::uint64_t>(tokens + dims));
      const auto leaf = [&] { return torch::randn({tokens, dims}, torch::kFloat64).requires_grad_(); };
      const torch::Tensor x = leaf(), noise = leaf();
      const torch::Tensor y = (torch::tanh(x) + 0.3 * noise).detach().requires_grad_();
      CAPTURE(tokens);
      CAPTURE(dims);
      const auto check = [&](const torch::Tensor& found, const torch::Tensor& expected) {
        CHECK(std::abs(found.item<double>() - expected.item<double>()) < 1e-12);
        // Through a loss that is not linear in the score, to see the chain rule.
        const auto of = [&](const torch::Tensor& s) { return torch::autograd::grad({s.square()}, {x, y}); };
        const auto ours = of(found), theirs = of(expected);
        for (std::size_t i = 0; i < 2; ++i)
          CHECK((ours[i] - theirs[i]).norm().item<double>() < 1e-11 * theirs[i].norm().item<double>());
      };
      check(layerwise::differentiable_linearity(x, y), explained_share(x, y));
      check(layerwise::differentiable_residual_linearity(x, y), explained_share(x, y - x));
    }
}

TEST_CASE("a linearity of float32, of rank 3, with a mask and a constant side") {
  torch::manual_seed(1);
  const torch::Tensor x = torch::randn({4, 50, 6}).requires_grad_();
  const torch::Tensor y = torch::randn({4, 50, 3}).transpose(0, 1).contiguous().transpose(0, 1);
  std::vector<bool> keep(200, true);
  keep[7] = keep[100] = false;
  const torch::Tensor score = layerwise::differentiable_linearity(x, y, {}, token_mask(keep));
  CHECK((score.scalar_type() == torch::kFloat32));
  CHECK_FALSE(y.requires_grad());
  score.backward();
  REQUIRE(x.grad().defined());
  CHECK((x.grad().sizes() == x.sizes()));
  CHECK(x.grad().flatten(0, 1)[7].abs().sum().item<float>() == 0.0f);
  torch::Tensor rows = torch::ones({200}, torch::kBool);
  rows[7] = rows[100] = false;
  const torch::Tensor kept = x.detach().flatten(0, 1).index({rows}).to(torch::kFloat64).requires_grad_();
  const torch::Tensor expected = explained_share(kept, y.reshape({200, 3}).index({rows}).to(torch::kFloat64));
  expected.backward();
  CHECK(std::abs(score.item<double>() - expected.item<double>()) < 1e-6);
  CHECK((x.grad().flatten(0, 1).index({rows}) - kept.grad()).norm().item<double>() <
        1e-6 * kept.grad().norm().item<double>());
  // Without gradients, the value alone.
  CHECK_FALSE(layerwise::differentiable_linearity(x.detach(), y).requires_grad());
}

TEST_CASE("a network trained on the score becomes more linear") {
  torch::manual_seed(2);
  const torch::Tensor x = torch::randn({300, 4}, torch::kFloat64);
  torch::Tensor scale = torch::full({1}, 2.0, torch::kFloat64).requires_grad_();
  const auto score = [&] { return layerwise::differentiable_linearity(x, torch::tanh(scale * x)); };
  const double before = score().item<double>();
  for (int step = 0; step < 20; ++step) {
    const auto gradient = torch::autograd::grad({score()}, {scale})[0];
    const torch::NoGradGuard no_gradients;
    scale += gradient;
  }
  CHECK(scale.item<double>() < 1.9);  // a smaller slope is more linear
  CHECK(score().item<double>() > before + 0.01);
}

}  // namespace
