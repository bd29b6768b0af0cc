#include "report/report.hpp"

#include "common/input_error.hpp"
#include "report/words.hpp"

#include <fmt/format.h>

#include <numeric>
#include <utility>

namespace examples::report {

std::string summary(const described_profile& source) {
  const auto& profile = source.profile;
  const auto norm = profile.final_norm == layerwise::final_norm::unspecified
                        ? std::string("final norm not stated")
                        : fmt::format("last state {} the final norm", text_of(profile.final_norm));
  return fmt::format("{} layers, {} tokens, {} dimensions, {}, {}, {}", profile.layers.size(), profile.tokens,
                     profile.dimensions, source.dtype, norm,
                     profile.centering == layerwise::centering::columns ? "columns centred" : "not centred");
}

described_profile describe_profile(std::string title, std::string text, std::string dtype,
                                   layerwise::layer_profile profile) {
  described_profile result{std::move(title), {std::move(text)}, std::move(dtype), {}, 0, {}, {}, std::move(profile)};
  result.layer_numbers.resize(result.profile.layers.size());
  result.state_numbers.resize(result.profile.layers.size() + 1);
  std::iota(result.layer_numbers.begin(), result.layer_numbers.end(), index{1});
  std::iota(result.state_numbers.begin(), result.state_numbers.end(), index{0});
  return result;
}

std::vector<std::vector<named_value>> rows_of(const described_profile& source) {
  std::vector<std::vector<named_value>> rows;
  const auto& added = source.added;
  const auto add_row = [&](index number, const layerwise::layer_metrics* layer, std::size_t state) {
    auto row = values_of(layer);
    row.insert(row.begin(), {"layer", number});
    for (std::size_t i = 0; i < added.names.size(); ++i) row.push_back({added.names[i], added.rows[state][i]});
    rows.push_back(std::move(row));
  };
  if (added.embeddings) add_row(source.state_numbers.front(), nullptr, 0);
  auto number = source.layer_numbers.begin();
  for (const auto& layer : source.profile.layers) add_row(*number++, &layer, rows.size() + (added.embeddings ? 0 : 1));
  return rows;
}

namespace {

/// "'h.0' ... 'h.11'"
std::string first_and_last(const std::vector<std::string>& names) {
  if (names.size() == 1) return in_quotes(names.front());
  return fmt::format("{}{}{}", in_quotes(names.front()), names.size() > 2 ? " ... " : " and ", in_quotes(names.back()));
}

}  // namespace

std::string taken_line(const described_profile& source) {
  const auto& taken = source.taken;
  auto text = fmt::format("read {} as {} ({}{})", first_and_last(taken.states), taken.axes, taken.axes_because,
                          taken.order_because.empty() ? "" : ", " + taken.order_because);
  if (!taken.mask.empty()) text += fmt::format("; mask {}", in_quotes(taken.mask));
  if (source.tokens_left_out > 0)
    text += fmt::format("; {} of {} tokens left out", source.tokens_left_out,
                        source.tokens_left_out + source.profile.tokens);
  if (!taken.left_out.empty())
    text += fmt::format("; not read: {}{}", in_quotes(taken.left_out.front()),
                        taken.left_out.size() > 1 ? fmt::format(" and {} more", taken.left_out.size() - 1) : "");
  for (const auto& remark : taken.remarks) text += "; " + remark;
  return printable(text);
}

}  // namespace examples::report
