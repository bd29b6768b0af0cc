#include "metric.hpp"
#include "module.hpp"

#include <layerwise/training/cosine.hpp>
#include <layerwise/training/jreg.hpp>
#include <layerwise/training/linearity_gradient.hpp>
#include <layerwise/training/mse.hpp>
#include <layerwise/training/schedule.hpp>

#include <nanobind/ndarray.h>

#include <memory>
#include <tuple>
#include <utility>

// Regularizers, gradients, schedules. Gradients are new arrays of float64.
namespace python_module {
namespace {

using gradient_array = nb::ndarray<nb::numpy, double>;
using layerwise::row_matrix;

/// The gradient of a matrix, in its shape; the elements go with it.
gradient_array shaped_as(const array& memory, row_matrix gradient) {
  auto held = std::make_unique<row_matrix>(std::move(gradient));
  double* const data = held->data();
  const nb::capsule owner(held.release(), [](void* p) noexcept { delete static_cast<row_matrix*>(p); });
  const std::vector<std::size_t> sizes(memory.sizes.begin(), memory.sizes.end());
  return {data, sizes.size(), sizes.data(), owner};
}

row_matrix zeros_like(const array& memory) {
  const index d = memory.sizes.back();
  return row_matrix::Zero(d == 0 ? 0 : memory.size() / d, d);
}

using layers_option = std::pair<index, std::optional<index>>;

layerwise::layer_range range_of(const layers_option& layers) { return {.first = layers.first, .last = layers.second}; }

template <class R>
double value_of(const R& regularizer, const states_argument& hidden_states, const mask_argument& mask) {
  const states stack(hidden_states.value);
  const token_mask keep = mask_of(mask.value, stack.leading());
  return compute([&] { return regularizer.value(stack.layers, keep); });
}

template <class R>
std::pair<double, std::vector<gradient_array>> value_and_gradient_of(const R& regularizer,
                                                                     const states_argument& hidden_states,
                                                                     const mask_argument& mask) {
  const states stack(hidden_states.value);
  const token_mask keep = mask_of(mask.value, stack.leading());
  std::vector<row_matrix> gradients;
  const double value = compute([&] {
    for (const array& layer : stack.memory) gradients.push_back(zeros_like(layer));
    return regularizer.value_and_gradient(stack.layers, gradients, keep);
  });
  std::vector<gradient_array> out;
  for (std::size_t l = 0; l < gradients.size(); ++l) out.push_back(shaped_as(stack.memory[l], std::move(gradients[l])));
  return {value, std::move(out)};
}

/// What all regularizers have.
template <class R>
nb::class_<R> bind_regularizer(nb::module_& m, const char* name, const char* doc) {
  m.def("penalty", value_of<R>, "regularizer"_a, "hidden_states"_a.none(), "attention_mask"_a = nb::none(),
        "regularizer.value(...)");
  m.def("penalty_and_gradient", value_and_gradient_of<R>, "regularizer"_a, "hidden_states"_a.none(),
        "attention_mask"_a = nb::none(), "regularizer.value_and_gradient(...)");
  return nb::class_<R>(m, name, doc)
      .def_rw("lambda_", &R::lambda, "weight; may be set anew at every step of a training")
      .def_prop_ro("reduction", [](const R& r) { return text_of(r.reduction); })
      .def_prop_ro("stop_gradient", [](const R& r) { return text_of(r.stop_gradient); })
      .def_prop_ro("layers", [](const R& r) { return layers_option(r.layers.first, r.layers.last); })
      .def("value", value_of<R>, "hidden_states"_a.none(), "attention_mask"_a = nb::none(), "The value alone.")
      .def("value_and_gradient", value_and_gradient_of<R>, "hidden_states"_a.none(), "attention_mask"_a = nb::none(),
           "The value, and its derivative with respect to every h_l.");
}

template <class R>
void def_plain_init(nb::class_<R>& type) {
  type.def(
      "__init__",
      [](R* self, double lambda, const std::string& reduction, const layers_option& layers,
         const std::string& stop_gradient) {
        new (self) R{.lambda = lambda,
                     .reduction = enumerator_of<layerwise::reduction>(reduction, "reduction"),
                     .layers = range_of(layers),
                     .stop_gradient = enumerator_of<layerwise::stop_gradient>(stop_gradient, "stop_gradient")};
      },
      "lambda_"_a, nb::kw_only(), "reduction"_a = "mean", "layers"_a = layers_option(1, std::nullopt),
      "stop_gradient"_a = "none");
}

void bind_regularizers(nb::module_& m) {
  auto mse = bind_regularizer<layerwise::mse_regularizer>(
      m, "mse_regularizer", "lambda sum over l of ||h_l - h_{l-1}||^2, mean or sum over tokens (arXiv 2405.12250).");
  def_plain_init(mse);
  auto cosine = bind_regularizer<layerwise::cosine_regularizer>(
      m, "cosine_regularizer",
      "lambda sum over l of 1 - cos(h_l, h_{l-1}), mean or sum over tokens (arXiv 2405.12250).");
  def_plain_init(cosine);
  using layerwise::jreg_regularizer;
  bind_regularizer<jreg_regularizer>(
      m, "jreg_regularizer",
      "lambda sum over l of w_l Psi_l, w = softmax(alpha l), mean or sum over tokens (arXiv 2601.18302).")
      .def(
          "__init__",
          [](jreg_regularizer* self, double lambda, double alpha, const std::string& reduction,
             const layers_option& layers, const std::string& stop_gradient) {
            new (self) jreg_regularizer{
                .lambda = lambda,
                .alpha = alpha,
                .reduction = enumerator_of<layerwise::reduction>(reduction, "reduction"),
                .layers = range_of(layers),
                .stop_gradient = enumerator_of<layerwise::stop_gradient>(stop_gradient, "stop_gradient")};
          },
          "lambda_"_a, "alpha"_a, nb::kw_only(), "reduction"_a = "mean", "layers"_a = layers_option(1, std::nullopt),
          "stop_gradient"_a = "none")
      .def_rw("alpha", &jreg_regularizer::alpha, "how much the late layers count")
      .def("weights", &jreg_regularizer::weights, "last_layer"_a, "w_1 ... w_L");
}

/// f(x, y, gradient of x, gradient of y, factor, options, mask)
template <class F>
void def_gradient(nb::module_& m, const char* name, const char* first, const char* second, F f, const char* doc) {
  m.def(
      name,
      [=](const array_argument& x, const array_argument& y, double factor, const std::string& centering,
          const std::string& method, double tolerance, const mask_argument& mask) {
        const auto options = linearity_options_of(centering, method, tolerance);
        const one_matrix from(x.value, first), to(y.value, second, from);
        const token_mask keep = mask_of(mask.value, from.leading());
        row_matrix of_x, of_y;
        auto result = compute([&] {
          of_x = zeros_like(from.memory), of_y = zeros_like(to.memory);
          return f(from.view, to.view, of_x, of_y, factor, options, keep);
        });
        return std::make_tuple(std::move(result), shaped_as(from.memory, std::move(of_x)),
                               shaped_as(to.memory, std::move(of_y)));
      },
      nb::arg(first).none(), nb::arg(second).none(), "factor"_a = 1.0, nb::kw_only(), "centering"_a = "columns",
      "method"_a = "automatic", "tolerance"_a = layerwise::linearity_options().tolerance,
      "attention_mask"_a = nb::none(), doc);
}

template <class Schedule>
void def_call(nb::class_<Schedule>& type) {
  type.def(
      "__call__", [](const Schedule& schedule, double step) { return schedule(step); }, "step"_a,
      "The weight at a step.");
}

void bind_schedules(nb::module_& m) {
  using layerwise::linear_schedule, layerwise::slanted_triangular_schedule;
  const linear_schedule line;
  auto linear = nb::class_<linear_schedule>(m, "linear_schedule",
                                            "`from_` up to step begin, `to` from step end on, a line between them.")
                    .def(
                        "__init__",
                        [](linear_schedule* self, double from, double to, double begin, double end) {
                          new (self) linear_schedule{.from = from, .to = to, .begin = begin, .end = end};
                        },
                        "from_"_a = line.from, "to"_a = line.to, "begin"_a = line.begin, "end"_a = line.end)
                    .def_rw("from_", &linear_schedule::from)
                    .def_rw("to", &linear_schedule::to)
                    .def_rw("begin", &linear_schedule::begin)
                    .def_rw("end", &linear_schedule::end);
  def_call(linear);
  const slanted_triangular_schedule slant;
  auto slanted =
      nb::class_<slanted_triangular_schedule>(m, "slanted_triangular_schedule", "A short rise, a long fall (ULMFiT).")
          .def(
              "__init__",
              [](slanted_triangular_schedule* self, double most, double steps, double cut_fraction, double ratio) {
                new (self) slanted_triangular_schedule{
                    .most = most, .steps = steps, .cut_fraction = cut_fraction, .ratio = ratio};
              },
              "most"_a = slant.most, "steps"_a = slant.steps, "cut_fraction"_a = slant.cut_fraction,
              "ratio"_a = slant.ratio)
          .def_rw("most", &slanted_triangular_schedule::most)
          .def_rw("steps", &slanted_triangular_schedule::steps)
          .def_rw("cut_fraction", &slanted_triangular_schedule::cut_fraction)
          .def_rw("ratio", &slanted_triangular_schedule::ratio);
  def_call(slanted);
}

}  // namespace

void bind_training(nb::module_& m) {
  bind_regularizers(m);
  def_gradient(
      m, "linearity_and_gradient", "x", "y",
      [](const matrix& x, const matrix& y, row_matrix& of_x, row_matrix& of_y, double factor,
         const layerwise::linearity_options& options,
         const token_mask& mask) { return layerwise::linearity_and_gradient(x, y, of_x, of_y, factor, options, mask); },
      "linearity(), factor * ds/dX and factor * ds/dY.");
  def_gradient(
      m, "residual_linearity_and_gradient", "before", "after",
      [](const matrix& x, const matrix& y, row_matrix& of_x, row_matrix& of_y, double factor,
         const layerwise::linearity_options& options, const token_mask& mask) {
        return layerwise::residual_linearity_and_gradient(x, y, of_x, of_y, factor, options, mask);
      },
      "residual_linearity(), and its gradients.");
  bind_schedules(m);
}

}  // namespace python_module
