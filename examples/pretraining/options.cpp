#include "options.hpp"

#include "common/command_line.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <cmath>
#include <concepts>
#include <limits>
#include <map>
#include <memory>

namespace pretraining {
namespace {

using examples::add_choice;
using examples::help_formatter;

/// An integer from `lowest` on.
template <std::signed_integral Count>
CLI::Option* add_count(CLI::App& app, const std::string& name, Count& target, std::int64_t lowest,
                       const std::string& help) {
  return app.add_option(name, target, help)
      ->check(CLI::Range(lowest, std::numeric_limits<std::int64_t>::max()).description(""))
      ->capture_default_str()
      ->type_name("N");
}

void add_texts(CLI::App& app, options& o) {
  app.add_option("--train", o.train_file, "The text to learn, or to fit maps to")->required()->type_name("FILE");
  app.add_option("--held-out", o.held_out_file, "Another text, to measure on")->required()->type_name("FILE");
  app.add_option("--out", o.directory, "Folder for what the run leaves behind")->required()->type_name("DIR");
  app.add_option("--label", o.label, "What the report calls the model; default: its regularizer")->type_name("TEXT");
  add_count(app, "--threads", o.training.threads, 1, "That share a batch");
  add_count(app, "--length", o.training.length, 1, "Bytes of a sequence");
  add_count(app, "--evaluate", o.evaluated, 4,
            "Sequences of the held-out text that a measurement reads; the\n"
            "hidden states of a quarter of them are profiled");
}

void add_model(CLI::App& app, options& o) {
  const std::string group = "Model";
  auto* from =
      app.add_option("--from", o.from, "Go on from a checkpoint (fine-tuning)")->type_name("FILE")->group(group);
  add_count(app, "--layers", o.shape.layers, 1, "Of a new model")->group(group)->excludes(from);
  add_count(app, "--width", o.shape.width, 2, "Of a new model")->group(group)->excludes(from);
  add_count(app, "--heads", o.shape.heads, 1, "Of a new model")->group(group)->excludes(from);
  add_count(app, "--hidden", o.shape.hidden, 1, "Units of its feed-forward parts")->group(group)->excludes(from);
}

void add_penalty(CLI::App& app, penalty_options& p) {
  const std::string group = "Penalty";
  add_choice(app, "--regularizer", p.kind,
             std::map<std::string, regularizer_kind>{{"none", regularizer_kind::none},
                                                     {"mse", regularizer_kind::mse},
                                                     {"cosine", regularizer_kind::cosine},
                                                     {"jreg", regularizer_kind::jreg}},
             "Of the hidden states h_0 ... h_L (default: none)")
      ->group(group);
  app.add_option("--lambda", p.lambda, "Its weight")->type_name("X")->group(group);
  app.add_option("--alpha", p.alpha, "jreg: how much late layers count; inf: the last one only")
      ->capture_default_str()
      ->type_name("X")
      ->group(group);
  add_count(app, "--first-layer", p.layers.first, 1, "Of those that are penalized")->group(group);
  app.add_option("--last-layer", p.layers.last, "Of those that are penalized; default: the model's last")
      ->check(CLI::Range(std::int64_t{1}, std::numeric_limits<std::int64_t>::max()).description(""))
      ->type_name("N")
      ->group(group);
  add_choice(app, "--schedule", p.schedule,
             std::map<std::string, lambda_schedule>{{"constant", lambda_schedule::constant},
                                                    {"linear", lambda_schedule::linear}},
             "Of lambda; linear: from 0 over the warm-up (default: constant)")
      ->group(group);
  app.add_flag("--stop-gradient", p.stop_gradient,
               "Draw a layer towards the one before, never the one before towards it")
      ->group(group);
}

void add_training(CLI::App& app, options& o) {
  const std::string group = "Training";
  auto& t = o.training;
  add_texts(app, o);
  add_model(app, o);
  add_penalty(app, t.penalty);
  add_count(app, "--steps", t.steps, 0, "Of the optimizer; 0 only measures")->group(group);
  add_count(app, "--batch-size", t.batch_size, 1, "Sequences a step")->group(group);
  add_count(app, "--warm-up", t.warm_up, 0, "Steps in which the learning rate rises")->group(group);
  app.add_option("--learning-rate", t.learning_rate, "The highest")
      ->check(CLI::Validator(CLI::PositiveNumber).description(""))
      ->capture_default_str()
      ->type_name("X")
      ->group(group);
  app.add_option("--seed", t.seed, "Of weights and batches")->capture_default_str()->type_name("N")->group(group);
  app.add_option("--purpose", o.purpose, "What the report takes the run for")->capture_default_str()->type_name("WORD");
}

void check(const penalty_options& p) {
  const bool is_penalized = p.kind != regularizer_kind::none;
  if (is_penalized != (p.lambda != 0) || !std::isfinite(p.lambda))
    throw CLI::ValidationError("--lambda", "expected a finite lambda other than 0 with a --regularizer, and only then");
  if (std::isnan(p.alpha) || (p.alpha != 0 && p.kind != regularizer_kind::jreg))
    throw CLI::ValidationError("--alpha", "expected a number, and --regularizer jreg");
  const bool has_details =
      p.layers.first != 1 || p.layers.last || p.stop_gradient || p.schedule != lambda_schedule::constant;
  if (has_details && !is_penalized)
    throw CLI::ValidationError("--regularizer", "expected one, for layers, schedule or stop-gradient");
  if (p.layers.last && *p.layers.last < p.layers.first)
    throw CLI::ValidationError("--last-layer", "expected none before --first-layer");
}

}  // namespace

command_line read_command_line(int argc, char** argv) {
  command_line result;
  auto& o = result.values;
  CLI::App app(
      "Pre-trains small language models, with and without regularizers of their hidden states, and reports\n"
      "which claims about linearity and jumps of the layers hold.\n");
  app.name("pretrain");
  app.formatter(std::make_shared<help_formatter>());
  app.require_subcommand(1);

  auto* train = app.add_subcommand("train", "Train a model, and measure its layers on the way");
  add_training(*train, o);
  auto* replace = app.add_subcommand("replace", "Replace each layer of a model by its fitted linear map in turn");
  add_texts(*replace, o);
  replace->add_option("--from", o.from, "The model's checkpoint")->required()->type_name("FILE");
  replace->add_option("--seed", o.training.seed, "That the model was trained with")
      ->capture_default_str()
      ->type_name("N");
  auto* report = app.add_subcommand("report", "Report on all runs in a folder: report.md and pictures");
  report->add_option("directory", o.directory, "The folder of the runs' folders")->required()->type_name("DIR");

  try {
    app.parse(argc, argv);
    check(o.training.penalty);
  } catch (const CLI::ParseError& error) {
    result.exit_status = app.exit(error);
  }
  o.command = *replace ? command::replace : *report ? command::report : command::train;
  return result;
}

}  // namespace pretraining
