// The decoder of examples/live_model, with the weights that come with it; tests/examples/pretraining.cpp
// compares it with libtorch.

#include "decoder.hpp"

#include "common/input_error.hpp"
#include "common/subprocess.hpp"

#include <layerwise/metrics.hpp>

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace live_model {
namespace {

const decoder& shipped() {
  static const decoder model(EXAMPLE_DATA "/byte_decoder.safetensors");
  return model;
}

std::string shipped_text() {
  std::ifstream file(EXAMPLE_DATA "/persuasion.txt", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<matrix> room_for(std::size_t tokens) {
  return std::vector<matrix>(static_cast<std::size_t>(shipped().layers()) + 1,
                             matrix::Zero(static_cast<index>(tokens), shipped().width()));
}

std::vector<matrix> states_of(std::string_view text) {
  std::vector<matrix> states = room_for(text.size());
  shipped().run(text, states);
  return states;
}

TEST_CASE("no state knows of a byte that is yet to come") {
  const std::string text = shipped_text().substr(1000, 100), changed = text.substr(0, 60) + std::string(40, 'x');
  const std::vector<matrix> a = states_of(text), b = states_of(changed);
  for (std::size_t l = 0; l < a.size(); ++l) {
    CHECK((a[l].topRows(60) - b[l].topRows(60)).norm() <= 1e-5f * a[l].norm());
    CHECK((a[l].bottomRows(40) - b[l].bottomRows(40)).norm() > 1e-2f * a[l].norm());
  }
}

TEST_CASE("states are written where they belong, and nowhere else") {
  const std::string text = shipped_text().substr(500, 30);
  const std::vector<matrix> alone = states_of(text);
  std::vector<matrix> states = room_for(50);
  shipped().run(text, states, 15);
  for (std::size_t l = 0; l < states.size(); ++l) {
    CHECK(states[l].middleRows(15, 30) == alone[l]);
    CHECK(states[l].topRows(15).isZero(0.0f));
    CHECK(states[l].bottomRows(5).isZero(0.0f));
  }
}

TEST_CASE("the model has learned to read: it is better than counting pairs of bytes") {
  const std::string text = shipped_text();
  // The best that a table of what follows each byte can do, even one of this very text.
  std::vector<double> pairs(256 * 256), firsts(256);
  for (std::size_t i = 0; i + 1 < text.size(); ++i) {
    const auto a = static_cast<unsigned char>(text[i]), b = static_cast<unsigned char>(text[i + 1]);
    ++pairs[256u * a + b], ++firsts[a];
  }
  double table = 0, model = 0, predicted = 0;
  for (std::size_t a = 0; a < 256; ++a)
    for (std::size_t b = 0; b < 256; ++b)
      if (const double count = pairs[256 * a + b]; count > 0) table -= count * std::log(count / firsts[a]);
  for (std::size_t first = 0; first + 128 <= text.size(); first += 128) {
    const std::string_view sequence = std::string_view(text).substr(first, 128);
    model += cross_entropy(shipped().logits(states_of(sequence).back()), sequence);
    predicted += 127;
  }
  CHECK(model / predicted < 0.75 * table / static_cast<double>(text.size() - 1));
}

TEST_CASE("cross entropy is that of the definition") {
  matrix logits = matrix::Zero(3, 256);
  logits.row(1) = Eigen::RowVectorXf::LinSpaced(256, -3.0f, 50.0f);
  const Eigen::ArrayXd second = logits.row(1).cast<double>().transpose().array();
  const double expected = std::log(256.0) + std::log((second - second[99]).exp().sum());
  CHECK(cross_entropy(logits, "abc") == doctest::Approx(expected).epsilon(1e-12));
}

TEST_CASE("the program prints the profile of the library, and says what is wrong with its files") {
  const auto result = examples::run_process({LIVE_MODEL_PROGRAM});
  REQUIRE(result);
  CAPTURE(result->errors);
  CHECK(result->status == 0);
  CHECK(result->output.find("8 layers, 15192 tokens, 96 dimensions") != std::string::npos);
  // The first layer's score, from the states that the decoder writes.
  const std::string text = shipped_text();
  std::vector<matrix> states = room_for(text.size());
  for (std::size_t first = 0; first < text.size(); first += 128)
    shipped().run(std::string_view(text).substr(first, 128), states, static_cast<index>(first));
  char score[16];
  std::snprintf(score, sizeof score, "%.4f", layerwise::linearity_score(states[1], states[2]));
  CHECK(result->output.find(score) != std::string::npos);

  for (const std::string file : {"/missing", EXAMPLE_DATA "/persuasion.txt"}) {
    const auto wrong = examples::run_process({LIVE_MODEL_PROGRAM, EXAMPLE_DATA "/persuasion.txt", file});
    REQUIRE(wrong);
    CHECK(wrong->status == 1);
    CHECK(wrong->errors.find(file) != std::string::npos);
  }
}

}  // namespace
}  // namespace live_model
