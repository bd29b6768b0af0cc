#include "options.hpp"

#include "common/command_line.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <thread>

namespace examples::layerwise_llama {
namespace {

void add_input(CLI::App& app, options& o) {
  app.add_option("model", o.model, "A model in a GGUF file")->type_name("MODEL.gguf")->required();
  app.add_option("text", o.text.path, "The text that it reads")->type_name("TEXT")->required();
  const std::string group = "Input";
  app.add_option("--tokens", o.text.tokens, "Stop after N tokens; default: the whole text")
      ->check(at_least(2))
      ->type_name("N")
      ->group(group);
  app.add_option("--sequence-length", o.text.sequence_length,
                 "Tokens of a sequence, special tokens included, which the model\nreads from an empty memory; default: "
                 "512, or its context where that is less")
      ->check(at_least(2))
      ->type_name("N")
      ->group(group);
  app.add_option("--skip-first", o.skip_first, "Leave out the first N tokens of each sequence")
      ->check(at_least(0))
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
}

void add_running(CLI::App& app, options& o) {
  const std::string group = "Running";
  app.add_flag("--loss", o.loss,
               "Also the mean cross entropy of the next tokens, in nats: runs the\n"
               "model's head, which is left out else")
      ->group(group);
  app.add_option("--threads", o.running.threads,
                 "Threads of the model and of what is measured; default: the processors")
      ->check(CLI::Range(1, 4096).description(""))
      ->type_name("N")
      ->group(group);
  app.add_option("--micro-batch", o.running.micro_batch, "The most tokens that the model sees at once")
      ->check(CLI::Range(1, 512).description(""))
      ->capture_default_str()
      ->type_name("N")
      ->group(group);
  app.add_flag("--exact", o.running.exact,
               "Attention in float32, slower, instead of keys and values in 16 bits\nand llama.cpp's flash attention")
      ->group(group);
  app.add_flag("--timing", o.timing, "Say on stderr where the time went")->group(group);
}

}  // namespace

parsed_options<options> read_command_line(int argc, char** argv) {
  parsed_options<options> result;
  auto& o = result.values;
  o.running.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  CLI::App app(
      "Runs a model on a text, with llama.cpp, and profiles what each of its layers does to its hidden\n"
      "states while it runs: no state is written to a file, and of the text only the tokens are kept.\n");
  name_program(app, "layerwise-llama");
  add_input(app, o);
  add_running(app, o);
  measurement::add_options(app, o.measured,
                           "Examples:\n"
                           "  layerwise-llama model.gguf text.txt --loss --plot profile.svg --html profile.html\n"
                           "  layerwise-llama model.gguf text.txt --tokens 65536 --skip-first 4 --format json\n"
                           "\n"
                           "The exit status is 1 when a model can't be profiled.");
  result.exit_status = parse(app, argc, argv, [] {});
  return result;
}

}  // namespace examples::layerwise_llama
