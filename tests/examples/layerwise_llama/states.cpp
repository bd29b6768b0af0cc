// What layerwise-llama sees of tiny models with random weights, against the states that transformers computes with the
// same weights: make_models.py has made both.

#include "model_states.hpp"

#include "common/input_error.hpp"
#include "examples/layerwise_llama/expected_states.hpp"
#include "examples/temporary_folder.hpp"
#include "measurement/added_metrics.hpp"
#include "measurement/measure.hpp"
#include "measurement/run.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace examples::layerwise_llama {
namespace {

using test::contains;

const std::string& folder = test::tiny_models;

std::string model_file(const std::string& name) { return folder + "/models/" + name + ".gguf"; }

/// 100 tokens in sequences of 40, 40 and 20.
text_options whole_text() { return {folder + "/text.txt", 100, 40}; }

const model_states::note silent = [](const std::string&) {};

run_options exact(index micro_batch = 16) { return {1, micro_batch, true}; }

/// [state][token * d + dim]
using all_states = std::vector<std::vector<float>>;

struct opened {
  language_model model;
  token_sequences sequences;
  model_run run;

  explicit opened(const std::string& name, run_options options = exact())
      : model(model_file(name)), sequences(read_sequences(model, whole_text())), run(model, sequences, options) {}

  all_states states(const std::vector<index>& wanted, next_token_loss* loss = nullptr) const {
    all_states result(wanted.size());
    index seen = 0;
    run.each_batch(
        wanted,
        [&](const model_run::states& batch, index first, index count) {
          CHECK(first == seen);
          seen += count;
          for (std::size_t i = 0; i < batch.size(); ++i) {
            const auto& rows = std::get<layerwise::strided_view<const float>>(batch[i]);
            result[i].insert(result[i].end(), rows.data(), rows.data() + rows.rows() * rows.cols());
          }
        },
        loss);
    CHECK(seen == 100);
    return result;
  }
  all_states states(next_token_loss* loss = nullptr) const {
    return states(measurement::states_from(0, run.stream().layers()), loss);
  }
};

/// The largest difference, in units of the root mean square of `expected`.
double difference(const std::vector<float>& states, const std::vector<float>& expected) {
  REQUIRE(states.size() == expected.size());
  double largest = 0, squares = 0;
  for (std::size_t i = 0; i < states.size(); ++i) {
    const double at = static_cast<double>(expected[i]);
    largest = std::max(largest, std::abs(static_cast<double>(states[i]) - at));
    squares += at * at;
  }
  return largest / std::sqrt(squares / static_cast<double>(states.size()));
}

double difference(const all_states& states, const all_states& expected) {
  REQUIRE(states.size() == expected.size());
  double largest = 0;
  for (std::size_t l = 0; l < states.size(); ++l) largest = std::max(largest, difference(states[l], expected[l]));
  return largest;
}

struct expected_of_model {
  all_states states;
  double loss;

  explicit expected_of_model(const std::string& name) {
    const auto stack = test::expected_states(name);
    for (index l = 0; l < stack.states; ++l) {
      const auto* rows = test::rows_of(stack, l);
      states.emplace_back(rows, rows + stack.tokens * stack.dimensions);
    }
    loss = std::stod(stack.files.front().metadata.at("loss"));
  }
};

struct tiny {
  std::string name, input;  // the node that is h_0
  double accuracy;          // llama.cpp has GELU from a table, in 16 bits: all of the difference is from there
};

const std::vector<tiny>& tiny_models() {
  static const std::vector<tiny> list{
      {"llama", "embd", 1e-5},   {"mistral", "embd", 1e-5},      {"qwen2", "embd", 1e-5}, {"qwen3", "embd", 1e-5},
      {"phi3", "embd", 1e-5},    {"gemma3", "inp_scaled", 2e-3}, {"phi2", "embd", 2e-3},  {"gpt2", "inpL", 2e-3},
      {"gptneox", "embd", 2e-3}, {"bloom", "inp_norm-0", 2e-3},
  };
  return list;
}

template <class Body>
std::string refusal(const Body& body) {
  try {
    body();
  } catch (const input_error& error) {
    return error.what();
  }
  FAIL("nothing was refused");
  return {};
}

}  // namespace

