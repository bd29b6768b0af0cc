// A dump for the tests of programs, the library's view of the same numbers, and how the program's JSON is looked at.
#pragma once

#include "examples/dump_files.hpp"

#include <layerwise/data.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <random>
#include <string>
#include <vector>

namespace examples::test {

using nlohmann::json;

/// A dump that is neither linear nor random: every layer adds a smooth function of the one before.
struct sample {
  index states, tokens, dims;
  std::vector<double> values;  // [layer][token][dim]

  sample(index states_, index tokens_, index dims_) : states(states_), tokens(tokens_), dims(dims_) {
    std::mt19937_64 random(7);
    std::uniform_real_distribution<double> uniform(-1, 1);
    values.resize(static_cast<std::size_t>(states * tokens * dims));
    for (index token = 0; token < tokens; ++token)
      for (index dim = 0; dim < dims; ++dim) at(0, token, dim) = uniform(random);
    for (index layer = 1; layer < states; ++layer)
      for (index token = 0; token < tokens; ++token)
        for (index dim = 0; dim < dims; ++dim) {
          const double x = at(layer - 1, token, dim), y = at(layer - 1, token, (dim + 1) % dims);
          at(layer, token, dim) =
              x + (layer + 1 == states ? 1.5 : 0.3) * std::sin(2 * x + y * y) + 0.01 * uniform(random);
        }
    // What F32 can hold, so that files of F32 and F64 are equal.
    for (auto& value : values) value = static_cast<double>(static_cast<float>(value));
  }

  double& at(index layer, index token, index dim) {
    return values[static_cast<std::size_t>((layer * tokens + token) * dims + dim)];
  }
  double at(index layer, index token, index dim) const { return const_cast<sample&>(*this).at(layer, token, dim); }

  entry stack(data_type type, index first, index count, bool token_major = false) const {
    const std::vector<index> shape =
        token_major ? std::vector<index>{count, states, dims} : std::vector<index>{states, count, dims};
    return {"hidden_states", type_name(type), shape, encode(type, shape, [&](const auto& place) {
              return token_major ? at(place[1], first + place[0], place[2]) : at(place[0], first + place[1], place[2]);
            })};
  }
  entry stack(data_type type) const { return stack(type, 0, tokens); }

  entry layer(data_type type, index layer) const {
    return {"layer." + std::to_string(layer),
            type_name(type),
            {tokens, dims},
            encode(type, {tokens, dims}, [&](const auto& place) { return at(layer, place[0], place[1]); })};
  }

  auto view() const {
    return layerwise::hidden_states_view<const double>::layer_major(values.data(), states, tokens, dims);
  }
};

/// The value of that name, "linearity_score" in the object "linearity"; null where that is null.
inline json value_of(const json& layer, const std::string& name) {
  if (layer.contains(name)) return layer[name];
  for (const auto& [part, values] : layer.items())
    if (name.starts_with(part + "_") && (values.is_null() || values.contains(name.substr(part.size() + 1))))
      return values.is_null() ? values : values[name.substr(part.size() + 1)];
  FAIL("no field ", name);
  return {};
}

/// The cells of a CSV text without quotes.
inline std::vector<std::vector<std::string>> csv_cells(const std::string& text) {
  std::vector<std::vector<std::string>> rows(1, std::vector<std::string>(1));
  for (const char c : text) {
    if (c == '\n')
      rows.emplace_back(1);
    else if (c == ',')
      rows.back().emplace_back();
    else
      rows.back().back() += c;
  }
  return rows;
}

/// That a cell of CSV says what JSON does.
inline void check_cell(const std::string& cell, const json& expected) {
  if (expected.is_null())
    CHECK(cell.empty());
  else if (expected.is_number())
    CHECK(std::stod(cell) == expected.get<double>());
  else
    CHECK(cell == (expected.is_string() ? expected.get<std::string>() : expected.dump()));
}

}  // namespace examples::test
