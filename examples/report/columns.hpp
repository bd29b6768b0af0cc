#pragma once

#include <string>
#include <vector>

namespace examples::report {

enum class ink { plain, with_residual, without_residual, faint };

/// A column of the table.
struct column {
  std::string field;       // as in CSV, or what find_value makes of it
  std::string heading[2];  // two lines
  int width;
  ink colour;
  std::string format;  // of a double, by fmt, or with_bar; all else is shown as in CSV
  double unit = 1;     // what a double is multiplied by
};

/// The score with its bar; "!" where there are too few tokens for it to mean anything.
inline constexpr auto with_bar = "bar";

/// The columns of a table that nobody has chosen.
const std::vector<column>& default_columns();

/// The names to choose from: all of CSV, and those of the default columns.
std::vector<std::string> column_names(const std::vector<std::string>& added = {});

/// Of a name that was added: its heading on two lines.
column added_column(const std::string& name);

/// The columns of those names, the layer's number first whether it is named or not. Throws std::invalid_argument for a
/// name that is none of column_names(added), and says which there are.
std::vector<column> columns_named(const std::vector<std::string>& names, const std::vector<std::string>& added = {});

}  // namespace examples::report
