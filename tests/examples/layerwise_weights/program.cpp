// The built program, run as a user runs it, on models of a few kilobytes.

#include "common/subprocess.hpp"
#include "examples/dump_files.hpp"
#include "examples/layerwise_weights/gguf_files.hpp"
#include "examples/library_values.hpp"
#include "examples/run_program.hpp"

#include <layerwise/metrics/mean_pairwise_cosine.hpp>
#include <layerwise/metrics/norm_distribution.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

namespace examples::test {
namespace {

using nlohmann::json;
using dense = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// An element that float16 and float32 hold, without pattern.
double element(index seed, index i, index j) {
  return static_cast<double>((seed * 131 + i * i * 37 + j * 71 + i * j * j * 13) % 255 - 127) / 64.0;
}

dense values(index seed, index rows, index cols) {
  return dense::NullaryExpr(rows, cols, [=](index i, index j) { return element(seed, i, j); });
}

entry stored(const std::string& name, index seed, index rows, index cols) {
  return {name, "F32", {rows, cols}, encode(data_type::f32, {rows, cols}, [=](const auto& at) {
            return element(seed, at[0], at[1]);
          })};
}

/// Two layers of width 12, three heads of 4, one of keys and values.
struct tiny_model {
  temporary_folder folder;

  explicit tiny_model(const std::vector<entry>& more = {}) {
    std::vector<entry> entries{stored("model.embed_tokens.weight", 1, 50, 12)};
    for (const std::string layer : {"0", "1"}) {
      const index seed = layer == "0" ? 10 : 20;
      const auto name = [&](const std::string& rest) { return "model.layers." + layer + "." + rest + ".weight"; };
      entries.push_back(stored(name("self_attn.q_proj"), seed, 12, 12));
      entries.push_back(stored(name("self_attn.k_proj"), seed + 1, 4, 12));
      entries.push_back(stored(name("self_attn.v_proj"), seed + 2, 4, 12));
      entries.push_back(stored(name("self_attn.o_proj"), seed + 3, 12, 12));
      entries.push_back(stored(name("mlp.up_proj"), seed + 4, 20, 12));
    }
    entries.push_back(stored("rotary.table", 40, 5, 3));
    entries.insert(entries.end(), more.begin(), more.end());
    folder.write("model.safetensors", safetensors(entries));
    buffer config;
    append(config, std::string(R"({"model_type": "llama", "num_attention_heads": 3, "num_key_value_heads": 1,
                                   "hidden_size": 12, "tie_word_embeddings": true})"));
    folder.write("config.json", config);
  }

