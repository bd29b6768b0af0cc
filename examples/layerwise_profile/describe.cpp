#include "describe.hpp"

#include "dumps/input.hpp"
#include "dumps/token_choice.hpp"

#include <string>

namespace examples::layerwise_profile {

report::described_profile describe_input(const dumps::layer_stack& stack) {
  report::described_profile result{
      dumps::title_of(stack), {}, std::string(name_of(stack.dtype)), stack.reading, stack.tokens, {},
      stack.numbers,          {}};
  for (const auto& file : stack.files) result.files.push_back(file.path);
  for (const auto& shard : stack.shards) result.tokens_left_out -= kept_tokens(shard);
  result.layer_numbers.assign(stack.numbers.begin() + 1, stack.numbers.end());
  return result;
}

}  // namespace examples::layerwise_profile
