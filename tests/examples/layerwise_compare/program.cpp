// The built layerwise-compare, against the library called directly.

#include "examples/library_values.hpp"
#include "examples/run_program.hpp"
#include "examples/sample_dump.hpp"

#include <layerwise/metrics.hpp>
#include <layerwise/statistics.hpp>

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace examples::test {
namespace {

using layerwise::token_mask;

/// Two models on the same tokens, of different depths and widths.
struct two_dumps {
  temporary_folder folder;
  sample small{3, 300, 4}, large{5, 300, 7};
  std::string a, b;

  two_dumps() {
    // Something of the one in the other.
    for (index layer = 0; layer < large.states; ++layer)
      for (index token = 0; token < large.tokens; ++token)
        for (index dim = 0; dim < 3; ++dim)
          large.at(layer, token, dim) = static_cast<float>(small.at(1, token, dim) + 0.1 * large.at(layer, token, dim));
    a = folder.write("a.safetensors", safetensors({small.stack(data_type::f32)}, {{"model", "small"}}));
    b = folder.write("b.safetensors", safetensors({large.stack(data_type::f64)}, {{"layout", "layer-major"}}));
  }
};

std::map<std::string, double> expected_of(const auto& x, const auto& y, const token_mask& mask) {
  layerwise::cross_moments moments(layerwise::second_moments::both);
  moments.add(x, y, mask);
  auto expected = values_of_pair(moments);
  const auto linearity = layerwise::linearity(moments);
  expected["linearity"] = linearity.score;
  expected["linearity_adjusted"] = linearity.adjusted_score;
  expected["mutual_knn"] = layerwise::mutual_knn(x, y, 10, mask);
  return expected;
}

/// Every pair in `document` is what the library says of those layers.
void check_pairs(const json& document, const sample& a, const sample& b, const token_mask& mask = {}) {
  const auto of_a = a.view(), of_b = b.view();
  for (const auto& pair : document["pairs"]) {
    const auto i = pair["a_layer"].get<index>(), j = pair["b_layer"].get<index>();
    CAPTURE(i);
    CAPTURE(j);
    for (const auto& [name, value] : expected_of(of_a[i], of_b[j], mask)) {
      if (!pair.contains(name)) continue;
      CAPTURE(name);
      CHECK(pair[name].get<double>() == doctest::Approx(value).epsilon(1e-9));
      if (pair.contains(name + "_error")) CHECK(pair[name + "_error"].get<double>() < 1e-6);
    }
  }
}

}  // namespace

TEST_CASE("each layer of A with each of B, of other width, type and depth") {
  const two_dumps dumps;
  const auto document = run_json({dumps.a, dumps.b, "--metrics", "all"});
  CHECK(document["pairs"].size() == 3 * 5);
  CHECK(document["pairs"][7]["a_layer"] == 1);
  CHECK(document["pairs"][7]["b_layer"] == 2);
  CHECK(document["pairs"][0].contains("mutual_knn"));
  CHECK(document["tokens"] == 300);
  CHECK(document["a"]["dimensions"] == 4);
  CHECK(document["b"]["dimensions"] == 7);
  CHECK(document["b"]["dtype"] == "F64");
  CHECK(document["a"]["title"] == "small (a.safetensors)");
  check_pairs(document, dumps.small, dumps.large);
  // PWCCA is weighted by its first operand.
  check_pairs(run_json({dumps.b, dumps.a, "--metrics", "pwcca,linearity"}), dumps.large, dumps.small);

  const auto standard = run_json({dumps.a, dumps.b});
  CHECK(standard["pairs"][0].size() == 2 + 2 + 2);  // numbers, two metrics, their bounds
  CHECK(standard["pairs"][3]["debiased_linear_cka"] == document["pairs"][3]["debiased_linear_cka"]);
}

TEST_CASE("batches, shards and directories change nothing") {
  const two_dumps dumps;
  const auto expected = run_json({dumps.a, dumps.b})["pairs"];
  CHECK(run_json({dumps.a, dumps.b, "--batch-tokens", "7"})["pairs"] == expected);
  std::filesystem::create_directory(dumps.folder / "parts");
  for (const auto& [first, count] : {std::pair<index, index>{0, 130}, {130, 170}})
    dumps.folder.write(
        "parts/" + std::to_string(first),
        safetensors({dumps.large.stack(data_type::f64, first, count, true)}, {{"layout", "token-major"}}));
  std::filesystem::rename(dumps.folder / "parts/0", dumps.folder / "parts/0.safetensors");
  std::filesystem::rename(dumps.folder / "parts/130", dumps.folder / "parts/130.safetensors");
  CHECK(run_json({dumps.a, dumps.folder / "parts"})["pairs"] == expected);
}

TEST_CASE("the tokens are those that take part in both") {
  const two_dumps dumps;
  check_pairs(run_json({dumps.a, dumps.b, "--sequence-length", "50", "--skip-first", "2", "--metrics",
                        "linear_cka,mutual_knn"}),
              dumps.small, dumps.large, token_mask::skip_first(300, 50, 2));
  const auto refused = [&](const std::vector<std::string>& arguments, const std::vector<std::string>& parts) {
    const auto result = run(arguments);
    CAPTURE(result.errors);
    CHECK(result.status == 1);
    CHECK(result.output.empty());
    for (const auto& part : parts) CHECK(contains(result.errors, part));
  };
  const auto fewer = dumps.folder.write(
      "c.safetensors", safetensors({dumps.large.stack(data_type::f64, 0, 299)}, {{"layout", "layer-major"}}));
  refused({dumps.a, fewer}, {"c.safetensors: expected 300 tokens, those of ", "a.safetensors, got 299"});
  std::vector<bool> keep(300, true);
  keep[17] = false;
  entry mask{"attention_mask", "U8", {300}, {}};
  for (const bool kept : keep) mask.bytes.push_back(kept ? std::byte{1} : std::byte{0});
  const auto masked = dumps.folder.write(
      "d.safetensors", safetensors({dumps.large.stack(data_type::f64), mask}, {{"layout", "layer-major"}}));
  refused({dumps.a, masked}, {"d.safetensors: expected the mask of ", "token 17", "300 and 299 tokens", "--mask FILE"});
  check_pairs(run_json({masked, masked, "--metrics", "rsa"}), dumps.large, dumps.large, token_mask(keep));
  check_pairs(run_json({dumps.a, masked, "--mask-b", "none"}), dumps.small, dumps.large);

  auto broken = dumps.large;
  broken.at(2, 290, 1) = std::numeric_limits<double>::quiet_NaN();
  const auto not_finite =
      dumps.folder.write("e.safetensors", safetensors({broken.stack(data_type::f64)}, {{"layout", "layer-major"}}));
  const std::string place = "in tokens 256 to 299 (row 0 is token 256): ";
  refused({dumps.a, not_finite, "--batch-tokens", "256"}, {"e.safetensors: layer 2, " + place, "row 34, column 1"});
  // Of B, layers 0, 2 and 4 are compared; and it is the layer's own number that is said.
  const std::vector<std::string> same{"--pairs", "same", "--batch-tokens", "256", "--layer-numbers-b", "0,3,6,9,12"};
  refused({dumps.a, not_finite, same[0], same[1], same[2], same[3]}, {"e.safetensors: layer 2, " + place});
  refused({dumps.a, not_finite, same[0], same[1], same[2], same[3], same[4], same[5]}, {"e.safetensors: layer 6, "});
  refused({not_finite, dumps.a, same[0], same[1], same[2], same[3]}, {"e.safetensors: layer 2, " + place});

  refused({dumps.a}, {"expected two dumps, got 1"});
  refused({dumps.a, dumps.b, dumps.b}, {"expected two dumps, got 3"});
  refused({dumps.a, dumps.b, "--metrics", "cka"}, {"(linear_cka, debiased_linear_cka, ", "got 'cka'"});
  refused({dumps.a, dumps.b, "--pairs", "same", "--plot", dumps.folder / "p.svg"}, {"--plot", "--pairs all"});
  refused({dumps.folder.write("wide", safetensors({{"h", "F16", {2, 2, 70'000}, buffer(560'000)}})),
           dumps.folder / "wide", "--layout", "layer-major"},
          {"4 pairs of layers of 70000 and 70000 dimensions", "GiB", "--pairs same"});
}

TEST_CASE("--pairs same takes layers of the same depth, -b is for the second dump") {
  const two_dumps dumps;
  const auto document = run_json({dumps.a, dumps.b, "--pairs", "same", "--metrics", "all"});
  REQUIRE(document["pairs"].size() == 3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(document["pairs"][i]["b_layer"] == 2 * i);
  check_pairs(document, dumps.small, dumps.large);
  const auto numbered =
      run_json({dumps.a, dumps.b, "--pairs", "same", "--layer-numbers", "0,5,9", "--layer-numbers-b", "1,3,5,7,11"});
  CHECK(numbered["pairs"][2]["a_layer"] == 9);
  CHECK(numbered["pairs"][2]["b_layer"] == 11);
  CHECK(numbered["b"]["layers"].size() == 5);
}

TEST_CASE("other token ids are called out") {
  const two_dumps dumps;
  const auto with_ids = [&](const std::string& name, index other) {
    entry ids{"token_ids", "I32", {300}, {}};
    for (std::int32_t token = 0; token < 300; ++token) {
      const std::int32_t id = token == other ? 7 : 100 + token;
      append(ids.bytes, &id, sizeof id);
    }
    return dumps.folder.write(name, safetensors({dumps.small.stack(data_type::f32), ids}, {{"layout", "layer-major"}}));
  };
  const auto one = with_ids("e.safetensors", -1);
  CHECK(run({one, with_ids("f.safetensors", -1)}).errors.empty());
  CHECK(contains(run({one, with_ids("g.safetensors", 41)}).errors, "warning: the ids of token 41 differ"));
  CHECK(run({one, dumps.b}).errors.empty());
}

TEST_CASE("--dry-run says how both are read, and measures nothing") {
  const two_dumps dumps;
  const auto plan = run({dumps.a, dumps.b, "--dry-run", "--pairs", "same"});
  CHECK(plan.status == 0);
  for (const auto* line : {"A\nstates      3 of 300 tokens x 4 dimensions, F32\n",
                           "B\nstates      5 of 300 tokens x 7 dimensions, F64\n", "\n3 pairs of layers\nmemory "})
    CHECK(contains(plan.output, line));
}

TEST_CASE("the memory is that of what there is, and known before anything is made") {
  const two_dumps dumps;
  const auto plan_of = [](std::vector<std::string> arguments) {
    arguments.emplace_back("--dry-run");
    const auto plan = run(std::move(arguments));
    CAPTURE(plan.errors);
    REQUIRE(plan.status == 0);
    return plan.output;
  };
  // 300 tokens are all that are read at a time, or looked at.
  CHECK(plan_of({dumps.a, dumps.b, "--metrics", "all", "--batch-tokens", "300"}) ==
        plan_of({dumps.a, dumps.b, "--metrics", "all", "--batch-tokens", "1000000000", "--sample", "1000000000"}));
  // Rows of both, and once more packed: 2 * 8 * 300 (4 + 7) bytes.
  CHECK(
      contains(run({dumps.a, dumps.b, "--metrics", "mutual_knn"}).errors, "300 of 300 tokens, which take 0.0504 MiB"));
  // A row each for millions of pairs, of few sums: 24 KB of files.
  const auto many = dumps.folder.write("m.safetensors", safetensors({{"h", "F16", {3000, 4, 1}, buffer(24'000)}}));
  const auto memory = [&](const std::string& format) {
    const auto plan = plan_of({many, many, "--layout", "layer-major", "--format", format});
    CHECK(contains(plan, "\n9000000 pairs of layers\n"));
    const std::string before = "\nmemory      about ";
    return std::stod(plan.substr(plan.find(before) + before.size()));
  };
  CHECK(memory("text") > 5);  // GiB
  CHECK(memory("json") > 1.5 * memory("text"));
}

TEST_CASE("CSV has the fields of JSON, the text a matrix a metric") {
  const two_dumps dumps;
  const auto document = run_json({dumps.a, dumps.b, "--metrics", "procrustes,linear_cka"});
  const auto rows = csv_cells(run({dumps.a, dumps.b, "--metrics", "procrustes,linear_cka", "--format", "csv"}).output);
  REQUIRE(rows.size() == 15 + 2);
  CHECK(rows[0].size() == document["pairs"][0].size());
  for (std::size_t line = 1; line <= 15; ++line)
    for (std::size_t i = 0; i < rows[0].size(); ++i) check_cell(rows[line][i], document["pairs"][line - 1][rows[0][i]]);

  const auto text = run({dumps.a, dumps.b}).output;
  CHECK(
      text.starts_with("A  small (a.safetensors): 3 states of 4 dimensions, F32, read as [layer][token][dim]\n"
                       "B  b.safetensors: 5 states of 7 dimensions, F64, read as [layer][token][dim]\n300 tokens\n"));
  CHECK(contains(text, "\n  A \\ B      0      1      2      3      4\n      0  "));
  const auto same = run({dumps.a, dumps.b, "--pairs", "same", "--metrics", "svcca"}).output;
  CHECK(contains(same, "   of A   of B"));
  CHECK(contains(same, "      1      2  "));
}

TEST_CASE("the heat maps are drawn") {
  const two_dumps dumps;
  if (!run_process({"gnuplot", "--version"})) {
    MESSAGE("no gnuplot here");
    return;
  }
  const auto result = run({dumps.a, dumps.b, "--plot", dumps.folder / "p.svg"});
  CAPTURE(result.errors);
  CHECK(result.status == 0);
  std::ifstream file(dumps.folder / "p.svg");
  const std::string drawn(std::istreambuf_iterator<char>(file), {});
  for (const auto* label : {"</svg>", "debiased_linear_cka", "layer of A", "layer of B", "small (a.safetensors)"})
    CHECK(contains(drawn, label));
}

}  // namespace examples::test
