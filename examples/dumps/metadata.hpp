#pragma once

#include "dumps/axes.hpp"
#include "dumps/tensor_file.hpp"

#include <optional>
#include <span>
#include <string>

/// @file
/// What the metadata of the files say, those that have it agreeing. Throw input_error where they don't, and for a value
/// without meaning.
namespace examples::dumps {

std::optional<axis_order> stated_layout(std::span<const tensor_file> files);
std::optional<std::string> stated_final_norm(std::span<const tensor_file> files);  // before, after
std::optional<index> stated_sequence_length(std::span<const tensor_file> files);

}  // namespace examples::dumps
