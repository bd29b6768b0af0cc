// --metrics and --heat-map of the built program, against the library called directly.

#include "common/subprocess.hpp"
#include "examples/library_values.hpp"
#include "examples/run_program.hpp"
#include "examples/sample_dump.hpp"

#include <layerwise/metrics.hpp>
#include <layerwise/profile.hpp>
#include <layerwise/statistics.hpp>

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace examples::test {
namespace {

using layerwise::token_mask;

void check_value(const json& layer, const std::string& name, double expected) {
  CAPTURE(name);
  REQUIRE(layer.contains(name));
  REQUIRE(layer[name].is_number());
  CHECK(layer[name].get<double>() == doctest::Approx(expected).epsilon(1e-10));
}

/// What the library says of h_l.
std::map<std::string, double> of_layer(const auto& x, const token_mask& mask, index sequence_length) {
  const auto s = layerwise::spectrum(x, {}, mask);
  const auto norms = layerwise::norm_distribution(x, mask);
  const auto massive = layerwise::massive_activations(x, {}, mask);
  const auto dimension = layerwise::intrinsic_dimension(x, {.sample = 200}, mask);
  return {{"anisotropy", s.anisotropy},
          {"stable_rank", s.stable_rank},
          {"participation_ratio", s.participation_ratio},
          {"effective_rank", s.effective_rank},
          {"matrix_entropy", s.matrix_entropy},
          {"condition", s.condition},
          {"rank", static_cast<double>(s.rank)},
          {"mean_pairwise_cosine", layerwise::mean_pairwise_cosine(x, mask)},
          {"norm", norms.mean},
          {"norm_maximum", norms.maximum},
          {"norm_median", norms.median},
          {"massive_activation", massive.largest.front().value},
          {"massive_activation_token", static_cast<double>(massive.largest.front().token)},
          {"massive_activation_dimension", static_cast<double>(massive.largest.front().dimension)},
          {"curvature", layerwise::curvature(x, sequence_length, mask)},
          {"intrinsic_dimension", dimension.dimension},
          {"intrinsic_dimension_sampled", static_cast<double>(dimension.sampled)}};
}

/// Of h_{l-1} and h_l.
std::map<std::string, double> of_pair(const auto& x, const auto& y, const token_mask& mask) {
  layerwise::cross_moments moments(layerwise::second_moments::both);
  moments.add(x, y, mask);
  auto expected = values_of_pair(moments);
  expected["block_influence"] = layerwise::block_influence(x, y, mask);
  return expected;
}

void check_all(const json& document, const sample& data, const token_mask& mask) {
  const auto view = data.view();
  const auto profile = layerwise::profile(view, {}, mask);
  std::vector<double> displacements;
  for (const auto& layer : profile.layers) displacements.push_back(layer.displacement);
  const auto collapse = layerwise::collapse_indices(displacements);
  REQUIRE(document["layers"].size() == static_cast<std::size_t>(data.states));
  for (index l = 0; l < data.states; ++l) {
    const auto& layer = document["layers"][static_cast<std::size_t>(l)];
    CAPTURE(l);
    CHECK(layer["layer"] == l);
    for (const auto& [name, value] : of_layer(view[l], mask, 20)) check_value(layer, name, value);
    if (l + 1 < data.states)
      check_value(layer, "last_layer_linearity", layerwise::linearity_score(view[l], view[data.states - 1], {}, mask));
    else
      CHECK(layer["last_layer_linearity"].is_null());
    if (l == 0) {
      for (const auto* name : {"displacement", "linearity", "linear_cka", "mutual_knn", "block_influence"})
        CHECK(layer[name].is_null());
      continue;
    }
    for (const auto& [name, value] : of_pair(view[l - 1], view[l], mask)) check_value(layer, name, value);
    check_value(layer, "collapse_index", collapse[static_cast<std::size_t>(l - 1)]);
    check_value(layer, "displacement", displacements[static_cast<std::size_t>(l - 1)]);
  }
}

sample sample_of_sequences() { return {4, 400, 5}; }

}  // namespace

TEST_CASE("--metrics all is what the library says, however the dump is stored and gone through") {
  const temporary_folder folder;
  const auto data = sample_of_sequences();
  const std::map<std::string, std::string> metadata{{"sequence_length", "20"}, {"layout", "layer-major"}};
  const auto whole = folder.write("a.safetensors", safetensors({data.stack(data_type::f64)}, metadata));
  const std::vector<std::string> options{"--metrics", "all", "--sample", "200"};
  const auto with = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), options.begin(), options.end());
    return run_json(arguments);
  };
  const auto document = with({whole});
  check_all(document, data, {});
  check_all(with({whole, "--batch-tokens", "37"}), data, {});
  check_all(with({whole, "--pairs-in-turn"}), data, {});
  const auto first = folder.write("b1.safetensors", safetensors({data.stack(data_type::f32, 0, 120)}, metadata));
  const auto second = folder.write("b2.safetensors", safetensors({data.stack(data_type::f32, 120, 280)}, metadata));
  check_all(with({first, second}), data, {});
  check_all(with({whole, "--skip-first", "3"}), data, token_mask::skip_first(400, 20, 3));

  // A sample of all tokens, and one of every second.
  const auto& layer = document["layers"][2];
  std::vector<bool> odd(400);
  for (std::size_t i = 1; i < 400; i += 2) odd[i] = true;
  const auto view = data.view();
  check_value(layer, "mutual_knn", layerwise::mutual_knn(view[1], view[2], 10, token_mask(odd)));
  CHECK(layer["mutual_knn_sampled"] == 200);
  const auto every = run_json({whole, "--metrics", "mutual_knn"});
  CHECK(every["layers"].size() == 3);  // of pairs only: no row for the embeddings
  check_value(every["layers"][1], "mutual_knn", layerwise::mutual_knn(view[1], view[2]));
  CHECK(every["layers"][1]["mutual_knn_sampled"] == 400);

  // Rounding moves no number by more than its bound, and bounds are small.
  for (const auto& each : document["layers"])
    for (const auto& [name, value] : each.items())
      if (name.ends_with("_error") && !value.is_null()) CHECK(value.get<double>() < 1e-6);
}

