// layerwise-weights: what the matrices of a model look like, as a table, as CSV or JSON, and as a picture.

#include "inspect.hpp"
#include "model.hpp"
#include "options.hpp"
#include "picture.hpp"
#include "show.hpp"

#include "common/program.hpp"

#include <cstdlib>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace examples::layerwise_weights {
namespace {

std::string text_of(const model_report& report, output_format format) {
  switch (format) {
    case output_format::csv:
      return to_csv(report);
    case output_format::json:
      return to_json(report);
    default:
      return to_text(report);
  }
}

int run(int argc, char** argv) {
  const auto line = read_command_line(argc, argv);
  if (line.exit_status) return *line.exit_status;
  const auto& asked = line.values;
#ifdef _OPENMP
  if (asked.threads > 0) omp_set_num_threads(asked.threads);
#endif
  const auto report = inspect(open_model(asked.path), asked.inspection);
  print_or_write(asked.output, text_of(report, asked.format));
  if (!asked.plot.empty()) write_picture(report, asked.plot);
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace examples::layerwise_weights

int main(int argc, char** argv) {
  return examples::run_program("layerwise-weights", [&] { return examples::layerwise_weights::run(argc, argv); });
}
