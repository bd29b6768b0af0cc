// What layerwise-llama sees of tiny models with random weights, against the states that transformers computes with the
// same weights: make_models.py has made both.

#include "model_states.hpp"

#include "common/input_error.hpp"
#include "examples/layerwise_llama/expected_states.hpp"
#include "examples/temporary_folder.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace examples::layerwise_llama {
namespace {

using test::contains;

const std::string& folder = test::tiny_models;

std::string model_file(const std::string& name) { return folder + "/models/" + name + ".gguf"; }

/// 100 tokens in sequences of 40, 40 and 20.
text_options whole_text() { return {folder + "/text.txt", 100, 40}; }

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
    const model_states source(tiny.model, tiny.run, 0, nullptr, kept_bytes);
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
  }
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
                 "3 sequences of 40 tokens, the last of 20, each with the model's BOS token 31 first; 39 more"));
  const auto all = read_sequences(without, {folder + "/text.txt", {}, 64});
  CHECK(all.lengths == std::vector<index>{64, 64, 7});
  CHECK(contains(all.remarks.front(), "without a BOS token"));
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

TEST_CASE("the loss of next tokens") {
  const std::vector<float> logits{0.0f, std::log(3.0f), 800.0f};
  next_token_loss loss;
  loss.add(logits.data(), 2, 1);
  CHECK(loss.mean() == doctest::Approx(std::log(4.0 / 3.0)).epsilon(1e-7));
  loss.add(logits.data(), 3, 2);  // none that overflows
  CHECK(loss.mean() == doctest::Approx(std::log(4.0 / 3.0) / 2).epsilon(1e-7));
}

}  // namespace examples::layerwise_llama
