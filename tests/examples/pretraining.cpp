// The parts of examples/pretraining, and a model small enough to be trained in a second.

#include "claims.hpp"
#include "common/input_error.hpp"
#include "corpus.hpp"
#include "decoder.hpp"
#include "dumps/safetensors.hpp"
#include "dumps/tensor_file.hpp"
#include "measure.hpp"
#include "model.hpp"
#include "penalty.hpp"
#include "replacement.hpp"
#include "report.hpp"
#include "run_log.hpp"
#include "shards.hpp"
#include "statistics.hpp"
#include "training.hpp"
#include "weights.hpp"

#include <doctest/doctest.h>

#include <ATen/ATen.h>
#include <torch/autograd.h>
#include <torch/utils.h>

#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include <unistd.h>

namespace pretraining {
namespace {

constexpr model_shape tiny{.layers = 3, .width = 16, .heads = 2, .hidden = 24};

/// A folder that is gone at the end of a test.
struct scratch_folder {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("pretraining-test-" + std::to_string(::getpid()));
  scratch_folder() { std::filesystem::create_directories(path); }
  ~scratch_folder() { std::filesystem::remove_all(path); }

  std::string write(const std::string& name, const std::string& content) const {
    std::ofstream(path / name, std::ios::binary) << content;
    return path / name;
  }
};

std::string sample_text(int repetitions) {
  std::string text;
  for (int i = 0; i < repetitions; ++i) text += "line " + std::to_string(i * i) + " of a text to learn from;\n";
  return text;
}

std::shared_ptr<decoder> make_model(std::uint64_t seed = 1) {
  torch::manual_seed(seed);
  return std::make_shared<decoder>(tiny);
}

struct outcome {
  std::vector<double> numbers;
  std::shared_ptr<decoder> model;
};

outcome train_briefly(const corpus& text, const training_options& options) {
  use_one_thread_per_operation();
  outcome out{{}, make_model()};
  train(*out.model, text, options, [&](std::int64_t step, const step_means& means) {
    measurement m = measure(*out.model, text, {.sequences = 8, .profiled_sequences = 4, .length = 32, .threads = 2});
    out.numbers.push_back(static_cast<double>(step));
    out.numbers.push_back(m.held_out_loss);
    out.numbers.push_back(means.loss.value_or(0));
    out.numbers.push_back(means.penalty.value_or(0));
    for (const auto& layer : m.layers) out.numbers.push_back(score_of(layer.residual_linearity).value_or(-1));
  });
  return out;
}

TEST_CASE("training twice gives the same numbers, and learns") {
  const scratch_folder folder;
  const corpus text(folder.write("text", sample_text(200)));
  for (const auto kind : {regularizer_kind::none, regularizer_kind::cosine, regularizer_kind::jreg}) {
    training_options options{.steps = 20, .batch_size = 4, .length = 32, .learning_rate = 1e-2, .warm_up = 5};
    options.penalty.kind = kind;
    options.penalty.lambda = kind == regularizer_kind::none ? 0 : 0.5;
    const outcome once = train_briefly(text, options), again = train_briefly(text, options);
    CHECK(once.numbers == again.numbers);
    const auto last = once.numbers.size() - 4 - static_cast<std::size_t>(tiny.layers);
    CHECK(once.numbers[last] == 20);
    CHECK(once.numbers[last + 1] < once.numbers[1] - 1);
    CHECK((once.numbers[last + 3] > 0) == (kind != regularizer_kind::none));
    options.seed = 2;
    CHECK(train_briefly(text, options).numbers != once.numbers);
  }
}

TEST_CASE("the model sees no byte that is yet to come, and its positions by their distance") {
  const auto model = make_model();
  const at::NoGradGuard no_gradients;
  const at::Tensor ids = at::randint(256, {2, 12}, at::kLong);
  at::Tensor changed = ids.clone();
  changed.slice(1, 8).fill_(7);
  const model_output a = model->forward(ids), b = model->forward(changed);
  REQUIRE(a.states.size() == 4);
  CHECK(a.logits.sizes() == at::IntArrayRef({2, 12, 256}));
  CHECK(at::allclose(a.logits.slice(1, 0, 8), b.logits.slice(1, 0, 8), 0, 1e-6));
  CHECK_FALSE(at::allclose(a.logits.slice(1, 8), b.logits.slice(1, 8), 0, 1e-6));
  // One byte repeated: every position sees the same values, wherever it is.
  const model_output same = model->forward(at::full({1, 6}, 65, at::kLong));
  CHECK(at::allclose(same.logits[0][0], same.logits[0][5], 0, 1e-5));
}

TEST_CASE("a layer that is affine is replaced by its fitted map without a trace") {
  const scratch_folder folder;
  const corpus text(folder.write("text", sample_text(400)));
  use_one_thread_per_operation();
  const auto model = make_model();
  const at::NoGradGuard no_gradients;
  // Layer 2 adds nothing: the identity.
  auto parameters = model->named_parameters();
  parameters["layers_1_attention_output"].zero_();
  parameters["layers_1_feed_down"].zero_();
  // And the others a lot, so that their maps cannot be exact.
  for (const char* name :
       {"layers_0_feed_down", "layers_0_feed_gate_up", "layers_2_feed_down", "layers_2_feed_gate_up"})
    parameters[name].mul_(30);
  const replacement_record record =
      replace_layers(*model, text, text, {.sequences = 32, .profiled_sequences = 8, .length = 32, .threads = 2});
  REQUIRE(record.layers.size() == 3);
  CHECK_FALSE(record.layers[1].metrics.residual_linearity);
  CHECK(record.layers[1].metrics.linearity->score == doctest::Approx(1).epsilon(1e-12));
  CHECK(record.layers[1].held_out_loss == doctest::Approx(record.held_out_loss).epsilon(1e-6));
  CHECK(std::abs(record.layers[0].held_out_loss - record.held_out_loss) > 1e-4);
  CHECK(record.layers[0].metrics.linearity->score < 0.999);
}

TEST_CASE("the penalty is what its options say") {
  std::vector<at::Tensor> states;
  torch::manual_seed(3);
  for (int l = 0; l < 5; ++l) states.push_back(at::randn({2, 6, 8}).requires_grad_());
  const auto turn = [&](std::size_t l) {
    return (1 - at::cosine_similarity(states[l - 1], states[l], -1)).mean().item<double>();
  };
  penalty_options o{.kind = regularizer_kind::cosine, .lambda = 2};
  CHECK(penalize(o, 1, states).item<double>() == doctest::Approx(2 * (turn(1) + turn(2) + turn(3) + turn(4))));
  CHECK(penalize(o, 0.25, states).item<double>() == doctest::Approx(0.5 * (turn(1) + turn(2) + turn(3) + turn(4))));
  o.layers = {.first = 2, .last = 3};
  CHECK(penalize(o, 1, states).item<double>() == doctest::Approx(2 * (turn(2) + turn(3))));
  o.layers.last = 5;
  CHECK_THROWS_AS(penalize(o, 1, states), layerwise::option_error);

  // With a stop-gradient the value stays, and the first state of each pair gets no gradient.
  for (const double alpha : {0.0, 1.5, std::numeric_limits<double>::infinity()}) {
    penalty_options jreg{.kind = regularizer_kind::jreg, .lambda = 3, .alpha = alpha};
    const double value = penalize(jreg, 1, states).item<double>();
    jreg.stop_gradient = true;
    const at::Tensor stopped = penalize(jreg, 1, states);
    CHECK(stopped.item<double>() == doctest::Approx(value).epsilon(1e-6));
    const auto gradients = torch::autograd::grad({stopped}, states);
    CHECK(gradients[0].abs().max().item<double>() == 0);
    CHECK(gradients[4].abs().max().item<double>() > 0);
  }
}

TEST_CASE("weights come back: all bits from a checkpoint, 16 from a .safetensors file") {
  const scratch_folder folder;
  const auto model = make_model();
  const std::string checkpoint = folder.path / "model.pt", exported = folder.path / "model.safetensors";
  save_checkpoint(*model, checkpoint);
  const auto loaded = load_checkpoint(checkpoint);
  CHECK(loaded->shape() == tiny);
  const at::Tensor ids = at::randint(256, {1, 9}, at::kLong);
  CHECK(loaded->forward(ids).logits.equal(model->forward(ids).logits));
  CHECK_THROWS_AS(load_checkpoint(folder.write("no.pt", "text")), examples::input_error);

  write_safetensors(*model, exported, {{"label", "none"}});
  const auto file = examples::dumps::open_tensor_file(exported);
  CHECK(file.metadata.at("width") == "16");
  CHECK(file.metadata.at("label") == "none");
  CHECK(file.tensors.size() == 2 + 9 * 3);
  const auto tensor = std::find_if(file.tensors.begin(), file.tensors.end(),
                                   [](const auto& t) { return t.name == "layers.2.attention.k"; });
  REQUIRE(tensor != file.tensors.end());
  CHECK(tensor->shape == std::vector<examples::dumps::index>{16, 16});
  const at::Tensor want =
      model->named_parameters()["layers_2_attention_qkv"].slice(0, 16, 32).to(at::kHalf).contiguous();
  CHECK(std::memcmp(tensor->bytes.data(), want.data_ptr(), tensor->bytes.size()) == 0);
}

TEST_CASE("a run is read back as it was written") {
  const scratch_folder folder;
  const run_record run{
      .label = "jreg, α = ∞", .purpose = "pretraining", .seed = 3, .settings = {{"steps", "20"}}, .measurements = {}};
  measurement m{.step = 5, .train_loss = 1.5, .penalty = std::nullopt, .held_out_loss = 2.25, .layers = {}};
  auto& layer = m.layers.emplace_back();
  auto& linearity = layer.linearity.emplace();
  linearity.score = 0.5;
  linearity.tokens = 7;
  linearity.underdetermined = true;
  linearity.method = layerwise::solver::cholesky;
  layer.displacement = 0.125;
  layer.cosine_similarity = 0.75;
  layer.outlier_share = 0.1;
  layer.outlier_dimension = 3;
  const run_record back = read_run(folder.write("run.jsonl", first_line(run) + line_of(m)));
  CHECK(back.label == run.label);
  CHECK(back.seed == 3);
  CHECK(back.settings == run.settings);
  REQUIRE(back.measurements.size() == 1);
  CHECK(line_of(back.measurements[0]) == line_of(m));
  CHECK(back.measurements[0].layers[0].linearity->method == layerwise::solver::cholesky);
  CHECK_FALSE(back.measurements[0].layers[0].residual_linearity);
  std::string unknown = line_of(m);
  unknown.replace(unknown.find("cholesky"), 8, "guesses!");
  CHECK_THROWS_AS(read_run(folder.write("word.jsonl", first_line(run) + unknown)), examples::input_error);
  CHECK_THROWS_AS(read_run(folder.write("bad.jsonl", "{}\n")), examples::input_error);
  CHECK_THROWS_AS(read_run(folder.write("cut.jsonl", first_line(run) + "{\"step\": 1")), examples::input_error);
  CHECK_THROWS_AS(read_run(folder.write("empty.jsonl", first_line(run))), examples::input_error);
}

TEST_CASE("Student's quantiles are those of the tables; the interval follows") {
  const std::array<std::pair<std::size_t, double>, 7> table{{{1, 12.7062047},
                                                             {2, 4.3026527},
                                                             {3, 3.1824463},
                                                             {4, 2.7764451},
                                                             {10, 2.2281389},
                                                             {30, 2.0422725},
                                                             {1000, 1.9623391}}};
  for (const auto& [freedom, quantile] : table)
    CHECK(student_quantile(freedom) == doctest::Approx(quantile).epsilon(1e-7));
  CHECK_THROWS_AS(student_quantile(0), std::invalid_argument);

  const std::array values{1.0, 2.0, 3.0};
  const interval i = interval_of(values);
  CHECK(i.mean == doctest::Approx(2));
  CHECK(*i.half_width == doctest::Approx(4.3026527 / std::sqrt(3)));
  CHECK(judge(i) == verdict::unclear);
  CHECK(judge({.mean = 2, .half_width = 1.9, .count = 3}) == verdict::reproduced);
  CHECK(judge({.mean = -2, .half_width = 1.9, .count = 3}) == verdict::not_reproduced);
  CHECK(judge(interval_of(std::array{5.0})) == verdict::unclear);
  CHECK_THROWS_AS(interval_of({}), std::invalid_argument);
}

/// A run of three layers whose final jump grows from 0 to `jump`.
run_record make_run(const std::string& label, std::uint64_t seed, double jump) {
  const auto at = [&](std::int64_t step, double end) {
    measurement m{.step = step,
                  .train_loss = {},
                  .penalty = {},
                  .held_out_loss = 1 + 0.1 * static_cast<double>(seed),
                  .layers = {}};
    for (const double displacement : {0.1, 0.1, 0.1 + end / 100}) {
      auto& layer = m.layers.emplace_back();
      layer.linearity.emplace().score = 0.9;
      layer.residual_linearity.emplace().score = 0.5;
      layer.displacement = displacement;
      layer.cosine_similarity = 0.8;
      layer.jump_rate = end;
    }
    return m;
  };
  return {.label = label,
          .purpose = "pretraining",
          .seed = seed,
          .settings = {{"steps", "10"}, {"threads", std::to_string(seed)}},
          .measurements = {at(0, 0), at(10, jump)}};
}

/// DIR/<name>/run.jsonl
void write_run(const scratch_folder& folder, const std::string& name, const run_record& run) {
  std::filesystem::create_directories(folder.path / name);
  std::string text = first_line(run);
  for (const measurement& m : run.measurements) text += line_of(m);
  folder.write(name + "/run.jsonl", text);
}

TEST_CASE("the report: claims with verdicts, pictures, settings; runs that don't compare are refused") {
  const scratch_folder folder;
  const auto message_of = [&] {
    try {
      write_report(folder.path);
    } catch (const examples::input_error& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  CHECK(message_of().find("expected runs (*/run.jsonl), got none") != std::string::npos);

  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const std::string suffix = "-" + std::to_string(seed);
    write_run(folder, "none" + suffix, make_run("none", seed, 4 + 0.1 * static_cast<double>(seed)));
    write_run(folder, "jreg" + suffix, make_run("jreg, λ = 1", seed, 1));
  }
  write_report(folder.path);
  std::string text;
  std::getline(std::ifstream(folder.path / "report.md"), text, '\0');
  // 3.2 +- 4.3026527 * 0.1 / sqrt(3)
  CHECK(text.find("| 5 | the final jump is lower | jreg, λ = 1 | 3.20 ± 0.25 points | 3 | reproduced |") !=
        std::string::npos);
  CHECK(text.find("| pretraining | none | 3 | 1.2000 ± 0.2484 | 0.900 ± 0.000 |") != std::string::npos);
  CHECK(text.find("- pretraining: steps 10, threads 1 or 2 or 3\n") != std::string::npos);
  int pictures = 0;
  for (std::size_t at = text.find("]("); at != std::string::npos; at = text.find("](", at + 1), ++pictures)
    CHECK(std::filesystem::file_size(folder.path / text.substr(at + 2, text.find(')', at) - at - 2)) > 1000);
  CHECK(pictures == 4);

  write_run(folder, "twice", make_run("none", 2, 4));
  CHECK(message_of().find("twice/run.jsonl: expected one run of none (pretraining) with seed 2, got two") !=
        std::string::npos);
  run_record longer = make_run("none", 4, 4);
  longer.settings["batch"] = "9 x 9";
  write_run(folder, "twice", longer);
  CHECK(message_of().find("expected batch nothing, as the other runs of purpose pretraining have, got 9 x 9") !=
        std::string::npos);
  longer.settings.erase("batch");
  longer.settings["from"] = "model.pt";
  write_run(folder, "twice", longer);
  CHECK(message_of().find("expected from nothing, as the other runs of purpose pretraining have, got a "
                          "checkpoint") != std::string::npos);
  longer.settings.erase("from");
  longer.settings["steps"] = "20";
  write_run(folder, "twice", longer);
  CHECK(message_of().find("twice/run.jsonl: expected steps 10, as the other runs of purpose pretraining "
                          "have, got 20: see --purpose") != std::string::npos);
}

TEST_CASE("a report of what has finished, whatever it is") {
  const scratch_folder folder;
  run_record tuned = make_run("none", 1, 4);
  tuned.purpose = "fine-tuning";
  write_run(folder, "fine-tuned", tuned);
  write_report(folder.path);
  CHECK_FALSE(std::filesystem::exists(folder.path / "loss.svg"));
  write_run(folder, "jreg", make_run("jreg, λ = 1", 1, 1));
  write_report(folder.path);
  CHECK(std::filesystem::exists(folder.path / "loss.svg"));
}

TEST_CASE("claims pair the seeds, and are left out where there is nothing to judge") {
  const results all{.runs = {make_run("none", 1, 4), make_run("none", 2, 5), make_run("jreg, λ = 1", 1, 3),
                             make_run("jreg, λ = 1", 2, 3), make_run("jreg, λ = 1", 3, 9)},
                    .replacements = {}};
  const auto claims = judge_claims(all);
  const auto find = [&](int number, const std::string& model) {
    const auto found = std::find_if(claims.begin(), claims.end(),
                                    [&](const claim& c) { return c.number == number && c.model == model; });
    REQUIRE(found != claims.end());
    return found->claimed_positive;
  };
  CHECK(find(3, "none").mean == doctest::Approx(4.5));
  CHECK(find(5, "jreg, λ = 1").mean == doctest::Approx(1.5));  // seed 3 has nothing to be compared with
  CHECK(find(5, "jreg, λ = 1").count == 2);
  const auto displacement = std::find_if(claims.begin(), claims.end(), [](const claim& c) {
    return c.text == "the last layer's displacement is lower" && c.model == "jreg, λ = 1";
  });
  REQUIRE(displacement != claims.end());
  CHECK(displacement->claimed_positive.mean == doctest::Approx(1.5));
  CHECK(find(7, "jreg, λ = 1").mean == doctest::Approx(0));
  for (const claim& c : claims) CHECK((c.number != 4 && c.number != 6 && c.number != 8));
}

TEST_CASE("steps to measure at: the first and the last, denser early") {
  CHECK(measured_steps(0) == std::vector<std::int64_t>{0});
  CHECK(measured_steps(2) == std::vector<std::int64_t>{0, 1, 2});
  const auto steps = measured_steps(1500);
  CHECK(steps.front() == 0);
  CHECK(steps.back() == 1500);
  CHECK(steps.size() >= 12);
  for (std::size_t i = 2; i < steps.size(); ++i) CHECK(steps[i] - steps[i - 1] >= steps[i - 1] - steps[i - 2]);
}

TEST_CASE("options without meaning are refused") {
  const scratch_folder folder;
  const corpus text(folder.write("text", sample_text(50))), short_text(folder.write("short", "short"));
  const auto attempt = [&](const corpus& on, training_options options) {
    train(*make_model(), on, options, [](std::int64_t, const step_means&) {});
  };
  CHECK_THROWS_AS(attempt(text, {.batch_size = 3, .threads = 2}), std::invalid_argument);
  CHECK_THROWS_AS(attempt(text, {.learning_rate = -1}), std::invalid_argument);
  CHECK_THROWS_AS(attempt(short_text, {}), examples::input_error);
  CHECK_THROWS_AS(corpus(folder.path / "nothing"), examples::input_error);
  CHECK_THROWS_AS(decoder({.layers = 1, .width = 10, .heads = 2, .hidden = 4}), std::invalid_argument);
}

/// The weights of a file as the Eigen decoder reads them, in libtorch's model.
std::shared_ptr<decoder> load_safetensors(const std::string& path, const model_shape& shape) {
  const examples::dumps::tensor_file file = examples::dumps::open_tensor_file(path);
  const auto tensor = [&](const std::string& name) {
    for (const examples::dumps::tensor& t : file.tensors)
      if (t.name == name)
        return at::from_blob(const_cast<std::byte*>(t.bytes.data()),
                             std::vector<std::int64_t>(t.shape.begin(), t.shape.end()), at::kHalf)
            .to(at::kFloat);
    throw std::runtime_error("no tensor " + name);
  };
  auto model = std::make_shared<decoder>(shape);
  const at::NoGradGuard no_gradients;
  auto parameters = model->named_parameters();
  parameters["embedding"].copy_(tensor("embedding"));
  parameters["final_norm"].copy_(tensor("norm"));
  for (std::int64_t l = 0; l < shape.layers; ++l) {
    const auto of = [&](const char* name) { return tensor("layers." + std::to_string(l) + "." + name); };
    const auto to = [&](const char* name) { return parameters["layers_" + std::to_string(l) + "_" + name]; };
    to("attention_norm").copy_(of("attention.norm"));
    to("attention_qkv").copy_(at::cat({of("attention.q"), of("attention.k"), of("attention.v")}));
    to("attention_output").copy_(of("attention.output"));
    to("feed_norm").copy_(of("feed_forward.norm"));
    to("feed_gate_up").copy_(at::cat({of("feed_forward.gate"), of("feed_forward.up")}));
    to("feed_down").copy_(of("feed_forward.down"));
  }
  return model;
}

void check_same_model(const std::string& path, const model_shape& shape, const std::string& text) {
  const at::NoGradGuard no_gradients;
  const auto reference = load_safetensors(path, shape);
  at::Tensor ids = at::empty({1, static_cast<std::int64_t>(text.size())}, at::kLong);
  for (std::size_t i = 0; i < text.size(); ++i) ids.data_ptr<std::int64_t>()[i] = static_cast<unsigned char>(text[i]);
  const model_output expected = reference->forward(ids);

  const live_model::decoder model(path);
  REQUIRE(model.layers() == shape.layers);
  REQUIRE(model.width() == shape.width);
  const auto tokens = static_cast<live_model::index>(text.size());
  std::vector<live_model::matrix> states(static_cast<std::size_t>(shape.layers) + 1,
                                         live_model::matrix(tokens, model.width()));
  model.run(text, states);
  const auto check = [](const live_model::matrix& found, const at::Tensor& values) {
    const at::Tensor flat = values.contiguous();
    const Eigen::Map<const live_model::matrix> exact(flat.data_ptr<float>(), found.rows(), found.cols());
    CHECK((found - exact).cwiseAbs().maxCoeff() < 1e-4f * std::max(1.0f, exact.cwiseAbs().maxCoeff()));
  };
  for (std::size_t l = 0; l < states.size(); ++l) check(states[l], expected.states[l]);
  check(model.logits(states.back()), expected.logits);
}

TEST_CASE("the Eigen decoder of examples/live_model has libtorch's states and logits") {
  const scratch_folder folder;
  const auto model = make_model();
  {
    const at::NoGradGuard no_gradients;
    for (at::Tensor& p : model->parameters()) p.mul_(p.dim() > 1 ? 20 : 1).add_(at::randn_like(p) * 0.05);
  }
  write_safetensors(*model, folder.path / "random.safetensors");
  check_same_model(folder.path / "random.safetensors", tiny, sample_text(3));

  std::string text(128, ' ');
  std::ifstream(EXAMPLE_DATA "/persuasion.txt").read(text.data(), 128);
  check_same_model(EXAMPLE_DATA "/byte_decoder.safetensors", {}, text);
}

}  // namespace
}  // namespace pretraining
