#include "options.hpp"

#include "common/command_line.hpp"

#include <layerwise/core.hpp>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <charconv>
#include <limits>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace examples::layerwise_profile {
namespace {

using dumps::index;

/// The parts of "a,b,c". CLI11's own lists would take the files that follow for more of them.
std::vector<std::string> parts_of(const std::string& text) {
  std::vector<std::string> parts(1);
  for (const char c : text)
    if (c == ',')
      parts.emplace_back();
    else
      parts.back() += c;
  return parts;
}

/// Rising numbers.
std::vector<index> numbers_of(const std::string& text) {
  std::vector<index> numbers;
  for (const auto& part : parts_of(text)) {
    index value = -1;
    const auto [end, status] = std::from_chars(part.data(), part.data() + part.size(), value);
    if (status != std::errc{} || end != part.data() + part.size() || value < 0 ||
        (!numbers.empty() && value <= numbers.back()))
      throw CLI::ValidationError("--layer-numbers", text + ": expected rising numbers, as in 0,8,16");
    numbers.push_back(value);
  }
  return numbers;
}

std::vector<report::column> columns_of(const std::string& text) {
  try {
    return report::columns_named(parts_of(text));
  } catch (const std::invalid_argument& error) {
    throw CLI::ValidationError("--columns", error.what());
  }
}

CLI::Validator at_least(index lowest) { return CLI::Range(lowest, std::numeric_limits<index>::max()).description(""); }

void add_layout(CLI::App& app, options& o) {
  const std::string group = "Input";
  app.add_option_function<std::string>(
         "--layout",
         [&o](const std::string& text) {
           o.stack.layout = dumps::parse_axes(text);
           if (!o.stack.layout)
             throw CLI::ValidationError(
                 "--layout", text + ": expected layer-major, token-major, or axes as in '[layer][batch][token][dim]'");
         },
         "What the axes of a tensor are: layer-major ([layer][token][dim]),\n"
         "token-major ([token][layer][dim]), or any order, as in\n"
         "'[layer][batch][token][dim]'; default: as the metadata's layout,\n"
         "attention_mask, input_ids, token_ids, sequence_lengths or, where it leaves\n"
         "no doubt, the shape tell")
      ->type_name("AXES")
      ->group(group);
}

/// Which tensors are the states, and which of them is which layer.
void add_layers(CLI::App& app, options& o) {
  const std::string group = "Input";
  app.add_option("--tensor", o.stack.tensor, "Which tensor: the stack of layers, or what the layers' names begin with")
      ->type_name("NAME")
      ->group(group);
  app.add_option_function<std::string>(
         "--tensors", [&o](const std::string& text) { o.stack.tensors = parts_of(text); },
         "Which tensors, one a layer, in their order, h_0 first; * stands for any\nnumber")
      ->type_name("NAME,...")
      ->group(group);
  add_choice(app, "--order", o.stack.order,
             std::map<std::string, dumps::order_rule>{{"name", dumps::order_rule::by_name},
                                                      {"given", dumps::order_rule::as_given}},
             "Of the layers: that of the names, or the one in which they lie in the file,\n"
             "and the files on the command line; default: as the names mean, embeddings,\n"
             "blocks by number, final norm")
      ->group(group);
  app.add_option_function<std::string>(
         "--layer-numbers", [&o](const std::string& text) { o.stack.numbers = numbers_of(text); },
         "The numbers of the states in their model, where they are some of its\n"
         "layers: one for each, as in 0,8,16")
      ->type_name("N,...")
      ->group(group);
}

/// Which tokens take part, and what they are.
void add_tokens(CLI::App& app, options& o) {
  const std::string group = "Input";
  app.add_option("--mask", o.mask,
                 "Which tokens are real (1) and which padding (0): a tensor beside the\n"
                 "states, a file, or none; default: attention_mask, if there is one")
      ->type_name("NAME|FILE|none")
      ->group(group);
  add_choice(app, "--final-norm", o.final_norm,
             std::map<std::string, layerwise::final_norm>{{"before", layerwise::final_norm::before},
                                                          {"after", layerwise::final_norm::after}},
             "Label: the last state was taken before or after the model's final\n"
             "normalization; default: as the file's metadata says")
      ->group(group);
  app.add_option("--sequence-length", o.tokens.sequence_length,
                 "Tokens of a sequence, for the next two; 0: each file is one; default:\nas the files tell")
      ->check(at_least(0))
      ->type_name("N")
      ->group(group);
  app.add_option("--skip-first", o.tokens.skip_first,
                 "Leave out the first K tokens of each sequence, padding not counted\n(the first is often an "
                 "attention sink)")
      ->check(at_least(0))
      ->type_name("K")
      ->group(group);
  app.add_flag("--last-only", o.tokens.last_only, "Use only the last token of each sequence")->group(group);
}

void add_measurement(CLI::App& app, options& o) {
  const std::string group = "Measurement";
  app.add_flag_callback(
         "--no-linearity", [&o] { o.profile.linearity = false; },
         "Angles, displacements and the like only: no memory for moments")
      ->group(group);
  app.add_flag("--pairs-in-turn", o.pairs_in_turn,
               "One pair of layers after the other, where the moments of all are too\n"
               "large for the memory; every layer is read twice")
      ->group(group);
  app.add_flag_callback(
         "--no-centering", [&o] { o.profile.centering = layerwise::centering::none; },
         "Don't centre the columns before linearity is scored")
      ->group(group);
  add_choice(app, "--method", o.profile.method,
             std::map<std::string, layerwise::solver>{{"automatic", layerwise::solver::automatic},
                                                      {"cholesky", layerwise::solver::cholesky},
                                                      {"orthogonal", layerwise::solver::orthogonal},
                                                      {"rank-revealing", layerwise::solver::rank_revealing}},
             "How the least-squares problems are solved; automatic (the default)\n"
             "takes Cholesky where its error bound is within the tolerance, and\n"
             "a second pass over the data (orthogonal) where not")
      ->group(group);
  app.add_option("--tolerance", o.profile.tolerance, "Error bound of a score that automatic is content with")
      ->check(CLI::Validator(CLI::NonNegativeNumber).description(""))
      ->capture_default_str()
      ->type_name("X")
      ->group(group);
  app.add_option("--batch-tokens", o.batch_tokens, "Tokens read at a time; default: about 64 MiB, but 256 to 4096")
      ->check(at_least(1))
      ->type_name("N")
      ->group(group);
}

void add_output(CLI::App& app, options& o) {
  const std::string group = "Output";
  add_choice(app, "--format", o.format,
             std::map<std::string, output_format>{
                 {"table", output_format::table}, {"csv", output_format::csv}, {"json", output_format::json}},
             "Of the numbers (default: table); csv and json have every digit")
      ->group(group);
  app.add_option_function<std::string>(
         "--columns", [&o](const std::string& text) { o.columns = columns_of(text); },
         "Of the table, by their names in CSV; the layer's number comes first")
      ->type_name("NAME,...")
      ->group(group);
  app.add_flag("--dry-run", o.dry_run, "Print what would be read, and how, and measure nothing")->group(group);
  app.add_option("--output", o.output, "Write the numbers to a file")->type_name("FILE")->group(group);
  app.add_option("--plot", o.plot, "Draw the curves into an .svg or .png file (needs gnuplot)")
      ->check([](const std::string& name) {
        return name.ends_with(".svg") || name.ends_with(".png") ? "" : "expected a name ending in .svg or .png";
      })
      ->type_name("FILE")
      ->group(group);
}

}  // namespace