TEST_CASE("h_0 ... h_L and the loss are those of transformers") {
  for (const auto& [name, input, accuracy] : tiny_models()) {
    CAPTURE(name);
    const opened tiny(name);
    const expected_of_model expected(name);
    CHECK(tiny.run.stream().nodes == std::vector<std::string>{input, "l_out-0", "l_out-1", "l_out-2"});
    CHECK(tiny.run.stream().dimensions == 24);
    next_token_loss loss;
    CHECK(difference(tiny.states(&loss), expected.states) < accuracy);
    CHECK(loss.predictions() == 97);
    CHECK(std::abs(loss.mean() - expected.loss) < accuracy);
  }
}

TEST_CASE("micro-batches, and what else is looked at, change nothing") {
  for (const auto& [name, input, accuracy] : tiny_models()) {
    CAPTURE(name);
    const auto states = opened(name).states();
    for (const index micro_batch : {1, 7, 40, 512})
      CHECK(difference(opened(name, exact(micro_batch)).states(), states) < accuracy);

    // Of the graph no more is computed than is wanted.
    const opened tiny(name);
    for (const auto& wanted : std::vector<std::vector<index>>{{0}, {1}, {0, 1}, {0, 3}, {1, 2}, {3}}) {
      const auto some = tiny.states(wanted);
      for (std::size_t i = 0; i < wanted.size(); ++i) CHECK(some[i] == states[static_cast<std::size_t>(wanted[i])]);
    }
  }
}

TEST_CASE("keys and values in 16 bits are as near as that") {
  for (const auto& [name, input, accuracy] : tiny_models()) {
    CAPTURE(name);
    const auto far = difference(opened(name, {1, 16, false}).states(), expected_of_model(name).states);
    CHECK(far < 2e-2);
  }
}

TEST_CASE("whole states are kept while there is room, and made again") {
  const opened tiny("qwen2");
  const auto states = tiny.states();
  const auto check = [&](const dumps::whole_layer& layer, std::size_t state) {
    for (index row = 0; row < 100; ++row)
      for (index dim = 0; dim < 24; ++dim)
        REQUIRE(layer(row, dim) == static_cast<double>(states[state][static_cast<std::size_t>(row * 24 + dim)]));
  };
  for (const double kept_bytes : {0.0, 4.0 * 100 * 24 * 4, 1e9}) {
    std::vector<std::string> told;
    const auto tell = [&](const std::string& note) { told.push_back(note); };
    const model_states source(tiny.model, tiny.run, 0, nullptr, tell, kept_bytes);
    for (index l = 1; l <= 3; ++l) {
      const auto before = source.whole(l - 1, 3), after = source.whole(l, 3);
      check(before, static_cast<std::size_t>(l - 1));
      check(after, static_cast<std::size_t>(l));
    }
    for (index l = 0; l < 3; ++l) {
      const auto each = source.whole(l, l), last = source.whole(3, 3);
      check(each, static_cast<std::size_t>(l));
      check(last, 3);
    }
    if (kept_bytes > 1e6)
      CHECK(told.empty());
    else
      CHECK(told == std::vector<std::string>{
                        kept_bytes > 0 ? "h_0 ... h_3 are taken once more, 2 at a time: up to 2 further runs of "
                                         "the model"
                                       : "h_0 ... h_3 are taken once more, 1 at a time: up to 4 further runs of "
                                         "the model"});
  }
}

TEST_CASE("what is taken from whole states takes one run more") {
  const opened tiny("qwen2");
  const model_states source(tiny.model, tiny.run, 0, nullptr, silent);
  CHECK(measurement::measure(source, {.method = layerwise::solver::orthogonal}, false).layers.size() == 3);
  CHECK(tiny.run.runs() == 2);

  // Of each state and the last: the moments, those before the last, and the last.
  const auto is_to_last = [](const metrics::metric* each) { return each->name == "last_layer_linearity"; };
  const auto to_last = *std::ranges::find_if(measurement::known_metrics(), is_to_last);
  const model_states anew(tiny.model, tiny.run, 0, nullptr, silent);
  const auto moments = measurement::measure(anew, {.linearity = false}, false);
  const auto before = tiny.run.runs();
  measurement::added_metrics added(anew, {to_last}, {}, {.tolerance = 0});
  added.finish(moments, false);
  CHECK(tiny.run.runs() == before + 3);
}

namespace {

/// States of which none can be had whole.
class passing_states final : public measurement::state_source {
 public:
  explicit passing_states(const model_states& of) : state_source(of.stack()), of_(&of) {}
  void each_batch(const std::vector<index>& states, report::progress_bar& progress,
                  const measurement::batch_body& body) const override {
    of_->each_batch(states, progress, body);
  }
  dumps::whole_layer whole(index, index) const override { throw std::logic_error("asked for a whole state"); }
  std::optional<std::string> why_no_whole() const override { return "there is no room"; }

