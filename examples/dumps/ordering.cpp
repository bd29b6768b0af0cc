#include "dumps/ordering.hpp"

#include "common/input_error.hpp"
#include "dumps/layer_names.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

namespace examples::dumps {
namespace {

/// The names' own numbers; none where they are not all known, or not rising.
std::vector<index> numbers_of(const std::vector<std::optional<index>>& named) {
  std::vector<index> numbers;
  for (const auto& number : named) {
    if (!number || (!numbers.empty() && *number <= numbers.back())) return {};
    numbers.push_back(*number);
  }
  return numbers;
}

}  // namespace

ordered_layers order_layers(const std::string& path, const std::vector<std::string>& names, bool of_files,
                            const stack_options& options) {
  ordered_layers result;
  result.order.resize(names.size());
  std::iota(result.order.begin(), result.order.end(), std::size_t{0});
  if (names.size() < 2) return result;
  if (!options.tensors.empty() || options.order == order_rule::as_given) {
    result.because = options.tensors.empty() ? "as given" : "as --tensors names them";
    return result;
  }
  if (options.order == order_rule::by_name) {
    std::ranges::stable_sort(result.order, natural_less, [&](std::size_t i) -> const std::string& { return names[i]; });
    result.because = "by name";
    return result;
  }
  const auto meaning = order_by_meaning(names);
  if (!meaning)
    reject(path,
           "the order of the layers is open, their names being {}{}{}: if these are the layers and nothing "
           "else, say {}--order "
           "given for the order in which they lie in {} and files on the command line (in a folder: by name)",
           in_quotes(names[0]), names.size() > 2 ? ", " + in_quotes(names[1]) + ", " : " and ", in_quotes(names.back()),
           of_files ? "" : "--tensors NAME,NAME,... (* for any number), h_0 first, or ",
           of_files ? "the archive" : "the file (safetensors' save_file sorts by name)");
  return {meaning->order, numbers_of(meaning->numbers), meaning->left_out, meaning->how};
}

}  // namespace examples::dumps
