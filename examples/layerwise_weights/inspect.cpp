#include "inspect.hpp"

#include "memory.hpp"
#include "parts.hpp"

#include "common/input_error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <exception>
#include <numeric>
#include <span>
#include <tuple>
#include <utility>

#include <fnmatch.h>

namespace examples::layerwise_weights {
namespace {

quantiles quantiles_of(std::span<const double> sorted) {
  quantiles out;
  const auto last = sorted.size() - 1;
  for (std::size_t k = 0; k <= 1000; ++k) {
    const auto below = k * last / 1000;
    const double share = static_cast<double>(k * last % 1000) / 1000.0;
    out.push_back(std::lerp(sorted[below], sorted[std::min(below + 1, last)], share));
  }
  return out;
}

std::span<const double> sorted(Eigen::VectorXd& values) {
  std::ranges::sort(values);
  return {values.data(), static_cast<std::size_t>(values.size())};
}

double median_of(std::vector<double> values) {
  std::ranges::sort(values);
  const double low = values[(values.size() - 1) / 2], high = values[values.size() / 2];
  return low == high ? low : std::midpoint(low, high);  // of infinities, too
}

/// What `measure` gives; nothing where there is nothing to measure.
template <class Measure>
auto unless_degenerate(const Measure& measure) -> std::optional<decltype(measure())> {
  try {
    return measure();
  } catch (const layerwise::degenerate_input_error&) {
    return std::nullopt;
  }
}

embedding_measures measure_embedding(const weight& rows, const inspect_options& options) {
  embedding_measures out;
  auto norms = layerwise::row_norms(rows);
  std::vector<bool> has_direction;
  for (const double norm : norms) has_direction.push_back(norm > 0.0);
  out.zero_rows = std::ranges::count(has_direction, false);
  out.norms = layerwise::norm_distribution(rows);
  out.norm_quantiles = quantiles_of(sorted(norms));
  out.spectrum = unless_degenerate([&] { return layerwise::spectrum(rows); });
  if (out.spectrum)
    if (auto ratios = unless_degenerate([&] { return layerwise::eigenvalues_over_median(*out.spectrum); }))
      out.over_median = std::move(*ratios);
  if (rows.rows - out.zero_rows < 2) return out;
  out.cosines = layerwise::pairwise_cosines(rows, {.sample = options.sample}, layerwise::token_mask(has_direction));
  out.cosine_quantiles =
      quantiles_of({out.cosines->cosines.data(), static_cast<std::size_t>(out.cosines->cosines.size())});
  out.cosines->cosines.resize(0);
  return out;
}

/// The rows to length 1, whatever they are long, those of zeros left as they are.
void make_unit_rows(layerwise::row_matrix& values) {
  const auto units = layerwise::unit_normalized(values);
  Eigen::RowVectorXd unit(values.cols());
  for (index i = 0; i < values.rows(); ++i) {
    if (values.row(i).isZero(0.0)) continue;
    units.read_row(i, unit.data());
    values.row(i) = unit;
  }
}

/// The vectors of the model's width. A matrix with NaN or infinity stays as it is: the measures say where these are.
void make_units(matrix_part& part) {
  if (!part.values.allFinite()) return;
  if (part.unit_is_row) return make_unit_rows(part.values);
  layerwise::row_matrix columns = part.values.transpose();
  make_unit_rows(columns);
  part.values = columns.transpose();
}

layer_measures measure_part(const matrix_part& part) {
  layer_measures out;
  const auto& w = part.values;
  out.values = unless_degenerate([&] { return layerwise::singular_spectrum(w); });
  out.heads = part.heads;
  if (part.heads == 0 || !out.values) return out;
  const index size = (part.heads_are_rows ? w.rows() : w.cols()) / part.heads;
  std::vector<double> conditions;
  for (index h = 0; h < part.heads; ++h) {
    const auto condition = unless_degenerate([&] {
      return part.heads_are_rows ? layerwise::condition_number(w.middleRows(h * size, size))
                                 : layerwise::condition_number(w.middleCols(h * size, size));
    });
    conditions.push_back(condition.value_or(HUGE_VAL));
  }
  out.head_condition = median_of(std::move(conditions));
  return out;
}

bool is_embedding(const matrix_place& place) {
  return place.what == role::embedding || place.what == role::unembedding;
}

matrix_report described(const weight& tensor, const matrix_place& place) {
  matrix_report out;
  out.tensor = tensor.name;
  out.format = tensor.format_name;
  out.is_quantized = tensor.format->is_quantized();
  out.place = place;
  out.rows = tensor.rows, out.cols = tensor.cols;
  return out;
}

/// Of one tensor: a report, or one for each part of a fused one.
std::vector<matrix_report> measure(const weight& tensor, const matrix_place& place, const model_config& config,
                                   const inspect_options& options) {
  auto whole = described(tensor, place);
  if (is_embedding(place)) {
    whole.embedding = measure_embedding(tensor, options);
    return {std::move(whole)};
  }
  std::vector<matrix_report> out;
  for (auto& part : parts_of(tensor, place, config)) {
    if (options.unit_rows) make_units(part);
    auto report = whole;
    report.place.what = part.what;
    report.rows = part.values.rows(), report.cols = part.values.cols();
    report.layer = measure_part(part);
    report.remark = report.layer->values ? part.remark : "all zeros";
    out.push_back(std::move(report));
  }
  return out;
}

bool fits(const std::string& name, const std::vector<std::string>& patterns) {
  return std::ranges::any_of(patterns, [&](const auto& p) { return ::fnmatch(p.c_str(), name.c_str(), 0) == 0; });
}

void check_format(const weight& tensor) {
  if (tensor.rows == 0 || tensor.cols == 0)
    reject(tensor.file, "tensor {}: expected rows and columns, got {} x {}", in_quotes(tensor.name), tensor.rows,
           tensor.cols);
  if (tensor.format != nullptr && tensor.format->is_read()) return;
  const bool is_gguf = tensor.format != nullptr;
  reject(
      tensor.file, "tensor {}: expected one of {}, got {}: {}", in_quotes(tensor.name), formats_that_are_read(),
      tensor.format_name,
      is_gguf
          ? "convert it with llama-quantize --allow-requantize MODEL.gguf NEW.gguf F16, or choose others with --tensors"
          : "save it as F32, F16 or BF16, or choose others with --tensors");
}

struct chosen_weight {
  const weight* tensor;
  matrix_place place;
};

/// Embeddings, then layers by number, then others.
std::vector<chosen_weight> choose(const model& source, const inspect_options& options, model_report& out) {
  for (const auto& pattern : options.tensors)
    if (std::ranges::none_of(source.weights, [&](const auto& w) { return fits(w.name, {pattern}); }))
      reject(source.files.front(), "--tensors {}: expected a pattern that the name of a matrix fits, got none such",
             in_quotes(pattern));
  std::vector<chosen_weight> chosen;
  for (const auto& tensor : source.weights) {
    const auto place = place_of(tensor.name);
    const bool is_wanted = options.tensors.empty() ? place.what != role::other : fits(tensor.name, options.tensors);
    if (is_wanted) {
      check_format(tensor);
      chosen.push_back({&tensor, place});
    } else {
      out.not_measured.push_back(tensor.name);
    }
  }
  const auto order = [](const chosen_weight& c) {
    const bool last = c.place.what == role::other;
    return std::tuple(last, last ? 0 : c.place.layer, last ? 0 : static_cast<int>(c.place.what));
  };
  std::ranges::stable_sort(chosen, {}, order);
  out.not_measured.insert(out.not_measured.end(), source.others.begin(), source.others.end());
  if (chosen.empty())
    reject(
        source.files.front(),
        "expected names of tensors as in Hugging Face's or GGUF's llama, qwen, mistral, gemma, phi, gpt2 or gpt-neox, "
        "got none such, as in {}: choose with --tensors",
        in_quotes(source.weights.front().name));
  return chosen;
}

}  // namespace

model_report inspect(const model& source, const inspect_options& options) {
  model_report out;
  out.title = source.title, out.files = source.files;
  out.config = source.config, out.config_from = source.config_from;
  out.remarks = source.remarks;
  out.sample = options.sample, out.unit_rows = options.unit_rows;
  const auto chosen = choose(source, options, out);
  std::size_t first = 0;  // of those that share nothing and get a thread each; the large ones before use all
  while (first < chosen.size() && is_embedding(chosen[first].place)) ++first;
  demands wanted{{}, {}, options.sample, Eigen::nbThreads()};
  for (std::size_t i = 0; i < chosen.size(); ++i)
    (i < first ? wanted.embeddings : wanted.matrices).push_back(chosen[i].tensor);
  check_memory(wanted);
  std::vector<std::vector<matrix_report>> measured(chosen.size());
  std::vector<std::exception_ptr> failures(chosen.size());
  const auto measure_one = [&](std::size_t i) {
    const auto& tensor = *chosen[i].tensor;
    try {
      measured[i] = measure(tensor, chosen[i].place, source.config, options);
    } catch (const layerwise::error& error) {
      failures[i] = std::make_exception_ptr(
          input_error(tensor.file, fmt::format("tensor {}: {}", in_quotes(tensor.name), error.what())));
    } catch (...) {
      failures[i] = std::current_exception();
    }
  };
  for (std::size_t i = 0; i < first; ++i) measure_one(i);
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic) if (chosen.size() > first + 1)
#endif
  for (std::size_t i = first; i < chosen.size(); ++i) measure_one(i);
  for (const auto& failure : failures)
    if (failure) std::rethrow_exception(failure);
  for (auto& reports : measured)
    for (auto& report : reports) out.matrices.push_back(std::move(report));
  const bool has_unembedding =
      std::ranges::any_of(source.weights, [](const auto& w) { return place_of(w.name).what == role::unembedding; });
  if (!has_unembedding)
    out.remarks.push_back(source.config.ties_embeddings
                              ? "the unembedding is the embedding (tie_word_embeddings)"
                              : "there is no matrix of the unembedding's name: models without one use the embedding");
  return out;
}

}  // namespace examples::layerwise_weights