 private:
  const model_states* of_;
};

}  // namespace

TEST_CASE("without the memory for whole states scores keep their bounds, and what needs them is refused first") {
  const opened tiny("qwen2");
  const model_states all(tiny.model, tiny.run, 0, nullptr, silent);
  const passing_states source(all);
  measurement::options asked;
  asked.profile.tolerance = 0;  // of which nothing is
  const auto profile = measurement::measure(source, asked.profile, false);
  CHECK(measurement::layers_in_doubt(profile, asked.profile) == std::vector<index>{1, 2, 3});
  CHECK(profile.layers.front().linearity->error_bound < 1e-8);

  report::described_profile result;
  measurement::run("test", source, asked, {}).measure(result);
  CHECK(result.profile.layers.size() == 3);
  const auto runs = tiny.run.runs();
  const auto refused = [&] { return refusal([&] { measurement::run("test", source, asked, {}).measure(result); }); };
  asked.profile.method = layerwise::solver::orthogonal;
  CHECK(contains(refused(), "qwen2.gguf: scores by --method orthogonal need whole states, but there is no room: "));
  asked.profile.method = layerwise::solver::automatic;
  asked.more_metrics = measurement::known_metrics();
  CHECK(contains(refused(), "qwen2.gguf: some of --metrics need whole states, but there is no room: "));
  CHECK(tiny.run.runs() == runs);
}

TEST_CASE("what is thrown while a model runs arrives, and the model can be run again") {
  const opened tiny("llama");
  index batches = 0;
  const auto thrower = [&](const model_run::states&, index, index) {
    if (++batches == 3) throw std::runtime_error("enough");
  };
  CHECK_THROWS_WITH_AS(tiny.run.each_batch({0, 1}, thrower), "enough", std::runtime_error);
  CHECK(batches == 3);
  CHECK(difference(tiny.states(), expected_of_model("llama").states) < 1e-5);
}

TEST_CASE("tokens, and the sequences they are cut into") {
  const language_model with_bos(model_file("llama")), without(model_file("qwen2"));
  const auto text = without.tokenize("ab, z.\n");
  CHECK(text == std::vector<token>{0, 1, 27, 28, 25, 26, 29});
  CHECK(with_bos.before() == std::vector<token>{31});
  CHECK(without.before().empty());

  const auto cut = read_sequences(with_bos, whole_text());
  CHECK(cut.lengths == std::vector<index>{40, 40, 20});
  for (const index first : {0, 40, 80}) CHECK(cut.tokens[static_cast<std::size_t>(first)] == 31);
  CHECK(cut.tokens[1] == 2);  // "captain"
  CHECK(cut.tokens[41] == with_bos.tokenize("captain wentworth had no fortune. he had been")[39]);
  CHECK(contains(cut.remarks.front(),
                 "3 sequences of 40 tokens, the last of 20, each with the model's BOS token 31 first; 38 more"));
  const auto all = read_sequences(without, {folder + "/text.txt", {}, 64});
  CHECK(all.lengths == std::vector<index>{64, 64, 7});
  CHECK(contains(all.remarks.front(), "without a BOS token"));
  CHECK_FALSE(contains(all.remarks.front(), "not read"));
  CHECK(read_sequences(without, {folder + "/text.txt", {}, {}}).lengths == all.lengths);  // its context is 64
  CHECK(contains(read_sequences(with_bos, {folder + "/text.txt", 2, {}}).remarks.front(),
                 "1 sequence of 2 tokens, with the model's BOS token 31 first; 134 more"));
}