command_line read_command_line(int argc, char** argv) {
  command_line result;
  auto& o = result.values;
  CLI::App app(
      "Profiles what each layer of a transformer does to its hidden states: how linear it is with and\n"
      "without the residual stream, how far it turns the vectors, how abruptly the last layers jump.\n");
  app.name("layerwise-profile");
  app.formatter(std::make_shared<help_formatter>());
  app.set_version_flag("--version", fmt::format("layerwise-profile {}.{}.{}", layerwise::version_major,
                                                layerwise::version_minor, layerwise::version_patch));
  app.add_option("files", o.files,
                 "Dumps of hidden states h_0 ... h_L, or directories of them:\n"
                 ".safetensors (F64, F32, F16, BF16), .npy or .npz (f8, f4, f2,\nbfloat16)")
      ->type_name("FILE");

  add_layout(app, o);
  add_layers(app, o);
  add_tokens(app, o);
  add_measurement(app, o);
  add_output(app, o);

  app.footer(
      "Examples:\n"
      "  layerwise-profile model.safetensors --plot profile.svg\n"
      "  layerwise-profile shard-*.safetensors --skip-first 1 --format json --output profile.json\n"
      "  layerwise-profile layer_*.npy --mask attention_mask.npy --final-norm after\n"
      "  layerwise-profile vllm_hidden_states/ --layer-numbers 1,2,3,4 --dry-run\n"
      "\n"
      "OMP_NUM_THREADS sets the number of threads. The exit status is 1 when a file can't be profiled.");

  try {
    app.parse(argc, argv);
    if (app.count("--columns") > 0 && o.format != output_format::table)
      throw CLI::ValidationError("--columns", "expected --format table: csv and json have all fields");
    if (o.files.empty()) throw CLI::RequiredError("FILE");  // after the complaints about what is there
  } catch (const CLI::ParseError& error) {
    result.exit_status = app.exit(error) == 0 ? 0 : 1;
  }
  return result;
}

}  // namespace examples::layerwise_profile
