#pragma once

#include <string>
#include <vector>

namespace examples::dumps {

/// The files that the command line names, a directory standing for the .safetensors, .npy and .npz files in it, or,
/// where it has none, in the directories in it, by name with numbers as numbers. Throws input_error for a directory
/// without any, and for a file given twice.
std::vector<std::string> expand_paths(const std::vector<std::string>& paths);

}  // namespace examples::dumps
