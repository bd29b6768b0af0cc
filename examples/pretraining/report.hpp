#pragma once

#include <string>

namespace pretraining {

/// Reads every run below the folder, and writes report.md and its pictures into it. Throws
/// examples::input_error or std::runtime_error.
void write_report(const std::string& folder);

}  // namespace pretraining