TEST_CASE("CSV has the fields of JSON, the table those that are shown") {
  const temporary_folder folder;
  const auto data = sample_of_sequences();
  const auto path = folder.write("a.safetensors", safetensors({data.stack(data_type::f64)}));
  const std::string names = "rsa,norm,anisotropy";
  const auto document = run_json({path, "--metrics", names, "--layer-numbers", "0,2,4,9"});
  const auto rows = csv_cells(run({path, "--metrics", names, "--layer-numbers", "0,2,4,9", "--format", "csv"}).output);
  REQUIRE(rows.size() == 4 + 2);
  std::size_t leaves = 0;
  for (const auto& value : document["layers"][1]) leaves += value.is_object() ? value.size() : 1;
  CHECK(rows[0].size() == leaves);
  for (std::size_t line = 1; line <= 4; ++line)
    for (std::size_t i = 0; i < rows[0].size(); ++i) {
      CAPTURE(rows[0][i]);
      check_cell(rows[line][i], value_of(document["layers"][line - 1], rows[0][i]));
    }
  CHECK(rows[1][0] == "0");
  CHECK(rows[4][0] == "9");

  const auto plain = run({path}).output, table = run({path, "--metrics", names}).output;
  CHECK(contains(table, "anisotropy"));
  CHECK(contains(table, "similarity"));
  CHECK_FALSE(contains(table, "deviation"));
  // Below the columns of the plain table, which are as they were but for the row of the embeddings.
  CHECK(table.starts_with(plain.substr(0, plain.find("\n    1 "))));
  const auto chosen = run({path, "--metrics", names, "--columns", "norm_deviation,displacement"}).output;
  CHECK(contains(chosen, "deviation"));
  CHECK_FALSE(contains(chosen, "anisotropy"));
  const auto not_measured = run({path, "--columns", "anisotropy"});
  CHECK(not_measured.status == 1);
  CHECK(contains(not_measured.errors, "got 'anisotropy'"));
}

