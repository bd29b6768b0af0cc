#include "show.hpp"

#include "common/input_error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace examples::layerwise_weights {
namespace {

using cells = std::vector<std::string>;

/// A table whose columns are as wide as their cells; the first `left` are aligned to the left.
std::string aligned(const std::vector<cells>& lines, std::size_t left) {
  std::vector<std::size_t> widths(lines.front().size(), 0);
  for (const auto& line : lines)
    for (std::size_t j = 0; j < line.size(); ++j) widths[j] = std::max(widths[j], line[j].size());
  std::string text;
  for (const auto& line : lines) {
    std::string row;
    for (std::size_t j = 0; j < line.size(); ++j)
      row += j < left ? fmt::format("{:<{}}  ", line[j], widths[j]) : fmt::format("{:>{}}  ", line[j], widths[j]);
    row.erase(row.find_last_not_of(' ') + 1);
    text += row + "\n";
  }
  return text;
}

std::string short_text(double value) { return std::isinf(value) ? "inf" : fmt::format("{:.4g}", value); }

std::string shape_of(const matrix_report& m) { return fmt::format("{} x {}", m.rows, m.cols); }

cells embedding_line(const matrix_report& m) {
  const auto& e = *m.embedding;
  const auto cosine = [&](std::size_t k) { return e.cosines ? short_text(e.cosine_quantiles[k]) : "-"; };
  const auto eigenvalue = [&](index k) { return e.over_median.size() == 0 ? "-" : short_text(e.over_median[k]); };
  return {printable(m.tensor),
          shape_of(m),
          m.format,
          short_text(e.norms.mean),
          short_text(e.norms.standard_deviation),
          short_text(e.norms.minimum),
          short_text(e.norms.median),
          short_text(e.norms.maximum),
          eigenvalue(0),
          eigenvalue(e.over_median.size() - 1),
          e.cosines ? short_text(e.cosines->mean) : "-",
          cosine(10),
          cosine(500),
          cosine(990)};
}

std::string embeddings(const model_report& report) {
  std::vector<cells> lines{{"embeddings", "shape", "format", "norm: mean", "std", "min", "median", "max",
                            "eigenvalue: first", "last", "cosine: mean", "1 %", "median", "99 %"}};
  std::string notes;
  for (const auto& m : report.matrices) {
    if (!m.embedding) continue;
    lines.push_back(embedding_line(m));
    const auto& e = *m.embedding;
    if (e.zero_rows > 0)
      notes += fmt::format("{}: {} rows of zeros, which have no cosine\n", printable(m.tensor), e.zero_rows);
    if (e.cosines && e.cosines->sampled < e.cosines->tokens)
      notes += fmt::format("{}: shares of cosines are of {} of the {} rows, the mean of all\n", printable(m.tensor),
                           e.cosines->sampled, e.cosines->tokens);
  }
  if (lines.size() == 1) return {};
  return aligned(lines, 3) +
         "norms: of rows; eigenvalues: of the covariance, over their median; cosines: of two rows\n" + notes + "\n";
}

cells layer_line(const matrix_report& m) {
  const auto& l = *m.layer;
  const auto number = [](bool is_there, double value) { return is_there ? short_text(value) : "-"; };
  const bool is_there = l.values.has_value();
  const index full = std::min(m.rows, m.cols);
  return {m.place.layer < 0 ? "-" : fmt::format("{}", m.place.layer),
          m.place.what == role::other ? printable(m.tensor) : std::string(text_of(m.place.what)),
          shape_of(m),
          m.format,
          number(is_there, is_there ? l.values->condition : 0.0),
          number(l.head_condition.has_value(), l.head_condition.value_or(0.0)),
          l.heads > 0 ? fmt::format("{}", l.heads) : "-",
          !is_there                ? "-"
          : l.values->rank == full ? "full"
                                   : fmt::format("{}", l.values->rank),
          number(is_there, is_there ? l.values->stable_rank : 0.0),
          number(is_there, is_there ? l.values->frobenius_norm : 0.0)};
}

std::string layers(const model_report& report) {
  std::vector<cells> lines{{"", "", "", "", "condition", "median of", "", "", "stable", "Frobenius"},
                           {"layer", "matrix", "shape", "format", "", "the heads'", "heads", "rank", "rank", "norm"}};
  for (const auto& m : report.matrices)
    if (m.layer) lines.push_back(layer_line(m));
  return lines.size() == 2 ? "" : aligned(lines, 4);
}

/// Remarks on matrices, each once, with how many it is made of.
std::string remarks(const model_report& report) {
  std::vector<std::pair<std::string, std::size_t>> found;  // and how many more
  for (const auto& m : report.matrices) {
    if (m.remark.empty()) continue;
    const auto text = fmt::format("{}: {}", text_of(m.place.what), m.remark);
    const auto same = std::ranges::find_if(found, [&](const auto& f) { return f.first == text; });
    if (same == found.end())
      found.emplace_back(text, 1);
    else
      ++same->second;
  }
  std::string text;
  for (const auto& [remark, count] : found)
    text += fmt::format("{} ({} {})\n", printable(remark), count, count == 1 ? "matrix" : "matrices");
  for (const auto& remark : report.remarks) text += printable(remark) + "\n";
  return text;
}

std::string quantization(const model_report& report) {
  std::set<std::string> formats;
  std::size_t count = 0;
  for (const auto& m : report.matrices)
    if (m.is_quantized) formats.insert(m.format), ++count;
  if (count == 0) return {};
  return fmt::format("{} of {} matrices are quantized ({}): the numbers are of what they decode to\n", count,
                     report.matrices.size(), fmt::join(formats, ", "));
}

std::string not_measured(const model_report& report) {
  constexpr std::size_t most = 20;
  if (report.not_measured.empty()) return {};
  std::vector<std::string> names;
  for (const auto& name : report.not_measured)
    if (names.size() < most) names.push_back(printable(shortened(name, 80)));
  const auto rest = report.not_measured.size() - names.size();
  return fmt::format("\nother matrices, not measured (--tensors PATTERN does): {}{}\n", fmt::join(names, ", "),
                     rest > 0 ? fmt::format(" and {} more", rest) : "");
}

}  // namespace

