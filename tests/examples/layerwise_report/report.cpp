// layerwise-report: what it takes for a profile, its text, and the built program.

#include "layerwise_report/profile_file.hpp"
#include "layerwise_report/side_by_side.hpp"

#include "common/input_error.hpp"
#include "common/subprocess.hpp"
#include "examples/run_program.hpp"
#include "examples/temporary_folder.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace examples::layerwise_report {
namespace {

using json = nlohmann::ordered_json;
using test::contains;
using test::run;
using test::temporary_folder;

/// Two layers and the embeddings; whatever may be null is, somewhere.
json sample_profile() {
  return json::parse(R"({
    "title": "a model", "files": ["a.npy"], "tokens": 300, "dimensions": 4, "dtype": "F32",
    "final_norm": "before", "centering": "columns",
    "input": {"tensors": ["h"], "axes": "[layer][token][dim]", "axes_because": "as --layout says", "order_because": null,
              "state_numbers": [0, 1, 2], "mask": null, "tokens_left_out": 0, "not_read": [], "remarks": [],
              "assumed": false},
    "layers": [
      {"layer": 0, "linearity": null, "residual_linearity": null, "displacement": null, "jump_rate": null,
       "angular_distance": null, "contribution_ratio": null, "outlier_share": null, "anisotropy": 0.5},
      {"layer": 1, "displacement": 0.25, "jump_rate": null, "angular_distance": 0.125, "contribution_ratio": 0.75,
       "outlier_share": 0.5, "anisotropy": 0.5, "residual_linearity": null,
       "linearity": {"score": 0.875, "adjusted_score": 0.5, "chance_floor": 0.0625, "error_bound": 1e-12,
                     "underdetermined": false, "method": "cholesky"}},
      {"layer": 2, "linearity": null, "residual_linearity": null, "displacement": 0.5, "jump_rate": 25.0,
       "angular_distance": 0.125, "contribution_ratio": 0.75, "outlier_share": null, "anisotropy": null}],
    "angular_distances": [[0, 0.5, null], [0.5, 0, 0.25], [null, 0.25, 0]]})");
}

/// The refusal of a profile that `damage` was done to.
template <class Damage>
std::string refusal(const Damage& damage) {
  auto profile = sample_profile();
  damage(profile);
  try {
    parse_profile("a.json", profile.dump());
  } catch (const input_error& error) {
    return error.what();
  }
  return "taken";
}

std::string refusal_of_text(const std::string& text) {
  try {
    parse_profile("a.json", text);
  } catch (const input_error& error) {
    return error.what();
  }
  return "taken";
}

std::string write(const temporary_folder& folder, const std::string& name, const std::string& text) {
  return folder.write(name, std::as_bytes(std::span(text)));
}

}  // namespace

TEST_CASE("a profile is taken as it is, with what is not known") {
  auto profile = sample_profile();
  profile["layers"][1]["a_metric_to_come"] = 3;
  profile["something else"] = {1, 2};
  CHECK(parse_profile("a.json", profile.dump()) == profile);
}

TEST_CASE("what is no profile is refused with file and field") {
  CHECK(refusal([](json&) {}) == "taken");
  CHECK(refusal([](json& p) { p["layers"][1]["displacement"] = "x"; }) ==
        "a.json: layers[1].displacement: expected a number or null, got \"x\"");
  CHECK(refusal([](json& p) { p["layers"][1].erase("jump_rate"); }) ==
        "a.json: layers[1].jump_rate: expected this field, got none");
  CHECK(refusal([](json& p) { p["layers"][1]["linearity"]["underdetermined"] = 0; }) ==
        "a.json: layers[1].linearity.underdetermined: expected true or false, got 0");
  CHECK(refusal([](json& p) { p["layers"][2]["linearity"] = 0.5; }) ==
        "a.json: layers[2].linearity: expected an object, got 0.5");
  CHECK(refusal([](json& p) { p["layers"][0]["anisotropy"] = {1}; }) ==
        "a.json: layers[0].anisotropy: expected a number, text, flag or null, got [1]");
  CHECK(refusal([](json& p) { p["layers"][0]["layer"] = 0.5; }) ==
        "a.json: layers[0].layer: expected an integer, got 0.5");
  CHECK(refusal([](json& p) { p["layers"] = json::array(); }) == "a.json: layers: expected at least one layer, got []");
  CHECK(refusal([](json& p) { p["layers"] = 1; }) == "a.json: layers: expected an array, got 1");
  CHECK(refusal([](json& p) { p["tokens"] = -1; }) == "a.json: tokens: expected a count, got -1");
  CHECK(refusal([](json& p) { p["title"] = nullptr; }) == "a.json: title: expected a text, got null");
  CHECK(refusal([](json& p) { p["final_norm"] = "around"; }) ==
        "a.json: final_norm: expected \"unspecified\" or \"before\" or \"after\", got \"around\"");
  CHECK(refusal([](json& p) { p["input"]["mask"] = 1; }) == "a.json: input.mask: expected a text or null, got 1");
  CHECK(refusal([](json& p) { p["input"] = json::array(); }) == "a.json: input: expected an object, got []");
  CHECK(refusal([](json& p) { p["input"]["state_numbers"] = {0}; }) ==
        "a.json: input.state_numbers: expected at least two states, got [0]");
  CHECK(refusal([](json& p) { p["input"]["remarks"] = {1}; }) == "a.json: input.remarks[0]: expected a text, got 1");
  CHECK(refusal([](json& p) { p["angular_distances"].erase(2); }) ==
        "a.json: angular_distances: expected an array of 3, as many as input.state_numbers, got "
        "[[0,0.5,null],[0.5,0,0.25]]");
  CHECK(refusal([](json& p) { p["angular_distances"][2] = {1, true, 2}; }) ==
        "a.json: angular_distances[2][1]: expected a number or null, got true");
  const std::string writer = "expected a profile that layerwise-profile --format json has written";
  CHECK(refusal([](json& p) { p.erase("dtype"); }) == "a.json: dtype: " + writer + ", got none");
  CHECK(refusal([](json& p) { p = {{"pairs", 1}}; }) == "a.json: " + writer + ", got {\"pairs\":1}");
  CHECK(refusal_of_text("[]") == "a.json: " + writer + ", got []");
  CHECK(refusal_of_text("") == "a.json: byte 1: " + writer + ", got what is no JSON");
  CHECK(refusal_of_text("{\"layers\": nan}") == "a.json: byte 13: " + writer + ", got what is no JSON");
  CHECK(contains(refusal_of_text("[1e999]"), "a.json: " + writer));
  CHECK(contains(refusal_of_text("{\"title\": \"\xff\"}"), "got what is no JSON"));
}

