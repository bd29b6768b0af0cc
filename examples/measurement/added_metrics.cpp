#include "measurement/added_metrics.hpp"

#include "metrics/parallel_rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace examples::measurement {

using metrics::evidence;
using metrics::metric;
using metrics::source;
using metrics::subject;

namespace {

using row_values = std::vector<report::field_value>;

/// What the profile of a layer gives.
const std::vector<metric>& profile_metrics() {
  static const std::vector<metric> list{
      {"block_influence",
       subject::pair,
       source::profile,
       "1 - mean cosine with the layer before",
       "nothing",
       {"block_influence"},
       1,
       [](evidence& e) -> row_values { return {2 * e.profiled->displacement}; }},
      {"collapse_index",
       subject::pair,
       source::profile,
       "displacement times 4 l: 1 for independent updates",
       "nothing",
       {"collapse_index"},
       1,
       [](evidence& e) -> row_values { return {e.collapse_index}; }},
  };
  return list;
}

/// The linearity of any pair, as that of h_l and h_L.
metric last_layer_linearity() {
  auto made = *std::ranges::find(metrics::pair_metrics(), "linearity", &metric::name);
  made.name = "last_layer_linearity";
  made.of = subject::to_last;
  made.what = "how well a linear map makes h_L of h_l";
  made.cost = "a pass of its own, 3 n d^2; 16 d^2 bytes a layer";
  made.columns = {"last_layer_linearity", "last_layer_linearity_error", "last_layer_linearity_adjusted",
                  "last_layer_linearity_floor"};
  return made;
}

bool is_of_data(const metric& each) { return each.from != source::moments && each.from != source::profile; }
bool is_of_moments(const metric& each) { return each.from == source::moments && each.of != subject::to_last; }

}  // namespace

const std::vector<const metric*>& known_metrics() {
  static const metric to_last = last_layer_linearity();
  static const std::vector<const metric*> list = [] {
    std::vector<const metric*> known;
    for (const auto& each : metrics::layer_metrics()) known.push_back(&each);
    for (const auto& each : metrics::pair_metrics())
      if (each.name != "linearity") known.push_back(&each);  // the profile has it
    for (const auto& each : profile_metrics()) known.push_back(&each);
    known.push_back(&to_last);
    return known;
  }();
  return list;
}

added_metrics::added_metrics(const state_source& source, std::vector<const metric*> chosen, metrics::token_sets tokens,
                             const layerwise::profile_options& options)
    : source_(&source),
      tokens_(std::move(tokens)),
      linearity_{.centering = options.centering, .method = options.method, .tolerance = options.tolerance},
      values_(std::move(chosen), static_cast<std::size_t>(source.stack().states)) {}

bool added_metrics::needs_moments() const { return values_.any(is_of_moments); }
bool added_metrics::needs_data() const { return values_.any(is_of_data); }
bool added_metrics::needs_last() const {
  return values_.any([](const metric& each) { return each.of == subject::to_last; });
}
double added_metrics::sample_bytes() const {
  const auto any_of = [&](subject of) {
    return values_.any([of](const metric& each) { return each.from == source::sample && each.of == of; });
  };
  const index layers = any_of(subject::pair) ? 2 : any_of(subject::layer) ? 1 : 0;  // at once
  return metrics::sample_bytes(tokens_.sampled, layers * source_->stack().dimensions);
}

void added_metrics::take_moments(const layerwise::stack_moments& moments, index first_state) {
  report::progress_bar progress(moments.layers(), "layers, metrics");
  const index first = first_state > 0 ? 1 : 0;
  metrics::for_rows(moments.layers() - first, [&](index row) {
    const index l = first + row;
    const auto layer = moments.layer(l);
    std::optional<layerwise::cross_moments> pair;
    if (l > 0) pair = moments.pair(l);
    evidence of;
    of.layer = &layer;
    of.pair = pair ? &*pair : nullptr;
    values_.compute(static_cast<std::size_t>(first_state + l), of,
                    [&](const metric& each) { return is_of_moments(each) && (each.of == subject::layer || pair); });
    progress.advance(1);
  });
}

void added_metrics::finish(const layerwise::layer_profile& profile, bool pairs_in_turn) {
  std::vector<double> displacements;
  for (const auto& layer : profile.layers) displacements.push_back(layer.displacement);
  const auto collapse = layerwise::collapse_indices(displacements);

  const index last = source_->stack().layers();
  const bool of_data = needs_data();
  report::progress_bar progress(last + 1, "layers, metrics of the data");
  std::optional<dumps::whole_layer> before, here;
  for (index l = 0; l <= last; ++l) {
    if (of_data) here.emplace(source_->whole(l, last));
    const auto row = static_cast<std::size_t>(l);
    evidence of_layer;
    of_layer.x = here ? &*here : nullptr, of_layer.tokens = &tokens_;
    values_.compute(row, of_layer,
                    [](const metric& each) { return each.of == subject::layer && each.from != source::moments; });
    if (l > 0) {
      evidence of_pair;
      of_pair.x = before ? &*before : nullptr, of_pair.y = of_layer.x, of_pair.tokens = &tokens_;
      of_pair.profiled = &profile.layers[row - 1], of_pair.collapse_index = collapse[row - 1];
      values_.compute(row, of_pair,
                      [](const metric& each) { return each.of == subject::pair && each.from != source::moments; });
    }
    before.swap(here);
    progress.advance(1);
  }
  if (needs_last()) take_last(pairs_in_turn);
}

void added_metrics::take_last(bool pairs_in_turn) {
  const auto& stack = source_->stack();
  const index last = stack.layers(), at_once = pairs_in_turn ? 1 : last;
  report::progress_bar progress(stack.tokens * (last / at_once), "tokens, with the last layer");
  for (index first = 0; first < last; first += at_once) {
    auto states = states_from(first, first + at_once - 1);
    states.push_back(last);
    layerwise::stack_moments moments(layerwise::layer_pairs::to_last(), layerwise::second_moments::input);
    source_->each_batch(states, progress, [&](const auto& batch, const auto& mask) { moments.add(batch, mask); });
    for (index l = 0; l < at_once; ++l) {
      const auto pair = moments.pair(l, at_once);
      evidence of;
      of.pair = &pair, of.tokens = &tokens_, of.linearity = linearity_;
      std::optional<dumps::whole_layer> x, y;
      if (!source_->why_no_whole())
        of.fetch = [&] {
          of.x = &x.emplace(source_->whole(first + l, first + at_once - 1));
          of.y = &y.emplace(source_->whole(last, last));
        };
      values_.compute(static_cast<std::size_t>(first + l), of,
                      [](const metric& each) { return each.of == subject::to_last; });
    }
  }
}

report::added_columns added_metrics::columns() const {
  report::added_columns result{values_.columns(), values_.shown(), {}, false};
  for (index l = 0; l < source_->stack().states; ++l) result.rows.push_back(values_.row(static_cast<std::size_t>(l)));
  result.embeddings = values_.any([](const metric& each) { return each.of != subject::pair; });
  return result;
}

std::vector<std::string> added_metrics::notes() const {
  auto lines = values_.notes([&](std::size_t row) { return fmt::format("layer {}", source_->stack().numbers[row]); });
  if (sample_bytes() > 0)
    lines.insert(lines.begin(),
                 fmt::format("metrics of neighbours are of {} of {} tokens, which take {:.3g} MiB (--sample)",
                             tokens_.sampled, tokens_.tokens, sample_bytes() / 0x1p20));
  return lines;
}

}  // namespace examples::measurement
