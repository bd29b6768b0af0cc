// layerwise-llama: the layer profile of a GGUF model, taken while llama.cpp runs it on a text.

#include "model_states.hpp"
#include "options.hpp"

#include "common/program.hpp"
#include "common/terminal.hpp"
#include "measurement/run.hpp"

#include <fmt/format.h>
#include <Eigen/Core>

#include <chrono>
#include <cstdlib>
#include <utility>

#include <unistd.h>
#ifdef _OPENMP
#include <omp.h>
#endif

namespace examples::layerwise_llama {
namespace {

constexpr auto program = "layerwise-llama";

/// OpenMP's threads spin while they wait, unless the environment says otherwise before the program begins. Where another
/// process has one of two processors they wait for one another, and two take three times as long as one. Passive ones,
/// which the model and what is measured share, then take as long as one, and half as long where both are free. So the
/// program begins again, with that said.
void begin_with_passive_threads(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  ::setenv("OMP_WAIT_POLICY", "passive", 0);
  ::execv("/proc/self/exe", argv);  // where that fails it goes on as it is
}

void use_threads(int count) {
  Eigen::setNbThreads(count);
#ifdef _OPENMP
  omp_set_num_threads(count);
#endif
}

int run(options asked) {
  use_threads(asked.running.threads);
  const language_model model(asked.model);
  const auto sequences = read_sequences(model, asked.text);
  const model_run running(model, sequences, asked.running);
  next_token_loss loss;
  const model_states source(model, running, asked.skip_first, asked.loss ? &loss : nullptr,
                            [](const std::string& note) { say(program, "note: {}", note); });
  asked.measured.profile.final_norm = layerwise::final_norm::before;
  measurement::run measured(program, source, asked.measured, {});
  auto result = describe(source, model.title() + ", " + model.weights(), {asked.model, asked.text.path});
  if (asked.running.exact) result.taken.remarks.push_back("attention in float32");
  const auto begin = std::chrono::steady_clock::now();
  measured.measure(result);
  const std::chrono::duration<double> all = std::chrono::steady_clock::now() - begin;
  if (asked.loss) {
    result.loss = loss.mean();
    result.taken.remarks.push_back(fmt::format("loss {:.4f} nats a token, of {}{} predictions", loss.mean(),
                                               asked.skip_first > 0 ? "all " : "", loss.predictions()));
  }
  measured.show(result);
  if (asked.timing) {
    const auto& spent = running.seconds();
    say(program,
        "the model took {:.2f} s in {} run{}, copying states {:.2f} s, adding them up {:.2f} s, the numbers at "
        "the end {:.2f} s",
        (spent.model - spent.copies).count(), running.runs(), running.runs() == 1 ? "" : "s", spent.copies.count(),
        spent.body.count(), (all - spent.model - spent.body).count());
  }
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace examples::layerwise_llama

int main(int argc, char** argv) {
  using namespace examples::layerwise_llama;
  return examples::run_program(program, [&] {
    auto line = read_command_line(argc, argv);
    if (line.exit_status) return *line.exit_status;
    if (line.values.running.threads > 1) begin_with_passive_threads(argv);
    return run(std::move(line.values));
  });
}