TEST_CASE("numbers stand side by side, layer by layer") {
  auto other = sample_profile();
  other["title"] = "the other\n";
  other["layers"].erase(0);
  other["layers"][1]["layer"] = 7;
  CHECK(side_by_side({sample_profile(), other}, {"displacement", "linearity_method"}) ==
        "A  a model: 300 tokens, 4 dimensions, F32\n"
        "B  the other\\x0a: 300 tokens, 4 dimensions, F32\n"
        "\ndisplacement\n"
        "  layer             A             B\n"
        "      0             -             -\n"
        "      1          0.25          0.25\n"
        "      2           0.5             -\n"
        "      7             -           0.5\n"
        "\nlinearity_method\n"
        "  layer             A             B\n"
        "      0             -             -\n"
        "      1      cholesky      cholesky\n"
        "      2             -             -\n"
        "      7             -             -\n");
  CHECK_THROWS_WITH_AS(side_by_side({other}, {"curl"}), doctest::Contains("displacement, jump_rate"),
                       std::invalid_argument);
}

TEST_CASE("the program writes text, or a page of all files") {
  const temporary_folder folder;
  auto other = sample_profile();
  other["title"] = "</script>\"'";
  const auto a = write(folder, "a.json", sample_profile().dump()), b = write(folder, "b \"'<.json", other.dump(2));
  const auto text = run({a, b, "--columns", "displacement"});
  CHECK(text.status == 0);
  CHECK(text.output == side_by_side({sample_profile(), other}, {"displacement"}));
  const auto by_default = run({a}).output;
  CHECK(contains(by_default, "\nlinearity_score\n"));
  CHECK_FALSE(contains(by_default, "residual_linearity_score"));  // there is none
  const auto page = folder / "page.html";
  const auto result = run({a, b, "--html", page});
  CAPTURE(result.errors);
  REQUIRE(result.status == 0);
  CHECK(result.output.empty());
  std::ifstream file(page);
  const std::string written{std::istreambuf_iterator<char>(file), {}};
  const auto begin = written.find("id=\"profiles\">") + 14;
  CHECK(json::parse(written.substr(begin, written.find("</script", begin) - begin)) ==
        json::array({sample_profile(), other}));
}

TEST_CASE("a mistake on the command line, or in a file, is one line and status 1") {
  const temporary_folder folder;
  const auto good = write(folder, "a.json", sample_profile().dump()),
             bad = write(folder, "bad.json", "{\"layers\": 1}");
  const auto refused = [](const std::vector<std::string>& arguments, const std::string& part) {
    const auto result = run(arguments);
    CAPTURE(result.errors);
    CHECK(result.status == 1);
    CHECK(result.output.empty());
    CHECK(contains(result.errors, part));
  };
  refused({}, "FILE: expected 1 to 8 profiles, got 0");
  refused({good, bad}, "bad.json: title: expected");
  refused({folder / "none.json"}, "none.json: can't be opened: No such file");
  refused({folder / "."}, "got a directory");
  refused({good, "--html", folder / "page.pdf"}, "expected a name ending in .html");
  refused({good, "--html", folder / "none/page.html"}, "can't be written");
  refused({good, "--output", folder / "none/report.txt"}, "--output: ");
  refused({good, "--html", "p.html", "--columns", "layer"}, "--html: expected no --columns");
  refused({good, "--columns", "displacements"}, "got 'displacements'");
  refused(std::vector<std::string>(9, good), "FILE: expected 1 to 8 profiles, got 9");
}

}  // namespace examples::layerwise_report