TEST_CASE("what can't be run is refused, with what was expected and what came") {
  const language_model model(model_file("llama"));
  const auto text = folder + "/text.txt";
  const auto of_text = [&](const text_options& options) { return refusal([&] { read_sequences(model, options); }); };
  CHECK(contains(of_text({text, 1000, 40}), "text.txt: expected --tokens 1000 of the text, got 139"));
  CHECK(contains(of_text({text, {}, 65}),
                 "llama.gguf: expected --sequence-length 64 at most, the model's context, got 65"));
  CHECK(contains(of_text({text, {}, 1}), "--sequence-length 1 has no room for text beside 1 special tokens"));
  CHECK(contains(of_text({folder + "/no.txt", {}, 40}), "no.txt: the text can't be read: No such file or directory"));
  CHECK(contains(of_text({folder, {}, 40}), "the text can't be read: is a directory"));
  const test::temporary_folder written;
  CHECK(contains(of_text({written.write("empty.txt", {}), {}, 40}), "expected at least 2 tokens, got 0"));
  const auto of_bytes = [&](std::string_view bytes) {
    return of_text({written.write("bytes.txt", std::as_bytes(std::span(bytes))), {}, 40});
  };
  CHECK(contains(of_bytes("caf\xe9 au lait"), "bytes.txt: expected UTF-8, got byte 0xe9 at byte 3"));
  CHECK(contains(of_bytes("hello \xf4\x90\x80\x80"), "bytes.txt: expected UTF-8, got byte 0xf4 at byte 6"));
  CHECK(contains(of_bytes("\xce\xb1\xce"), "bytes.txt: expected UTF-8, got byte 0xce at byte 2"));

  const auto of_model = [&](const std::string& path) { return refusal([&] { language_model{path}; }); };
  CHECK(contains(of_model(folder + "/no.gguf"), "no.gguf: the model can't be read: No such file or directory"));
  CHECK(contains(of_model(folder), "the model can't be read: is a directory"));
  CHECK(contains(of_model(text), "text.txt: llama.cpp does not load it: "));
  std::ifstream file(model_file("llama"), std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  const auto half = written.write("half.gguf", std::as_bytes(std::span(bytes).first(bytes.size() / 2)));
  CHECK(contains(of_model(half), "half.gguf: llama.cpp does not load it: "));
}

TEST_CASE("a graph that does not tell its residual stream is refused by name") {
  CHECK(contains(
      refusal([] { opened{"plamo2"}; }),
      "plamo2.gguf: the graph of 'plamo2' names no residual stream: expected nodes l_out-0, l_out-1 ..., got none"));
  CHECK(contains(refusal([] { opened{"olmo2"}; }), "olmo2.gguf: the graph of 'olmo2' does not tell h_0"));
  CHECK(contains(refusal([] { opened{"bert"}; }), "bert.gguf: 'bert' keeps no memory of a text"));
}

namespace {

/// A model's graph as a scheduler shows it where block 0 is on another device than the embeddings: its nodes are given a
/// copy of them, which nobody is shown.
struct split_graph {
  graph_scout scout;
  const ggml_tensor* embeddings = nullptr;
  ggml_tensor copy{};

  static bool callback(ggml_tensor* node, bool, void* self) {
    auto& split = *static_cast<split_graph*>(self);
    if (std::string_view(node->name) == "embd") split.embeddings = node;
    ggml_tensor shown = *node;
    for (auto& operand : shown.src)
      if (operand != nullptr && operand == split.embeddings) operand = &split.copy;
    split.see(*node, shown);
    return false;
  }
  /// What stands at the node's address is what the scout is to see.
  void see(ggml_tensor& node, const ggml_tensor& shown) {
    const auto whole = std::exchange(node, shown);
    scout.see(node);
    node = whole;
  }
};

}  // namespace

TEST_CASE("h_0 is not taken from within a block where the way back to its beginning is broken off") {
  const language_model model(model_file("llama"));
  split_graph split;
  auto params = llama_context_default_params();
  params.n_ctx = params.n_batch = params.n_ubatch = 16;
  params.cb_eval = split_graph::callback;
  params.cb_eval_user_data = &split;
  const std::unique_ptr<llama_context, decltype(&llama_free)> context(llama_init_from_model(model.get(), params),
                                                                      llama_free);
  std::vector<token> tokens{3, 4, 5, 6};
  REQUIRE(llama_decode(context.get(), llama_batch_get_one(tokens.data(), 4)) == 0);
  const auto why = refusal([&] { split.scout.stream(model, 4); });
  CHECK(contains(why, "llama.gguf: the graph of 'llama' does not tell h_0: 'ffn_inp-0' would be, but "));
  CHECK(contains(why, "-0' of block 0 comes before it"));
}

TEST_CASE("the loss of next tokens") {
  const std::vector<float> logits{0.0f, std::log(3.0f), 800.0f};
  next_token_loss loss;
  const double nats = loss.add(logits.data(), 2, 1);
  CHECK(nats == loss.mean());
  CHECK(loss.mean() == doctest::Approx(std::log(4.0 / 3.0)).epsilon(1e-7));
  loss.add(logits.data(), 3, 2);  // none that overflows
  CHECK(loss.mean() == doctest::Approx(std::log(4.0 / 3.0) / 2).epsilon(1e-7));
}

}  // namespace examples::layerwise_llama
