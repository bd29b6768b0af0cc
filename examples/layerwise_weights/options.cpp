#include "options.hpp"

#include "common/command_line.hpp"

#include <CLI/CLI.hpp>

namespace examples::layerwise_weights {

parsed_options<options> read_command_line(int argc, char** argv) {
  parsed_options<options> result;
  auto& o = result.values;
  CLI::App app(
      "Inspects the matrices of a language model as nGPT does: norms, spectrum and cosines of embeddings,\n"
      "condition numbers of attention and MLP in each layer.\n");
  name_program(app, "layerwise-weights");
  app.add_option("model", o.path,
                 "A .safetensors file, a GGUF file, or a directory with config.json and\n.safetensors files")
      ->required()
      ->type_name("MODEL");
  app.add_option_function<std::string>(
         "--tensors", [&o](const std::string& text) { o.inspection.tensors = parts_of(text); },
         "Measure these only, known by name or not: patterns as a shell has them")
      ->type_name("PATTERN,...");
  app.add_option("--sample", o.inspection.sample, "Rows whose pairs' cosines are taken")
      ->check(CLI::Range(index{2}, index{65536}).description(""))
      ->capture_default_str()
      ->type_name("N");
  app.add_flag(
      "--unit-rows", o.inspection.unit_rows,
      "Matrices of layers with their vectors of the model's width scaled to\nlength 1, as nGPT's dotted lines");
  app.add_option("--threads", o.threads, "Default: OMP_NUM_THREADS, or all")
      ->check(CLI::Range(1, 4096).description(""))
      ->type_name("N");
  add_format(app, o.format, "text", "csv and json have every digit");
  add_output_file(app, "--output", o.output, "Write the numbers to a file");
  add_output_file(app, "--plot", o.plot, "Draw four panels into an .svg or .png file (needs gnuplot)")
      ->check(picture_name());
  app.footer(
      "Examples:\n"
      "  layerwise-weights model.gguf --plot weights.svg\n"
      "  layerwise-weights SmolLM2-135M/ --format csv --output weights.csv\n"
      "  layerwise-weights model.safetensors --tensors '*experts*' --threads 8\n"
      "\n"
      "The exit status is 1 when a file can't be measured.");
  result.exit_status = parse(app, argc, argv, [] {});
  return result;
}

}  // namespace examples::layerwise_weights
