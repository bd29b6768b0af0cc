// What examples/report makes of a profile: the program's own tests look at its output.

#include "report/report.hpp"

#include "report/fields_json.hpp"
#include "report/gnuplot.hpp"
#include "report/words.hpp"

#include "common/input_error.hpp"
#include "common/subprocess.hpp"
#include "examples/dump_files.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace examples::report {
namespace {

layerwise::layer_metrics sample_layer() {
  layerwise::layer_metrics layer;
  layer.linearity.emplace().score = 0.25;
  layer.linearity->chance_floor = 0.125;
  layer.linearity->method = layerwise::solver::rank_revealing;
  layer.residual_linearity.emplace().chance_floor = 0.5;
  layer.displacement = 1.0 / 3;
  layer.outlier_share = 0.5;
  layer.outlier_dimension = 7;
  return layer;
}

described_profile sample_report() {
  layerwise::layer_profile profile;
  profile.layers = {sample_layer(), {}};
  return describe_profile("a title", "a text", "F32", profile);
}

std::string line_of(const std::string& text, std::size_t number) {
  std::size_t begin = 0;
  while (number-- > 0) begin = text.find('\n', begin) + 1;
  return text.substr(begin, text.find('\n', begin) - begin);
}

}  // namespace

TEST_CASE("the values of a layer have the names of CSV, whatever is empty") {
  const auto layer = sample_layer();
  const auto values = values_of(&layer), names = values_of(nullptr);
  REQUIRE(values.size() == names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    CHECK(values[i].name == names[i].name);
    CHECK(text_of(names[i].value).empty());
  }
  CHECK(text_of(find_value(values, "displacement")) == "0.3333333333333333");
  CHECK(text_of(find_value(values, "linearity_method")) == "rank_revealing");
  CHECK(text_of(find_value(values, "residual_linearity_underdetermined")) == "false");
  CHECK(text_of(find_value(values, "outlier_dimension")) == "7");
  CHECK(text_of(find_value(values, "jump_rate")).empty());
  CHECK(text_of(find_value(values, "chance_floor")) == "0.5");  // the larger of two
  CHECK(text_of(find_value(values, "floor of the sea")).empty());
}

TEST_CASE("CSV and JSON have the same fields") {
  const auto report = sample_report();
  const auto header = line_of(to_csv(report), 0);
  const auto layer = nlohmann::ordered_json::parse(to_json(report))["layers"][0];
  std::string names;
  for (const auto& [name, value] : layer.items()) {
    if (!value.is_object()) names += (names.empty() ? "" : ",") + name;
    if (value.is_object())
      for (const auto& inner : value.items()) names += "," + name + "_" + inner.key();
  }
  CHECK(names == header);
}

TEST_CASE("a result is read back from its JSON as it was") {
  const auto layer = sample_layer();
  layerwise::layer_metrics back;
  back.jump_rate = 3;
  read_json(nlohmann::json::parse(json_of(layer).dump()), back);
  CHECK(json_of(back) == json_of(layer));
  CHECK_FALSE(back.jump_rate);
  nlohmann::json damaged = nlohmann::json::parse(json_of(layer).dump());
  damaged.erase("displacement");
  CHECK_THROWS_AS(read_json(damaged, back), nlohmann::json::exception);
}

TEST_CASE("every enumerator has a word, and is found by it") {
  for (const auto method : {layerwise::solver::automatic, layerwise::solver::cholesky, layerwise::solver::orthogonal,
                            layerwise::solver::rank_revealing})
    CHECK(enumerator_of<layerwise::solver>(text_of(method)) == method);
  CHECK_FALSE(enumerator_of<layerwise::solver>("guess"));
}

TEST_CASE("each column of the table is a field, or of several the largest") {
  const auto layer = sample_layer();
  for (const auto& column : default_columns()) {
    CAPTURE(column.field);
    const bool known = column.field == "layer" || column.field == "jump_rate" ||
                       !text_of(find_value(values_of(&layer), column.field)).empty();
    CHECK(known);
  }
}

TEST_CASE("text that a terminal or gnuplot would act on is written as numbers") {
  CHECK(printable("a\tb\x7f") == "a\\x09b\\x7f");
  CHECK(printable("\xc2\x9b[2J") == "\\xc2\\x9b[2J");  // U+009B begins an escape sequence
  CHECK(printable("\x9b[2J\xc2") == "\\x9b[2J\\xc2");
  CHECK(printable("\xe0\x82\x9b\xed\xa0\x80") == "\\xe0\\x82\\x9b\\xed\\xa0\\x80");  // no UTF-8
  for (const std::string text : {"Ψ é 中 \xf0\x9f\x99\x82 \xc2\xa0", "plain 'text'"}) CHECK(printable(text) == text);
  CHECK(gnuplot_string("it's `x` é1\n") == R"("it\047s \140x\140 é1\134x0a")");
  CHECK(gnuplot_string("-07a1") == R"("\055\060\067a1")");
}

TEST_CASE("gnuplot draws any title as it is, and its first error is told") {
  if (!run_process({"gnuplot", "--version"})) {
    MESSAGE("no gnuplot here");
    return;
  }
  const test::temporary_folder folder;
  const auto path = folder / "p.svg", start = "set encoding utf8\n" + gnuplot_terminal(path, 300, 200);
  for (const auto& title : std::vector<std::string>{
           "'", "''", "'quoted' twice'' 'quoted'", "a\\", "\\\"; print 1 #", "`touch " + (folder / "injected") + "`",
           "$(touch x) @macro %s {/Bold x}_y^z", "5'9\"", "\"\"", "é'中", "model-0135M (7.5-06)"}) {
    CAPTURE(title);
    draw(start + "set title " + gnuplot_string(title) + " noenhanced\nplot [0:1] x notitle\n", path, "this");
    std::ifstream file(path);
    std::string drawn((std::istreambuf_iterator<char>(file)), {});
    for (const auto& [entity, text] : {std::pair{"&apos;", "'"}, std::pair{"&quot;", "\""}, std::pair{"&#39;", "'"}})
      for (auto at = drawn.find(entity); at != std::string::npos; at = drawn.find(entity))
        drawn.replace(at, std::string(entity).size(), text);
    CHECK(test::contains(drawn, ">" + title + "<"));
  }
  CHECK_FALSE(std::filesystem::exists(folder / "injected"));
  std::string message;
  try {
    draw(start + "set multiplot\nset xrange [1:1]\nset title 3bad\nplot nothing\n", path, "this");
  } catch (const std::runtime_error& error) {
    message = error.what();
  }
  CHECK(message == "gnuplot failed with status 1: line 0: unexpected or unrecognized token: 3");
}

TEST_CASE("columns are chosen by name, after the layer's number") {
  const auto report = sample_report();
  const auto table = to_table(report, false, columns_named({"displacement", "linearity_method", "linearity_score"}));
  CHECK(line_of(table, 3) == "       displace-                      linearity with");
  CHECK(line_of(table, 4) == "layer       ment  linearity_method     the residual ");
  CHECK(line_of(table, 5) == "    1    0.33333    rank_revealing  ██       0.2500 ");
  CHECK(line_of(table, 6) == "    2    0.00000                 -                 -");
  CHECK(columns_named({"layer", "outlier_share"}).size() == 2);
  CHECK(columns_named(column_names()).size() == column_names().size());
  for (const auto* wrong : {"", "linearity", "Displacement"})
    CHECK_THROWS_AS(columns_named({wrong}), std::invalid_argument);
}

}  // namespace examples::report
