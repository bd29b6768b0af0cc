#include "pictures.hpp"

#include "report/gnuplot.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <iterator>
#include <map>

namespace pretraining {
namespace {

using examples::report::gnuplot_string;

/// Over seeds at one place of the x axis.
struct point {
  double sum = 0, lowest = INFINITY, highest = -INFINITY;
  int count = 0;

  void add(double value) {
    sum += value;
    lowest = std::min(lowest, value);
    highest = std::max(highest, value);
    ++count;
  }
};

struct curve {
  std::string label;
  std::map<double, point> points;  // by x
};

/// Calls with(x, y) for every point of a run.
using read_curve = std::function<void(const run_record&, const std::function<void(double, double)>& with)>;

/// One curve for each label of pre-training, the model without a penalty first.
std::vector<curve> curves_of(const results& all, const read_curve& read) {
  std::vector<curve> curves;
  for (const run_record& run : all.runs) {
    if (run.purpose != "pretraining") continue;
    auto found = std::find_if(curves.begin(), curves.end(), [&](const curve& c) { return c.label == run.label; });
    if (found == curves.end()) found = curves.insert(curves.end(), {run.label, {}});
    read(run, [&](double x, double y) {
      if (std::isfinite(y)) found->points[x].add(y);
    });
  }
  std::stable_sort(curves.begin(), curves.end(), [](const curve& a, const curve& b) {
    const auto rank = [](const curve& c) { return c.label == no_penalty ? 0 : 1; };
    return rank(a) < rank(b);
  });
  return curves;
}

/// A number of each measurement over the steps. The beginning is drawn at step 1, as the axis is logarithmic.
read_curve over_steps(const std::function<double(const run_record&, const measurement&)>& number) {
  return [number](const run_record& run, const auto& with) {
    for (const measurement& m : run.measurements)
      if (m.step != 1) with(static_cast<double>(std::max<std::int64_t>(m.step, 1)), number(run, m));
  };
}

/// The held-out loss less that of the same seed's run without a penalty, at the same step; NaN if there is
/// none.
double excess_loss(const results& all, const run_record& run, const measurement& m) {
  for (const run_record& other : all.runs)
    if (other.purpose == run.purpose && other.label == no_penalty && other.seed == run.seed)
      for (const measurement& baseline : other.measurements)
        if (baseline.step == m.step) return m.held_out_loss - baseline.held_out_loss;
  return NAN;
}

void displacements_at_end(const run_record& run, const std::function<void(double, double)>& with) {
  double layer = 0;
  for (const layerwise::layer_metrics& l : run.measurements.back().layers) with(++layer, l.displacement);
}

enum class logarithmic_axis { x, y };

struct panel {
  std::string title;
  std::vector<curve> curves;
};

constexpr const char* colours[] = {"#404040", "#1f6fb4", "#e07b1a", "#3d8f5f", "#b0305c",
                                   "#7a5bb5", "#a08a1c", "#2a9da8", "#c46bb0", "#7f7f7f"};

/// x, mean, lowest, highest.
std::string data_block(const std::string& name, const curve& c) {
  std::string text = fmt::format("${} << END\n", name);
  for (const auto& [x, p] : c.points) text += fmt::format("{} {} {} {}\n", x, p.sum / p.count, p.lowest, p.highest);
  return text + "END\n";
}

/// What all panels have in common.
std::string page(double width, const std::string& title, const std::string& x_label, logarithmic_axis logarithmic) {
  return fmt::format(
      "set encoding utf8\n"
      "set terminal svg size {0},520 font 'Helvetica,Arial,sans-serif,15' background '#ffffff'\n"
      "set border 3 linecolor rgb '#606060'\n"
      "set tics nomirror out scale 0.5 textcolor rgb '#404040'\n"
      "set style line 9 linecolor rgb '#e4e4e4' linewidth 0.8\n"
      "set grid ytics linestyle 9\n"
      "set autoscale xfix\n"
      "set label 1 {1} at screen 0.02, 0.955 left noenhanced font ',18'\n"
      "set xlabel {2} offset 0, 0.3\n"
      "set style fill transparent solid 0.13 noborder\n"
      "set logscale {3}\nset format {3} '%g'\n",
      width, gnuplot_string(title), gnuplot_string(x_label), logarithmic == logarithmic_axis::x ? "x" : "y");
}

/// The bands of a panel's curves, and the curves over them.
std::string plot_command(std::size_t p, const panel& drawn) {
  std::vector<std::string> bands, lines;
  for (std::size_t c = 0; c < drawn.curves.size(); ++c) {
    if (drawn.curves[c].points.empty()) continue;  // its colour stays its own
    const auto* colour = colours[c % std::size(colours)];
    bands.push_back(fmt::format("$p{}c{} using 1:3:4 with filledcurves fillcolor rgb '{}' notitle", p, c, colour));
    lines.push_back(
        fmt::format("$p{}c{} using 1:2 with linespoints linewidth 2 pointtype 7 pointsize 0.35 linecolor "
                    "rgb '{}' title {}",
                    p, c, colour, gnuplot_string(drawn.curves[c].label)));
  }
  bands.insert(bands.end(), lines.begin(), lines.end());
  return fmt::format("plot {}\n", fmt::join(bands, ", \\\n     "));
}

/// Panels side by side, with one key below them.
std::string script(const std::string& title, const std::string& x_label, logarithmic_axis logarithmic,
                   const std::vector<panel>& panels) {
  const double width = panels.size() > 1 ? 1100 : 820, share = 0.97 / static_cast<double>(panels.size());
  std::string text = page(width, title, x_label, logarithmic);
  for (std::size_t p = 0; p < panels.size(); ++p)
    for (std::size_t c = 0; c < panels[p].curves.size(); ++c)
      text += data_block(fmt::format("p{}c{}", p, c), panels[p].curves[c]);
  text += "set multiplot\n";
  for (std::size_t p = 0; p < panels.size(); ++p) {
    const double left = 0.02 + share * static_cast<double>(p);
    text += fmt::format(
        "set lmargin at screen {}\nset rmargin at screen {}\nset tmargin at screen 0.850\nset bmargin at "
        "screen 0.315\n"
        "set title {} offset 0, -0.4 noenhanced font ',14' textcolor rgb '#404040'\n",
        left + 50 / width, left + share - 14 / width, gnuplot_string(panels[p].title));
    if (p == 0)
      text +=
          "set key at screen 0.5, 0.175 center top horizontal Left reverse samplen 1.8 width 1 maxcols 4 "
          "noenhanced "
          "textcolor rgb '#404040' font ',13'\n";
    else
      text += "unset key\nunset label 1\n";
    text += plot_command(p, panels[p]);
  }
  return text + "unset multiplot\n";
}

}  // namespace

std::vector<picture> draw_pictures(const results& all, const std::string& folder) {
  std::vector<picture> pictures;
  const auto draw = [&](const std::string& file, const std::string& title, const std::string& x_label,
                        logarithmic_axis logarithmic, std::vector<panel> panels) {
    std::erase_if(panels, [](const panel& p) {
      return std::all_of(p.curves.begin(), p.curves.end(), [](const curve& c) { return c.points.empty(); });
    });
    if (panels.empty()) return;
    examples::report::draw(script(title, x_label, logarithmic, panels), std::filesystem::path(folder) / file,
                           "the report");
    pictures.push_back({file, title});
  };
  const auto steps = [&](const std::string& panel_title, double (*number)(const measurement&)) {
    return panel{panel_title,
                 curves_of(all, over_steps([number](const run_record&, const measurement& m) { return number(m); }))};
  };
  const std::string step = "step (the beginning is at 1)";
  draw("loss.svg", "Held-out loss during pre-training", step, logarithmic_axis::x,
       {steps("nats a byte", [](const measurement& m) { return m.held_out_loss; }),
        {"nats a byte above none, same seed",
         curves_of(
             all, over_steps([&](const run_record& run, const measurement& m) { return excess_loss(all, run, m); }))}});
  draw("linearity.svg", "Mean linearity of the layers during pre-training", step, logarithmic_axis::x,
       {steps("with the residual stream", mean_linearity), steps("without", mean_residual_linearity)});
  draw("displacement.svg", "Displacement of each layer at the end", "layer", logarithmic_axis::y,
       {{"token mean", curves_of(all, displacements_at_end)}});
  draw("final_jump.svg", "Final jump during pre-training", step, logarithmic_axis::x,
       {steps("points of displacement", final_jump)});
  return pictures;
}

}  // namespace pretraining