TEST_CASE("what is not defined is empty, and said") {
  const temporary_folder folder;
  sample data(4, 100, 3);
  for (index token = 0; token < data.tokens; ++token)  // h_2 does not vary
    for (index dim = 0; dim < data.dims; ++dim) data.at(2, token, dim) = 1 + static_cast<double>(dim);
  const auto path =
      folder.write("a.safetensors", safetensors({data.stack(data_type::f64)}, {{"layout", "layer-major"}}));
  const auto result = run({path, "--metrics", "anisotropy,linear_cka", "--format", "json"});
  CHECK(result.status == 0);
  const auto layers = json::parse(result.output)["layers"];
  CHECK(layers[2]["anisotropy"].is_null());
  CHECK(layers[2]["linear_cka"].is_null());
  CHECK(layers[3]["linear_cka"].is_null());
  CHECK(layers[3]["anisotropy"].is_number());
  CHECK(contains(result.errors, "note: anisotropy has no value for layer 2: "));
  CHECK(contains(result.errors, "note: linear_cka has no value for layer 2, and 1 more: "));
}

TEST_CASE("what can't be had is refused where it was named, and left out of all") {
  const temporary_folder folder;
  const auto data = sample_of_sequences();
  const auto path = folder.write("a.safetensors", safetensors({data.stack(data_type::f64)}));
  const auto refused = [&](const std::vector<std::string>& arguments, const std::string& part) {
    const auto result = run(arguments);
    CAPTURE(result.errors);
    CHECK(result.status == 1);
    CHECK(contains(result.errors, part));
  };
  refused({path, "--metrics", "anisotropy,cka"}, "(anisotropy, stable_rank, ");
  refused({path, "--metrics", "anisotropy,cka"}, "got 'cka'");
  refused({path, "--metrics", ""}, "got ''");
  refused({path, "--metrics", "norm,svcca", "--no-linearity"}, "svcca is of second moments");
  refused({path, "--metrics", "curvature"}, "curvature needs --sequence-length");
  refused({path, "--metrics", "all,curvature"}, "curvature needs --sequence-length");  // named, beside all too
  refused({path, "--metrics", "svcca,all", "--no-linearity"}, "svcca is of second moments");
  refused({path, "--heat-map", "angles"}, "--heat-map: expected --plot FILE, --html FILE, or --format json");
  refused({path, "--heat-map", "cosines", "--plot", folder / "a.svg"}, "--heat-map");
  refused({path, "--metrics", "all", "--sample", "2"}, "--sample");

  const auto all = run({path, "--metrics", "all", "--no-linearity", "--format", "json"});
  CHECK(all.status == 0);
  CHECK(contains(all.errors, "note: curvature is left out"));
  CHECK(contains(all.errors, "note: pwcca is left out"));
  const auto layer = json::parse(all.output)["layers"][1];
  CHECK_FALSE(layer.contains("pwcca"));
  CHECK(layer["block_influence"].is_number());
  CHECK_FALSE(layer.contains("last_layer_linearity"));

  for (const auto* names : {"all,norm", "norm,all", "all,all"})
    CHECK(run({path, "--metrics", names, "--no-linearity", "--format", "json"}).output == all.output);

  const auto help = run({"--help"}).output;
  for (const auto* name : {"--metrics", "--heat-map", "--sample", "anisotropy  ", "mutual_knn  ", "4/3 d^3"})
    CHECK(contains(help, name));

  // All pairs need more than neighbours.
  const auto wide = run({folder.write("wide", safetensors({{"h", "F16", {2, 2, 70'000}, buffer(560'000)}})), "--layout",
                         "layer-major", "--no-linearity", "--heat-map", "cka", "--format", "json"});
  CHECK(wide.status == 1);
  CHECK(contains(wide.errors, "for all pairs of layers"));
  CHECK(contains(wide.errors, "--heat-map angles needs"));
}

TEST_CASE("the memory of a sample is that of the tokens there are, with the copies that are made") {
  const temporary_folder folder;
  const sample data(2, 8, 2000);
  const auto path =
      folder.write("a.safetensors", safetensors({data.stack(data_type::f64)}, {{"layout", "layer-major"}}));
  const std::vector<std::string> plan{path, "--no-linearity", "--metrics", "mutual_knn", "--dry-run"};
  auto more = plan;
  more.insert(more.end(), {"--sample", "1000000000"});
  CHECK(contains(run(plan).output, "memory "));
  CHECK(run(more).output == run(plan).output);
  // In double, rows and packed rows, of two layers, or of one.
  CHECK(contains(run({path, "--no-linearity", "--metrics", "mutual_knn,intrinsic_dimension", "--sample", "4"}).errors,
                 "4 of 8 tokens, which take 0.244 MiB"));
  CHECK(contains(run({path, "--no-linearity", "--metrics", "intrinsic_dimension", "--sample", "4"}).errors,
                 "4 of 8 tokens, which take 0.122 MiB"));
}

