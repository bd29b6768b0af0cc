// The built layerwise-llama on tiny models, against the library called on the states that transformers computes.

#include "examples/layerwise_llama/expected_states.hpp"
#include "examples/run_program.hpp"
#include "examples/sample_dump.hpp"
#include "examples/temporary_folder.hpp"

#include <layerwise/metrics.hpp>
#include <layerwise/profile.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace examples::test {
namespace {

const std::string& folder = tiny_models;

std::vector<std::string> call(const std::string& model, const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments{folder + "/models/" + model + ".gguf",
                                     folder + "/text.txt",
                                     "--tokens",
                                     "100",
                                     "--sequence-length",
                                     "40",
                                     "--exact",
                                     "--threads",
                                     "1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

/// What the library says of transformers' states.
layerwise::layer_profile expected_of(const std::string& model, const layerwise::token_mask& mask = {}) {
  const auto stack = expected_states(model);
  return layerwise::profile(layerwise::hidden_states_view<const float>::layer_major(rows_of(stack, 0), stack.states,
                                                                                    stack.tokens, stack.dimensions),
                            {}, mask);
}

void check_layers(const json& document, const layerwise::layer_profile& expected, double accuracy) {
  REQUIRE(document["layers"].size() == expected.layers.size());
  const auto near = [&](const json& value, double other) {
    CAPTURE(other);
    CHECK(std::abs(value.get<double>() - other) < accuracy);
  };
  for (std::size_t l = 0; l < expected.layers.size(); ++l) {
    const auto& layer = document["layers"][l];
    const auto& of = expected.layers[l];
    CAPTURE(l);
    CHECK(layer["layer"] == l + 1);
    near(layer["displacement"], of.displacement);
    near(layer["contribution_ratio"], of.contribution_ratio);
    near(layer["outlier_share"], *of.outlier_share);
    near(layer["linearity"]["score"], of.linearity->score);
    near(layer["residual_linearity"]["score"], of.residual_linearity->score);
    CHECK(layer["linearity"]["rank"] == of.linearity->rank);
  }
}

void check_refused(const std::vector<std::string>& arguments, const std::string& why) {
  const auto result = run(arguments);
  CAPTURE(result.errors);
  CHECK(result.status == 1);
  CHECK(result.output.empty());
  CHECK(contains(result.errors, why));
}

}  // namespace

TEST_CASE("a model's profile is that of the states that transformers computes") {
  for (const auto& [model, accuracy] : {std::pair{"llama", 1e-5},
                                        {"mistral", 1e-5},
                                        {"qwen2", 1e-5},
                                        {"qwen3", 1e-5},
                                        {"phi3", 1e-5},
                                        {"gemma3", 1e-3},
                                        {"phi2", 1e-3},
                                        {"gpt2", 1e-3},
                                        {"gptneox", 1e-3},
                                        {"bloom", 1e-3}}) {
    CAPTURE(model);
    check_layers(run_json(call(model)), expected_of(model), accuracy);
  }
}

TEST_CASE("what was taken stands in the JSON, and above the table") {
  const auto document = run_json(call("gemma3", {"--loss"}));
  CHECK(document["title"] == "tiny, all F32");
  CHECK(document["files"][1] == folder + "/text.txt");
  CHECK(document["dtype"] == "F32");
  CHECK(document["final_norm"] == "before");
  CHECK(document["tokens"] == 100);
  const auto& input = document["input"];
  CHECK(input["tensors"] == json{"inp_scaled", "l_out-0", "l_out-1", "l_out-2"});
  CHECK(contains(input["axes_because"], "gemma3"));
  CHECK(input["state_numbers"] == json{0, 1, 2, 3});
  CHECK(contains(input["remarks"].dump(), "the model's BOS token 31"));
  CHECK(std::abs(document["loss"].get<double>() - 4.0634) < 1e-3);
  CHECK(contains(input["remarks"].dump(), "loss 4.063"));
  CHECK_FALSE(run_json(call("gemma3")).contains("loss"));

  const auto table = run(call("gemma3", {"--loss"})).output;
  CHECK(contains(table, "read 'inp_scaled' ... 'l_out-2' as [token][dim]"));
  CHECK(contains(table, "loss 4.063"));
  const auto csv = run(call("gemma3", {"--loss", "--format", "csv"}));
  CHECK(contains(csv.output, "layer,linearity_score"));
  CHECK(contains(csv.errors, "3 sequences of 40 tokens, the last of 20"));
  CHECK(contains(csv.errors, "; loss 4.063"));
  CHECK(contains(csv.errors, " nats a token, of 97 predictions"));
}

TEST_CASE("the first tokens of sequences can be left out") {
  const auto document = run_json(call("llama", {"--skip-first", "3"}));
  CHECK(document["tokens"] == 91);
  CHECK(document["input"]["tokens_left_out"] == 9);
  CHECK(contains(run(call("llama", {"--skip-first", "3", "--loss"})).output, "nats a token, of all 97 predictions"));
  // Sequences of 40, 40 and 20.
  check_layers(document, expected_of("llama", layerwise::token_mask::skip_first(100, 40, 3)), 1e-5);
  check_refused(call("llama", {"--skip-first", "40"}), "expected tokens to profile, got none of 100");
}

TEST_CASE("scores that moments can't give are taken from the states, which are made again") {
  // h_0 has equal rows for equal tokens: it is of less rank than it has dimensions.
  const auto document = run_json(call("qwen2"));
  const auto& first = document["layers"][0]["linearity"];
  CHECK(first["rank"] < 24);
  for (const auto& layer : document["layers"]) CHECK(layer["linearity"]["error_bound"] < 1e-8);
  CHECK(run_json(call("qwen2", {"--pairs-in-turn"}))["layers"] == document["layers"]);
}

TEST_CASE("more metrics, and all pairs of layers") {
  const auto document = run_json(call("qwen3", {"--metrics", "all", "--heat-map", "all", "--loss"}));
  CHECK(document["layers"].size() == 4);  // the embeddings, too
  for (const auto* name : {"anisotropy", "norm", "massive_activation", "mean_pairwise_cosine"})
    for (const auto& layer : document["layers"]) {
      CAPTURE(name);
      CHECK(layer[name].is_number());
    }
  for (const auto* name : {"intrinsic_dimension", "curvature"})  // h_0, which has equal rows, has none
    CHECK(document["layers"][3][name].is_number());
  for (const auto* name : {"linear_cka", "mutual_knn", "collapse_index"})
    CHECK(document["layers"][3][name].is_number());
  CHECK(document["layers"][0]["last_layer_linearity"].is_number());
  CHECK(document["angular_distances"].size() == 4);
  CHECK(document["linear_cka"][0][0] == 1.0);
  CHECK(document["loss"].is_number());

  // As of the dump.
  const auto stack = expected_states("qwen3");
  const layerwise::strided_view<const float> last(rows_of(stack, 3), 100, 24);
  CHECK(std::abs(document["layers"][3]["norm"].get<double>() - layerwise::norm_distribution(last).mean) < 1e-4);
}

TEST_CASE("metrics are the library's of transformers' states") {
  const auto document = run_json(call("qwen3", {"--metrics", "linear_cka,curvature"}));
  const auto stack = expected_states("qwen3");
  const auto state = [&](layerwise::index l) {
    return layerwise::strided_view<const float>(rows_of(stack, l), stack.tokens, stack.dimensions);
  };
  for (layerwise::index l = 1; l < stack.states; ++l) {
    CAPTURE(l);
    const auto& layer = document["layers"][static_cast<std::size_t>(l)];
    CHECK(std::abs(layer["linear_cka"].get<double>() - layerwise::linear_cka(state(l - 1), state(l))) < 1e-5);
    double curvature = 0;  // the mean of sequences of 40, 40 and 20 tokens
    for (const auto& [first, count] : {std::pair{0, 40}, {40, 40}, {80, 20}}) {
      const float* rows = rows_of(stack, l) + first * stack.dimensions;
      curvature += layerwise::curvature(layerwise::strided_view<const float>(rows, count, stack.dimensions), count) / 3;
    }
    CHECK(std::abs(layer["curvature"].get<double>() - curvature) < 1e-5);
  }
}

TEST_CASE("any number of threads") {
  auto two = call("qwen2");
  two.back() = "2";
  check_layers(run_json(two), expected_of("qwen2"), 1e-5);
}

TEST_CASE("mistakes") {
  check_refused({}, "model");
  check_refused({folder + "/text.txt", folder + "/text.txt"}, "text.txt: llama.cpp does not load it");
  check_refused(call("nothing"), "nothing.gguf: the model can't be read");
  check_refused(call("olmo2"), "'olmo2'");
  check_refused(call("plamo2"), "'plamo2'");
  check_refused(call("llama", {"--tokens", "5000"}), "--tokens");
  check_refused(call("llama", {"--no-such"}), "--no-such");
  check_refused(call("llama", {"--metrics", "nonsense"}), "nonsense");
  check_refused(call("llama", {"--micro-batch", "513"}), "--micro-batch");
  CHECK(contains(run({"--help"}).output, "MODEL.gguf"));
}

TEST_CASE("damaged models end the program with a message that names them") {
  const temporary_folder written;
  std::ifstream file(folder + "/models/llama.gguf", std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  const auto check_damaged = [&](const std::string& damaged, const std::string& why) {
    auto arguments = call("llama", {"--loss"});
    arguments.front() = written.write("damaged.gguf", std::as_bytes(std::span(damaged)));
    check_refused(arguments, "layerwise-llama: error: " + arguments.front() + ": " + why);
  };

  // The last number is one of the head's.
  auto damaged = bytes;
  const auto not_a_number = std::bit_cast<std::array<char, 4>>(std::numeric_limits<float>::quiet_NaN());
  std::ranges::copy(not_a_number, damaged.end() - 4);
  check_damaged(damaged, "expected a finite loss of token 1, got ");

  // The same token twice: llama.cpp asserts that there is none.
  damaged = bytes;
  const std::string k{"\1\0\0\0\0\0\0\0k", 9};
  REQUIRE(contains(damaged, k));
  damaged[damaged.find(k) + 8] = 'l';
  check_damaged(damaged, "llama.cpp gave up: ");
}

TEST_CASE("llama.cpp's log is not shown") {
  CHECK(run(call("llama", {"--format", "json", "--no-linearity"})).errors.empty());
  CHECK(contains(run(call("llama", {"--timing", "--method", "orthogonal"})).errors, " s in 2 runs, "));
}

}  // namespace examples::test
