// pretrain: what regularizers of the hidden states do to a small language model while it learns.

#include "measure.hpp"
#include "options.hpp"
#include "replacement.hpp"
#include "report.hpp"
#include "shards.hpp"
#include "training.hpp"
#include "weights.hpp"

#include "common/terminal.hpp"
#include "common/write_file.hpp"

#include <torch/utils.h>

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <utility>

namespace pretraining {
namespace {

using examples::say;
namespace fs = std::filesystem;

constexpr auto program = "pretrain";

/// A file that has its name only once it is complete.
class log_file {
 public:
  explicit log_file(fs::path path) : path_(std::move(path)), part_(path_.string() + ".part"), file_(part_) {}

  void write(const std::string& line) {
    if (!(file_ << line << std::flush)) throw std::runtime_error(fmt::format("{}: can't be written", part_.string()));
  }
  void finish() {
    file_.close();
    fs::rename(part_, path_);
  }

 private:
  fs::path path_, part_;
  std::ofstream file_;
};

measure_options measuring(const options& o) {
  return {.sequences = o.evaluated,
          .profiled_sequences = o.evaluated / 4,
          .length = o.training.length,
          .threads = o.training.threads};
}

std::map<std::string, std::string> settings_of(const options& o, const decoder& model) {
  const auto& t = o.training;
  const auto& s = model.shape();
  std::int64_t parameters = 0;
  for (const at::Tensor& p : model.parameters()) parameters += p.numel();
  return {{"train", fs::path(o.train_file).filename()},
          {"held_out", fs::path(o.held_out_file).filename()},
          {"from", o.from},
          {"model", fmt::format("{} layers, width {}, {} heads, {} hidden units, {} parameters", s.layers, s.width,
                                s.heads, s.hidden, parameters)},
          {"steps", fmt::format("{}", t.steps)},
          {"batch", fmt::format("{} x {}", t.batch_size, t.length)},
          {"learning_rate", fmt::format("{}", t.learning_rate)},
          {"warm_up", fmt::format("{}", t.warm_up)},
          {"threads", fmt::format("{}", t.threads)},
          {"evaluated", fmt::format("{} x {}", o.evaluated, t.length)}};
}

void run_training(const options& o) {
  const corpus text(o.train_file), held_out(o.held_out_file);
  torch::manual_seed(o.training.seed);
  const auto model = o.from.empty() ? std::make_shared<decoder>(o.shape) : load_checkpoint(o.from);
  const fs::path folder = o.directory;
  fs::create_directories(folder);
  log_file log(folder / "run.jsonl");
  const run_record run{.label = o.label.empty() ? label_of(o.training.penalty) : o.label,
                       .purpose = o.purpose,
                       .seed = o.training.seed,
                       .settings = settings_of(o, *model),
                       .measurements = {}};
  log.write(first_line(run));

  const auto started = std::chrono::steady_clock::now();
  double held_out_loss = 0;
  train(*model, text, o.training, [&](std::int64_t step, const step_means& means) {
    measurement m = measure(*model, held_out, measuring(o));
    m.step = step;
    m.train_loss = means.loss;
    m.penalty = means.penalty;
    held_out_loss = m.held_out_loss;
    log.write(line_of(m));
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    say(program,
        "{}, seed {}: step {:5}, train {:.4f}, penalty {:.4f}, held out {:.4f}, final jump {:.2f}, "
        "{:.0f} s, {:.0f} bytes/s",
        run.label, run.seed, step, means.loss.value_or(0), means.penalty.value_or(0), held_out_loss,
        m.layers.back().jump_rate.value_or(0), seconds,
        static_cast<double>(step * o.training.batch_size * o.training.length) / seconds);
  });
  save_checkpoint(*model, folder / "model.pt");
  write_safetensors(*model, folder / "model.safetensors",
                    {{"label", run.label},
                     {"seed", fmt::format("{}", run.seed)},
                     {"held_out_loss", fmt::format("{:.4f} nats a byte", held_out_loss)}});
  log.finish();
}

void run_replacement(const options& o) {
  const auto model = load_checkpoint(o.from);
  replacement_record record = replace_layers(*model, corpus(o.train_file), corpus(o.held_out_file), measuring(o));
  record.label = o.label.empty() ? no_penalty : o.label;
  record.seed = o.training.seed;
  fs::create_directories(o.directory);
  examples::write_file(fs::path(o.directory) / "replacement.json", text_of(record));
}

void run(const options& o) {
  use_one_thread_per_operation();
  keep_freed_memory();
  switch (o.command) {
    case command::train:
      return run_training(o);
    case command::replace:
      return run_replacement(o);
    default:
      write_report(o.directory);
  }
}

}  // namespace
}  // namespace pretraining

int main(int argc, char** argv) {
  using namespace pretraining;
  try {
    const auto line = read_command_line(argc, argv);
    if (line.exit_status) return *line.exit_status;
    run(line.values);
    return EXIT_SUCCESS;
  } catch (const c10::Error& error) {
    say(program, "error: libtorch: {}", error.what_without_backtrace());
  } catch (const std::exception& error) {
    say(program, "error: {}", error.what());
  }
  return EXIT_FAILURE;
}