std::string to_text(const model_report& report) {
  auto text = printable(report.title);
  if (!report.config.architecture.empty()) text += fmt::format(" ({})", printable(report.config.architecture));
  text +=
      fmt::format("\n{}{}\n", quantization(report),
                  report.unit_rows ? "matrices of layers: with their vectors of the model's width at length 1\n" : "");
  return text + embeddings(report) + layers(report) + "\n" + remarks(report) + not_measured(report);
}

namespace {

/// Names and values of a line of CSV; infinite numbers as "inf", nothing as an empty cell.
class csv_line {
 public:
  template <class T>
  void add(std::string_view name, const T& value) {
    names.emplace_back(name);
    values.push_back(fmt::format("{}", value));
  }
  void text(std::string_view name, const std::string& value) {
    names.emplace_back(name);
    const bool needs_quotes = value.find_first_of(",\"\n\r") != std::string::npos;
    std::string quoted;
    for (const char c : value) quoted += c == '"' ? "\"\"" : std::string(1, c);
    values.push_back(needs_quotes ? '"' + quoted + '"' : value);
  }
  template <class T>
  void optional(std::string_view name, bool is_there, const T& value) {
    is_there ? add(name, value) : text(name, {});
  }
  cells names, values;
};

csv_line line_of(const matrix_report& m) {
  csv_line line;
  line.text("tensor", m.tensor);
  line.text("matrix", std::string(text_of(m.place.what)));
  line.optional("layer", m.place.layer >= 0, m.place.layer);
  line.text("format", m.format);
  line.add("quantized", m.is_quantized);
  line.add("rows", m.rows);
  line.add("columns", m.cols);
  const layer_measures l = m.layer.value_or(layer_measures{});
  const auto values = l.values.value_or(layerwise::singular_spectrum_result{});
  line.optional("condition", l.values.has_value(), values.condition);
  line.optional("condition_error", l.values.has_value(), values.condition_error);
  line.optional("head_condition", l.head_condition.has_value(), l.head_condition.value_or(0.0));
  line.optional("heads", l.heads > 0, l.heads);
  line.optional("rank", l.values.has_value(), values.rank);
  line.optional("stable_rank", l.values.has_value(), values.stable_rank);
  line.optional("frobenius_norm", l.values.has_value(), values.frobenius_norm);
  const bool is_embedding = m.embedding.has_value();
  const embedding_measures e = m.embedding.value_or(embedding_measures{});
  line.optional("norm_mean", is_embedding, e.norms.mean);
  line.optional("norm_standard_deviation", is_embedding, e.norms.standard_deviation);
  line.optional("norm_minimum", is_embedding, e.norms.minimum);
  line.optional("norm_median", is_embedding, e.norms.median);
  line.optional("norm_maximum", is_embedding, e.norms.maximum);
  line.optional("zero_rows", is_embedding, e.zero_rows);
  const bool has_ratios = e.over_median.size() > 0;
  line.optional("first_eigenvalue_over_median", has_ratios, has_ratios ? e.over_median[0] : 0.0);
  line.optional("last_eigenvalue_over_median", has_ratios, has_ratios ? e.over_median[e.over_median.size() - 1] : 0.0);
  line.optional("mean_cosine", e.cosines.has_value(), e.cosines ? e.cosines->mean : 0.0);
  line.optional("cosine_sample", e.cosines.has_value(), e.cosines ? e.cosines->sampled : 0);
  for (const std::size_t p : {1u, 25u, 50u, 75u, 99u})
    line.optional(fmt::format("cosine_percentile_{}", p), e.cosines.has_value(),
                  e.cosines ? e.cosine_quantiles[10 * p] : 0.0);
  line.text("remark", m.remark);
  return line;
}

}  // namespace

std::string to_csv(const model_report& report) {
  std::string text;
  for (const auto& m : report.matrices) {
    const auto line = line_of(m);
    if (text.empty()) text = fmt::format("{}\n", fmt::join(line.names, ","));
    text += fmt::format("{}\n", fmt::join(line.values, ","));
  }
  return text;
}

}  // namespace examples::layerwise_weights