TEST_CASE("CKA of all pairs is null for a layer without variance, the library's for others") {
  const temporary_folder folder;
  sample data(4, 60, 3);
  for (index token = 0; token < data.tokens; ++token)
    for (index dim = 0; dim < data.dims; ++dim) data.at(2, token, dim) = 1;
  const auto path =
      folder.write("a.safetensors", safetensors({data.stack(data_type::f64)}, {{"layout", "layer-major"}}));
  const auto cka = run_json({path, "--heat-map", "cka"})["linear_cka"];
  auto varying = data.view();
  const std::vector<std::size_t> kept{0, 1, 3};
  const auto expected = layerwise::cka_matrix(std::vector{varying[0], varying[1], varying[3]}).scores;
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 3; ++j)
      CHECK(cka[kept[i]][kept[j]].get<double>() ==
            doctest::Approx(expected(static_cast<index>(i), static_cast<index>(j))).epsilon(1e-12));
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(cka[2][i].is_null());
    CHECK(cka[i][2].is_null());
  }
}

TEST_CASE("heat maps are of all tokens, in JSON and beside the plot") {
  const temporary_folder folder;
  const auto data = sample_of_sequences();
  const auto view = data.view();
  const auto path = folder.write("a.safetensors", safetensors({data.stack(data_type::f64)}, {{"model", "it's"}}));
  const auto mask = token_mask::skip_first(400, 20, 2);
  const auto document =
      run_json({path, "--heat-map", "all", "--batch-tokens", "70", "--sequence-length", "20", "--skip-first", "2"});
  const Eigen::MatrixXd angles = layerwise::angular_distance_matrix(view, mask);
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t j = 0; j < 4; ++j) {
      const auto from = static_cast<index>(i), to = static_cast<index>(j);
      CHECK(document["angular_distances"][i][j].get<double>() == doctest::Approx(angles(from, to)).epsilon(1e-13));
      CHECK(document["linear_cka"][i][j].get<double>() ==
            doctest::Approx(i == j ? 1 : layerwise::linear_cka(view[from], view[to], mask)).epsilon(1e-12));
    }
  CHECK_FALSE(run_json({path, "--heat-map", "angles"}).contains("linear_cka"));

  const auto written = run({path, "--metrics", "all", "--heat-map", "all", "--html", folder / "p.html"});
  CAPTURE(written.errors);
  CHECK(written.status == 0);
  std::ifstream page_file(folder / "p.html");
  const std::string page(std::istreambuf_iterator<char>(page_file), {}), mark = "id=\"profiles\">";
  const auto begin = page.find(mark) + mark.size();
  CHECK(json::parse(page.substr(begin, page.find("</script", begin) - begin)) ==
        json::array({run_json({path, "--metrics", "all", "--heat-map", "all"})}));
  CHECK(run({path, "--html", folder / "p.svg"}).status == 1);
  const auto nowhere = run({path, "--html", folder / "none/p.html"});
  CHECK(nowhere.status == 1);
  CHECK(nowhere.output == "");  // tried before anything is measured
  CHECK(contains(nowhere.errors, "--html: "));

  if (!run_process({"gnuplot", "--version"})) {
    MESSAGE("no gnuplot here");
    return;
  }
  const auto drawn = run({path, "--heat-map", "all", "--plot", folder / "p.svg"});
  CAPTURE(drawn.errors);
  CHECK(drawn.status == 0);
  for (const auto& [name, label] :
       {std::pair{"p.svg", "linearity score"}, std::pair{"p.angles.svg", "angular distance"},
        std::pair{"p.cka.svg", "linear CKA"}}) {
    std::ifstream file(folder / name);
    CHECK(contains(std::string(std::istreambuf_iterator<char>(file), {}), label));
  }
}

}  // namespace examples::test
