#include <fmt/format.h>
#include <omp.h>
#include <cstdlib>
#include <layerwise/profile.hpp>
#include "common/program.hpp"
#include "model_run.hpp"
#include "report/report.hpp"
using namespace examples::layerwise_llama;
int main(int argc, char** argv) {
  return examples::run_program("layerwise-llama", [&] {
    language_model model(argv[1]);
    const int threads = atoi(argv[4]);
    Eigen::setNbThreads(threads);
    omp_set_num_threads(threads);
    auto seq = read_sequences(model, {argv[2], atoi(argv[3]), 512});
    model_run run(model, seq, {threads, 512});
    layerwise::layer_profiler profiler({.second_moments = layerwise::second_moments::input});
    next_token_loss loss;
    const bool want = argc > 5 && std::string(argv[5]) == "loss", skip = argc > 5 && std::string(argv[5]) == "skip";
    const bool plain = argc > 5 && std::string(argv[5]) == "plain";
    run.each_batch(
        plain ? run.stream().layers() : 0, run.stream().layers(),
        [&](const auto& s, auto) {
          if (!skip && !plain) profiler.add(s);
        },
        want ? &loss : nullptr);
    for (auto& r : seq.remarks) fmt::print("{}\n", r);
    fmt::print("{} {}: h_0 {}, model {:.2f}, copies {:.3f}, body {:.2f} s\n", model.title(), model.weights(),
               run.stream().nodes[0], (run.seconds().model - run.seconds().copies).count(),
               run.seconds().copies.count(), run.seconds().body.count());
    if (want) fmt::print("loss {} of {}\n", loss.mean(), loss.predictions());
    if (!skip && !plain)
      fmt::print(
          "{}", to_table(examples::report::describe_profile(model.title(), argv[2], "F32", profiler.profile()), false));
    return EXIT_SUCCESS;
  });
}
