#pragma once

#include "metrics/metric.hpp"

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace examples::metrics {

/// The values of some metrics, a row for each layer or pair of layers: nothing where a metric is not defined.
class metric_values {
 public:
  metric_values(std::vector<const metric*> chosen, std::size_t rows);

  const std::vector<const metric*>& chosen() const { return chosen_; }
  /// Whether some of them are of that, or from that.
  bool any(const std::function<bool(const metric&)>& is_one) const;

  /// Computes those that `is_one` of a row. What the library throws leaves them empty, for notes() to say why. May be called
  /// for several rows at once.
  void compute(std::size_t row, evidence& of, const std::function<bool(const metric&)>& is_one);

  /// The columns in CSV and JSON, and those of the table.
  std::vector<std::string> columns() const;
  std::vector<std::string> shown() const;
  const std::vector<report::field_value>& row(std::size_t row) const { return rows_[row]; }

  /// Why there is no value, a line for each metric: "linearity has no value for layer 3, and 2 more: expected ...".
  /// `name_of` a row.
  std::vector<std::string> notes(const std::function<std::string(std::size_t)>& name_of) const;

 private:
  struct failures {
    std::size_t count = 0, first = 0;
    std::string why;
  };

  std::vector<const metric*> chosen_;
  std::vector<std::vector<report::field_value>> rows_;
  std::vector<failures> failed_;  // of each metric
};

}  // namespace examples::metrics
