#pragma once

#include "dumps/companions.hpp"
#include "dumps/tensor_file.hpp"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace examples::dumps {

enum class axis { layer, batch, token, dim };

/// What the dimensions of a tensor are, from the first to the last.
using axis_order = std::vector<axis>;

/// "[layer][token][dim]", "[batch][token][dim]", ... in any order, or the words layer-major and token-major; nothing for
/// other texts, an axis twice, or no token or dim.
std::optional<axis_order> parse_axes(std::string_view spelling);
std::string text_of(const axis_order& axes);

bool has(const axis_order& axes, axis which);
/// How many there are of it; 1 where the tensor has no such axis.
index size_of(const tensor& item, const axis_order& axes, axis which);

/// How a tensor's axes are read, and why so.
struct axis_reading {
  axis_order axes;
  std::string why;
  bool assumed = false;  // nothing but the shape says so
};

/// The axes of a tensor that holds a stack of layers, of three or four dimensions: as `asked` says, else as the
/// metadata does (`stated`), as the token ids, masks and lengths beside it tell, as it follows from the one axis that
/// differs between files (`token_axis`), and as its shape does where one reading is by far the likelier. Throws input_error with the choices where it is not, and where the tensor holds the
/// states of one layer.
axis_reading axes_of_stack(const tensor_file& file, const tensor& item, const companions& beside,
                           const std::optional<axis_order>& asked, const std::optional<axis_order>& stated,
                           std::optional<std::size_t> token_axis = {});

/// The axes of a tensor that holds one layer: [token][dim] or [batch][token][dim].
axis_reading axes_of_layer(const tensor_file& file, const tensor& item, const companions& beside,
                           const std::optional<axis_order>& asked, const std::optional<axis_order>& stated);

/// Whether the shape alone, or what stands beside it, lets a tensor be a stack of layers.
bool may_be_stack(const tensor& item);

std::string describe(const tensor& item);  // "'hidden_states' (9 x 2048 x 96 F32)"

}  // namespace examples::dumps