  std::string path() const { return folder / "."; }
  std::string file() const { return folder / "model.safetensors"; }
};

const json& find(const json& report, const std::string& matrix, index layer) {
  for (const auto& m : report["matrices"])
    if (m["matrix"] == matrix && m["layer"] == layer) return m;
  FAIL("no ", matrix, " in layer ", layer);
  return report;
}

doctest::Approx about(double value) { return doctest::Approx(value).epsilon(1e-12); }

}  // namespace

TEST_CASE("the program's numbers are the library's") {
  const tiny_model model;
  const auto report = run_json({model.path()});
  CHECK(report["architecture"] == "llama");
  REQUIRE(report["matrices"].size() == 11);
  const auto& embedding = report["matrices"][0];
  CHECK(embedding["matrix"] == "embedding");
  const auto rows = values(1, 50, 12);
  CHECK(embedding["rows_of"]["norms"]["mean"] == about(layerwise::norm_distribution(rows).mean));
  CHECK(embedding["rows_of"]["cosines"]["mean"] == about(layerwise::mean_pairwise_cosine(rows)));
  CHECK(embedding["rows_of"]["cosines"]["sampled"] == 50);
  CHECK(embedding["rows_of"]["norm_quantiles"].size() == 1001);
  CHECK(embedding["rows_of"]["norm_quantiles"][1000] == embedding["rows_of"]["norms"]["maximum"]);
  CHECK(embedding["rows_of"]["norm_quantiles"][500] == about(layerwise::norm_distribution(rows).median));
  const auto ratios = embedding["rows_of"]["eigenvalues_over_median"].get<std::vector<double>>();
  CHECK((ratios[5] + ratios[6]) / 2 == about(1.0));

  const auto& q = find(report, "q", 1);
  const auto w = values(20, 12, 12);
  CHECK(q["singular_spectrum"]["condition"] == about(condition_number_of(w)));
  CHECK(q["singular_spectrum"]["frobenius_norm"] == about(w.norm()));
  CHECK(q["heads"] == 3);
  std::vector<double> heads;
  for (index h = 0; h < 3; ++h) heads.push_back(condition_number_of(w.middleRows(4 * h, 4)));
  std::sort(heads.begin(), heads.end());
  CHECK(q["head_condition"] == about(heads[1]));
  const auto o = values(23, 12, 12);
  for (index h = 0; h < 3; ++h) heads[static_cast<std::size_t>(h)] = condition_number_of(o.middleCols(4 * h, 4));
  std::sort(heads.begin(), heads.end());
  CHECK(find(report, "o", 1)["head_condition"] == about(heads[1]));
  CHECK(find(report, "k", 0)["heads"] == 1);
  CHECK(find(report, "up", 0)["heads"].is_null());
  CHECK(report["not_measured"] == json{"rotary.table"});
  CHECK(contains(report["remarks"][0], "tie_word_embeddings"));
}

TEST_CASE("the same report from one file, and on any number of threads") {
  const tiny_model model;
  const auto whole = run_json({model.path()});
  CHECK(run_json({model.file()})["matrices"] == whole["matrices"]);
  CHECK(run_json({model.path(), "--threads", "2"})["matrices"] ==
        run_json({model.path(), "--threads", "1"})["matrices"]);
}

TEST_CASE("rows of length 1; a sample; chosen tensors, known by name or not") {
  const tiny_model model;
  const auto unit = run_json({model.path(), "--unit-rows", "--sample", "10"});
  const dense w = values(10, 12, 12).rowwise().normalized(), o = values(13, 12, 12).colwise().normalized();
  CHECK(find(unit, "q", 0)["singular_spectrum"]["condition"] == about(condition_number_of(w)));
  CHECK(find(unit, "o", 0)["singular_spectrum"]["condition"] == about(condition_number_of(o)));
  CHECK(unit["matrices"][0]["rows_of"]["cosines"]["sampled"] == 10);

  const auto some = run_json({model.path(), "--tensors", "rotary*,*layers.1*up_proj*"});
  REQUIRE(some["matrices"].size() == 2);
  CHECK(some["matrices"][0]["matrix"] == "up");
  CHECK(some["matrices"][1]["matrix"] == "other");
  CHECK(some["matrices"][1]["singular_spectrum"]["condition"] == about(condition_number_of(values(40, 5, 3))));
}

TEST_CASE("rows of length 1 whatever their length was") {
  const auto rows = [](double scale) {
    return entry{
        "model.layers.2.mlp.up_proj.weight", "F64", {4, 3}, encode(data_type::f64, {4, 3}, [=](const auto& at) {
          return (at[0] == 0 ? scale : at[0] == 3 ? 0.0 : 1.0) * element(5, at[0], at[1]);
        })};
  };
  const auto condition = [&](double scale) {
    const auto report = run_json({tiny_model({rows(scale)}).path(), "--unit-rows", "--tensors", "*2.mlp*"});
    return find(report, "up", 2)["singular_spectrum"]["condition"].get<double>();
  };
  for (const double scale : {1e200, 1e300, 1e-170, 1e-300}) CHECK(condition(scale) == about(condition(1.0)));
}

TEST_CASE("text and CSV say the same, a line a matrix") {
  const tiny_model model;
  const auto text = run({model.path()});
  REQUIRE(text.status == 0);
  for (const auto* part : {"(llama)", "model.embed_tokens.weight  50 x 12", "1      q       12 x 12",
                           "other matrices, not measured", "rotary.table", "tie_word_embeddings"})
    CHECK(contains(text.output, part));
  CHECK_FALSE(contains(text.output, "quantized"));
  const auto csv = run({model.path(), "--format", "csv"}).output;
  CHECK(std::count(csv.begin(), csv.end(), '\n') == 12);
  CHECK(csv.starts_with("tensor,matrix,layer,format,quantized,rows,columns,condition,"));
  const auto first = csv.substr(0, csv.find('\n'));
  std::size_t line = 0;
  for (std::size_t at = 0; at < csv.size(); at = csv.find('\n', at) + 1, ++line) {
    const auto one = csv.substr(at, csv.find('\n', at) - at);
    CHECK(std::count(one.begin(), one.end(), ',') == std::count(first.begin(), first.end(), ','));
  }
}

TEST_CASE("a quantized GGUF file: it is said, and the numbers are those of what it decodes to") {
  const temporary_folder folder;
  buffer blocks;  // Q8_0: row i has the scale 1/8 and quants of its own
  dense w(5, 32);
  for (index i = 0; i < 5; ++i) {
    put(blocks, static_cast<Eigen::half>(0.125));
    for (index j = 0; j < 32; ++j) {
      const auto q = static_cast<std::int8_t>(64.0 * element(3, i, j));
      put(blocks, q);
      w(i, j) = 0.125 * q;
    }
  }
  const auto path = folder.write("m.gguf", gguf({gguf_text("general.architecture", "llama"),
                                                 gguf_entry("llama.attention.head_count", 4, std::uint32_t{1}),
                                                 gguf_entry("llama.embedding_length", 4, std::uint32_t{5})},
                                                {{"blk.0.attn_q.weight", 8, {32, 5}, blocks}}));
  const auto report = run_json({path});
  const auto& q = find(report, "q", 0);
  CHECK(q["format"] == "Q8_0");
  CHECK(q["quantized"] == true);
  CHECK(q["rows"] == 5);
  CHECK(q["singular_spectrum"]["condition"] == about(condition_number_of(w)));
  CHECK(q["head_condition"] == q["singular_spectrum"]["condition"]);
  CHECK(contains(run({path}).output, "1 of 1 matrices are quantized (Q8_0)"));
}

TEST_CASE("rows of zeros, a matrix of zeros and one of lower rank are no errors") {
  entry zeros{"model.layers.2.mlp.up_proj.weight", "F32", {3, 4}, buffer(48)};
  entry heads{"model.layers.2.self_attn.q_proj.weight", "F32", {12, 4}, buffer(192)};
  entry ones{"model.layers.2.mlp.down_proj.weight", "F32", {3, 4}, encode(data_type::f32, {3, 4}, [](const auto&) {
               return 1.0;
             })};
  entry head{"lm_head.weight", "F32", {6, 2}, encode(data_type::f32, {6, 2}, [](const auto& at) {
               return at[0] < 2 ? 0.0 : static_cast<double>(at[0] * at[0] + at[1]);
             })};
  const tiny_model model({zeros, heads, ones, head});
  const auto report = run_json({model.path()});
  CHECK(find(report, "up", 2)["remark"] == "all zeros");
  CHECK(find(report, "up", 2)["singular_spectrum"].is_null());
  CHECK(find(report, "q", 2)["heads"] == 3);
  CHECK(find(report, "q", 2)["head_condition"].is_null());
  CHECK(find(report, "down", 2)["singular_spectrum"]["condition"].is_null());  // infinite
  CHECK(find(report, "down", 2)["singular_spectrum"]["rank"] == 1);
  for (const auto& m : report["matrices"])
    if (m["matrix"] == "unembedding") CHECK(m["rows_of"]["zero_rows"] == 2);
  const auto text = run({model.path()}).output;
  CHECK(contains(text, "2 rows of zeros"));
  CHECK(contains(text, "up: all zeros (1 matrix)"));
  CHECK_FALSE(contains(text.substr(text.find("2      q"), 60), "inf"));
}

TEST_CASE("what can't be measured ends with a line that says why") {
  const auto check = [](const std::vector<std::string>& arguments, const std::vector<std::string>& parts) {
    const auto result = run(arguments);
    CHECK(result.status == 1);
    CAPTURE(result.errors);
    for (const auto& part : parts) CHECK(contains(result.errors, part));
  };
  const tiny_model plain;
  check({plain.path(), "--tensors", "nothing*"}, {"layerwise-weights: error: ", "'nothing*'"});
  check({plain.path(), "--sample", "1"}, {"--sample"});
  check({plain.folder / "missing"}, {"can't be opened"});
  check({}, {"model is required"});
  check({plain.folder.write("x.npy", npy(layer_major(data_type::f32, 1, 2, 3), data_type::f32))},
        {"expected a .safetensors file, a .gguf file or a directory"});
  check({plain.folder.write("x.bin", buffer(3))}, {"expected a .safetensors file, a .gguf file", "only 3 bytes"});
  const auto nan = encode(data_type::f32, {2, 2}, [](const auto& at) { return at[0] == 1 ? NAN : 1.0; });
  const tiny_model with_nan({{"model.layers.2.mlp.up_proj.weight", "F32", {2, 2}, nan}});
  check({with_nan.path()}, {"tensor 'model.layers.2.mlp.up_proj.weight'", "finite values, got nan", "row 1"});
  const tiny_model small({{"lm_head.weight", "F8_E4M3", {2, 2}, buffer(4)}});
  check({small.path()}, {"'lm_head.weight'", "F8_E4M3", "save it as F32"});
  CHECK(run({small.path(), "--tensors", "*up_proj*"}).status == 0);
  const temporary_folder folder;
  check({folder.write("m.gguf", gguf({}, {{"output.weight", 10, {256, 1}, buffer(84)}}))},
        {"'output.weight'", "got Q2_K", "llama-quantize"});
  check({folder.write("n.gguf", gguf({}, {{"norm", 0, {4}, buffer(16)}}))}, {"no tensor of two dimensions"});
  check({folder.write("o.gguf", gguf({}, {gguf_matrix("mystery", 2, 2, [](index, index) { return 1.0; })}))},
        {"names of tensors", "'mystery'", "--tensors"});
}

TEST_CASE("files that can't be written are refused before anything is measured") {
  const tiny_model model;
  for (const std::string option : {"--output", "--plot"})
    for (const std::string name : {"no/such/folder.svg", "folder.svg"}) {
      std::filesystem::create_directory(model.folder / "folder.svg");
      const auto result = run({model.folder / "missing", option, model.folder / name});
      CAPTURE(result.errors);
      CHECK(result.status == 1);
      CHECK(contains(result.errors, option + ": "));
      CHECK(contains(result.errors, "can't be written: "));
    }
  const auto out = model.folder / "kept.csv";
  REQUIRE(run({model.path(), "--format", "csv", "--output", out}).status == 0);
  const auto size = std::filesystem::file_size(out);
  CHECK(run({model.folder / "missing", "--output", out}).status == 1);
  CHECK(std::filesystem::file_size(out) == size);
}

TEST_CASE("what does not fit into memory is refused, with what needs less") {
  const auto rows = [](const std::string& name, index n, index d) {
    return entry{name, "F16", {n, d}, buffer(static_cast<std::size_t>(2 * n * d))};
  };
  const auto limited = [](const std::string& file, const std::string& more) {
    return *run_process({"sh", "-c", "ulimit -v 1500000; exec \"$0\" \"$1\" " + more, TESTED_PROGRAM, file});
  };
  const tiny_model wide({rows("lm_head.weight", 30'000, 1)});
  const auto sample = limited(wide.file(), "--sample 30000");
  CHECK(sample.status == 1);
  CHECK(contains(sample.errors, "'lm_head.weight': the cosines of 30000 rows of 1 need about 3.35 GiB, got "));
  CHECK(contains(sample.errors, "of address space (ulimit -v); --sample 2048 needs 0.0161 GiB"));
  const tiny_model large({rows("model.layers.2.mlp.up_proj.weight", 30'000, 1000),
                          rows("model.layers.3.mlp.up_proj.weight", 30'000, 1000)});
  const auto matrices = limited(large.file(), "--threads 3");
  CHECK(matrices.status == 1);
  CHECK(
      contains(matrices.errors,
               "2.mlp.up_proj.weight': a matrix of 30000 x 1000, with those of 2 more threads, needs about 1.34 GiB"));
  CHECK(contains(matrices.errors, "--threads 1 needs 0.671 GiB"));
}

TEST_CASE("--plot draws four panels, in both formats") {
  if (!run_process({"gnuplot", "--version"})) {
    MESSAGE("no gnuplot here");
    return;
  }
  const tiny_model model;
  for (const std::string name : {"p.svg", "p.png"}) {
    const auto path = model.folder / name;
    const auto result = run({model.path(), "--plot", path});
    CAPTURE(result.errors);
    REQUIRE(result.status == 0);
    std::ifstream file(path, std::ios::binary);
    const std::string drawn((std::istreambuf_iterator<char>(file)), {});
    CHECK(contains(drawn, name == "p.svg" ? "Condition numbers" : "PNG"));
    if (name == "p.svg")
      for (const auto* part : {"Norms of rows", "Eigenvalues", "Cosines", "q (heads)", "up"})
        CHECK(contains(drawn, part));
  }
}

}  // namespace examples::test
