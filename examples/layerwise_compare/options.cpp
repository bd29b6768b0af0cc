#include "options.hpp"

#include "common/command_line.hpp"
#include "dumps/input_command_line.hpp"
#include "metrics/command_line.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <map>

namespace examples::layerwise_compare {
namespace {

const std::vector<const metrics::metric*>& known_metrics() {
  static const std::vector<const metrics::metric*> list = [] {
    std::vector<const metrics::metric*> known;
    for (const auto& each : metrics::pair_metrics()) known.push_back(&each);
    return known;
  }();
  return list;
}

void add_comparison(CLI::App& app, options& o) {
  const std::string group = "Comparison";
  app.add_option_function<std::string>(
         "--metrics",
         [&o](const std::string& text) { o.chosen = metrics::metrics_asked(known_metrics(), parts_of(text)); },
         "Of those listed below; default: linear_cka,debiased_linear_cka")
      ->type_name("all|NAME,...")
      ->group(group);
  add_choice(app, "--pairs", o.pairs, std::map<std::string, pairing>{{"all", pairing::all}, {"same", pairing::same}},
             "Each layer of A with each of B (default), or with the one at the same\n"
             "depth: layer i of L_A with the one nearest to i L_B / L_A")
      ->group(group);
  metrics::add_sample(app, o.sample)->group(group);
  app.add_option("--batch-tokens", o.batch_tokens, "Tokens read at a time; default: about 64 MiB, but 64 to 512")
      ->check(at_least(1))
      ->type_name("N")
      ->group(group);
}

void add_output(CLI::App& app, options& o) {
  const std::string group = "Output";
  add_format(app, o.format, "text", "csv and json have every digit, and the\nerror bounds")->group(group);
  app.add_flag("--dry-run", o.dry_run, "Print what would be read, and how, and measure nothing")->group(group);
  add_output_file(app, "--output", o.output, "Write the numbers to a file")->group(group);
  add_output_file(app, "--plot", o.plot,
                  "Draw a heat map of each metric, rows of A, columns of B, into an .svg or\n"
                  ".png file (needs gnuplot)")
      ->check(picture_name())
      ->group(group);
}

std::string footer() {
  return "Options of the input are for both dumps; with -b, as in --tensor-b, for B alone.\n"
         "\n"
         "Metrics, and what they cost for each pair of layers (n tokens, d dimensions):\n" +
         metrics::help_of(known_metrics()) +
         "\n"
         "All but those of neighbours are of second moments, 2 n d^2 a pair and 8 d^2 bytes, d the larger width.\n"
         "\n"
         "Examples:\n"
         "  layerwise-compare small.safetensors large.safetensors --plot cka.svg\n"
         "  layerwise-compare before/ after/ --pairs same --metrics procrustes,svcca --format csv\n"
         "\n"
         "OMP_NUM_THREADS sets the number of threads. The exit status is 1 when the files can't be compared.";
}

}  // namespace

parsed_options<options> read_command_line(int argc, char** argv) {
  parsed_options<options> result;
  auto& o = result.values;
  o.chosen = metrics::metrics_named(known_metrics(), {"linear_cka", "debiased_linear_cka"});
  CLI::App app(
      "Compares the hidden states of two models on the same tokens, or of one model before and after\n"
      "training, layer against layer.\n");
  name_program(app, "layerwise-compare");
  std::vector<std::string> files;
  app.add_option("dumps", files,
                 "Two dumps of hidden states h_0 ... h_L, each a file or a directory of\n"
                 "files that belong together, of any numbers of layers and dimensions:\n"
                 ".safetensors, .npy or .npz, as layerwise-profile reads them")
      ->type_name("A B");
  dumps::add_input(app, {&o.a, &o.b});
  dumps::add_input(app, {&o.b}, "-b");
  add_comparison(app, o);
  add_output(app, o);
  app.footer(footer());

  result.exit_status = parse(app, argc, argv, [&] {
    if (!o.plot.empty() && o.pairs == pairing::same)
      throw CLI::ValidationError("--plot", "expected --pairs all: a heat map is of all pairs");
    if (files.size() != 2)
      throw CLI::ValidationError(
          "A B", fmt::format("expected two dumps, got {} (a directory stands for the files in it)", files.size()));
    o.a.files = {files[0]}, o.b.files = {files[1]};
  });
  return result;
}

}  // namespace examples::layerwise_compare
