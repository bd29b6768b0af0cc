#include "picture.hpp"

#include "common/input_error.hpp"
#include "report/gnuplot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <vector>

namespace examples::layerwise_weights {
namespace {

constexpr std::array colours{"#1f6fb4", "#e07b1a", "#3d8f5f", "#b0305c", "#7a5ab5", "#8a6d3b", "#4a4a4a"};

/// A line of a panel. Infinite values are gaps.
struct curve {
  std::string name;  // in the key
  std::string data;
  double least = HUGE_VAL, most = -HUGE_VAL;

  void add(double x, double y) {
    data += std::isfinite(y) ? fmt::format("{} {}\n", x, y) : "\n";
    if (!std::isfinite(y)) return;
    least = std::min(least, y);
    most = std::max(most, y);
  }
};

/// Values over their rank, 0 to 1; zeros, which a logarithmic axis does not have, are gaps.
curve over_rank(const std::string& name, std::span<const double> values, bool is_logarithmic = false) {
  curve out{name, {}};
  const double last = values.size() > 1 ? static_cast<double>(values.size() - 1) : 1.0;
  for (std::size_t k = 0; k < values.size(); ++k)
    out.add(static_cast<double>(k) / last, is_logarithmic && values[k] <= 0.0 ? HUGE_VAL : values[k]);
  return out;
}

/// Condition over layer, of one kind of matrix.
curve conditions(const model_report& report, role what) {
  curve out{std::string(text_of(what)), {}};
  bool of_heads = false;
  for (const auto& m : report.matrices) {
    if (!m.layer || m.place.what != what || !m.layer->values) continue;
    of_heads = of_heads || m.layer->head_condition;
    out.add(static_cast<double>(m.place.layer), m.layer->head_condition.value_or(m.layer->values->condition));
  }
  if (of_heads) out.name += " (heads)";
  return out;
}

struct panel {
  std::string title, x;
  bool is_logarithmic;
  std::vector<curve> curves;
};

std::vector<panel> panels_of(const model_report& report) {
  std::vector<panel> panels{{"Norms of rows", "share of rows", false, {}},
                            {"Eigenvalues of the covariance / median", "share of eigenvalues", true, {}},
                            {"Cosines of pairs of rows", "share of pairs", false, {}},
                            {"Condition numbers", "layer", true, {}}};
  for (const auto& m : report.matrices) {
    if (!m.embedding) continue;
    const std::string name(text_of(m.place.what));
    const auto& e = *m.embedding;
    panels[0].curves.push_back(over_rank(name, e.norm_quantiles));
    panels[1].curves.push_back(
        over_rank(name, {e.over_median.data(), static_cast<std::size_t>(e.over_median.size())}, true));
    panels[2].curves.push_back(over_rank(name, e.cosine_quantiles));
  }
  for (const role what :
       {role::q, role::k, role::v, role::qkv, role::o, role::gate, role::gate_up, role::up, role::down})
    if (auto line = conditions(report, what); !line.data.empty()) panels[3].curves.push_back(std::move(line));
  return panels;
}

constexpr auto style = R"(
set border 3 linecolor rgb '#606060'
set tics nomirror out scale 0.5 textcolor rgb '#404040' font ',12'
set grid ytics linecolor rgb '#e4e4e4' linewidth 0.8
set key top left Left reverse samplen 1.4 spacing 1.1 font ',11' textcolor rgb '#404040' maxrows 3
)";

/// What holds all curves, with room for the key above them.
std::string range_of(const panel& p) {
  double least = HUGE_VAL, most = -HUGE_VAL;
  for (const auto& c : p.curves) least = std::min(least, c.least), most = std::max(most, c.most);
  if (!(least <= most)) return "[0.1:1]";  // nothing is drawn
  const double low = p.is_logarithmic ? std::log10(least) : least, high = p.is_logarithmic ? std::log10(most) : most;
  const double height = high > low ? high - low : std::max(0.1, 0.1 * std::abs(high));
  const double from = low - 0.05 * height, to = high + 0.3 * height;
  return p.is_logarithmic ? fmt::format("[{}:{}]", std::pow(10.0, from), std::pow(10.0, to))
                          : fmt::format("[{}:{}]", from, to);
}

std::string drawn(const panel& p, std::size_t number) {
  std::string data, plot;
  for (std::size_t k = 0; k < p.curves.size(); ++k) {
    if (!(p.curves[k].least <= p.curves[k].most)) continue;
    const auto name = fmt::format("$data_{}_{}", number, k);
    data += fmt::format("{} << END\n{}END\n", name, p.curves[k].data);
    plot += fmt::format("{}{} using 1:2 with {} linewidth 2 pointtype 7 pointsize 0.4 linecolor rgb '{}' title {}",
                        plot.empty() ? "plot " : ", ", name, p.x == "layer" ? "linespoints" : "lines",
                        colours[k % colours.size()], report::gnuplot_string(p.curves[k].name));
  }
  if (plot.empty()) plot = "set xrange [0:1]\nplot NaN notitle";
  return data + fmt::format(
                    "set title {} font ',14'\nset xlabel {} font ',12' offset 0, 0.4\nset autoscale x\n"
                    "{}set logscale y\nset format y '{}'\nset yrange {}\n{}\n",
                    report::gnuplot_string(p.title), report::gnuplot_string(p.x), p.is_logarithmic ? "" : "un",
                    p.is_logarithmic ? "10^{%T}" : "%g", range_of(p), plot);
}

}  // namespace

void write_picture(const model_report& report, const std::string& path) {
  auto script = "set encoding utf8\n" + report::gnuplot_terminal(path, 1000, 800) + style;
  script += fmt::format(
      "set multiplot layout 2,2 margins 0.065, 0.975, 0.08, 0.87 spacing 0.08, 0.14\n"
      "set label 1 {} at screen 0.02, 0.965 left noenhanced font ',18'\n",
      report::gnuplot_string(shortened(report.title, 80)));
  std::size_t number = 0;
  for (const auto& panel : panels_of(report)) {
    script += drawn(panel, number++);
    script += "unset label 1\n";
  }
  report::draw(script + "unset multiplot\n", path, "--plot");
}

}  // namespace examples::layerwise_weights
