#include "options.hpp"

#include "common/command_line.hpp"
#include "dumps/input_command_line.hpp"

#include <CLI/CLI.hpp>

#include <map>
#include <string>

namespace examples::layerwise_profile {
namespace {

void add_label(CLI::App& app, options& o) {
  add_choice(app, "--final-norm", o.final_norm,
             std::map<std::string, layerwise::final_norm>{{"before", layerwise::final_norm::before},
                                                          {"after", layerwise::final_norm::after}},
             "Label: the last state was taken before or after the model's final\n"
             "normalization; default: as the file's metadata says")
      ->group("Input");
}

}  // namespace

parsed_options<options> read_command_line(int argc, char** argv) {
  parsed_options<options> result;
  auto& o = result.values;
  CLI::App app(
      "Profiles what each layer of a transformer does to its hidden states: how linear it is with and\n"
      "without the residual stream, how far it turns the vectors, how abruptly the last layers jump.\n");
  name_program(app, "layerwise-profile");
  app.add_option("files", o.input.files,
                 "Dumps of hidden states h_0 ... h_L, or directories of them:\n"
                 ".safetensors (F64, F32, F16, BF16), .npy or .npz (f8, f4, f2,\nbfloat16)")
      ->type_name("FILE");

  dumps::add_input(app, {&o.input});
  add_label(app, o);
  app.add_flag("--dry-run", o.dry_run, "Print what would be read, and how, and measure nothing")->group("Input");
  measurement::add_options(
      app, o.measured,
      "Examples:\n"
      "  layerwise-profile model.safetensors --plot profile.svg --html profile.html\n"
      "  layerwise-profile shard-*.safetensors --skip-first 1 --format json --output profile.json\n"
      "  layerwise-profile layer_*.npy --mask attention_mask.npy --final-norm after\n"
      "  layerwise-profile model.safetensors --metrics anisotropy,linear_cka --heat-map all --plot profile.png\n"
      "  layerwise-profile vllm_hidden_states/ --layer-numbers 1,2,3,4 --dry-run\n"
      "\n"
      "OMP_NUM_THREADS sets the number of threads. The exit status is 1 when a file can't be profiled.");
  app.add_option("--batch-tokens", o.batch_tokens, "Tokens read at a time; default: about 64 MiB, but 256 to 4096")
      ->check(at_least(1))
      ->type_name("N")
      ->group("Measurement");

  result.exit_status = parse(app, argc, argv, [&] {
    if (o.input.files.empty()) throw CLI::RequiredError("FILE");  // after the complaints about what is there
  });
  return result;
}

}  // namespace examples::layerwise_profile
