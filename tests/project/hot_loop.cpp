// The hot loop as everything in the library reaches it, for hot_loop.cmake to look at.
#include <layerwise/kernel/product.hpp>

void hot_loop(double alpha, const layerwise::detail::packed_block& a, const layerwise::detail::packed_block& b,
              layerwise::detail::matrix& c) {
  layerwise::detail::add_products(alpha, {{a, b, c}});
}
