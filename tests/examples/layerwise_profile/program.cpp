// The built program, run as a user runs it.

#include "common/subprocess.hpp"
#include "examples/dump_files.hpp"
#include "examples/run_program.hpp"
#include "examples/sample_dump.hpp"

#include <layerwise/core.hpp>
#include <layerwise/data.hpp>
#include <layerwise/profile.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <numeric>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace examples::test {
namespace {

/// What differs with how a score was computed.
bool is_of_the_solver(const std::string& name) {
  return name.ends_with("error_bound") || name.ends_with("condition") || name.ends_with("method");
}

void check_layer(const json& got, const layerwise::layer_metrics& expected) {
  layerwise::visit_values(&expected, [&]<class T>(const std::string& name, const T* value, std::string_view) {
    CAPTURE(name);
    const auto found = value_of(got, name);
    REQUIRE(found.is_null() == (value == nullptr));
    if (value == nullptr) return;
    if (name.ends_with("error_bound")) CHECK(found.template get<double>() < 1e-9);
    if (is_of_the_solver(name)) return;
    if constexpr (std::is_same_v<T, double>)
      CHECK(found.template get<double>() == doctest::Approx(*value).epsilon(1e-12));
    else if constexpr (!std::is_enum_v<T>)
      CHECK(found == *value);
  });
}

/// The program's numbers are the library's.
void check_profile(const json& got, const layerwise::layer_profile& expected) {
  CHECK(got["tokens"] == expected.tokens);
  CHECK(got["dimensions"] == expected.dimensions);
  REQUIRE(got["layers"].size() == expected.layers.size());
  for (std::size_t i = 0; i < expected.layers.size(); ++i) {
    CAPTURE(i);
    const auto& layer = got["layers"][i];
    CHECK(layer["layer"] == i + 1);
    check_layer(layer, expected.layers[i]);
  }
}

/// Everything but the title, the files and the type: what must not depend on how the dump is stored.
json numbers_of(json document) {
  for (const auto* key : {"title", "files", "dtype", "input"}) document.erase(key);
  return document;
}

std::size_t lines_of(const std::string& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

/// Runs the program with stdout and stderr on these descriptors; returns its exit status, 128 + signal for a
/// signal.
int run_on(std::vector<std::string> arguments, int out, int err) {
  arguments.insert(arguments.begin(), TESTED_PROGRAM);
  std::vector<char*> raw;
  for (auto& argument : arguments) raw.push_back(argument.data());
  raw.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
  pid_t child = 0;
  REQUIRE(::posix_spawn(&child, raw[0], &actions, nullptr, raw.data(), environ) == 0);
  ::posix_spawn_file_actions_destroy(&actions);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

TEST_CASE("the numbers are the library's, to the last digit the same for every way to store a dump") {
  const temporary_folder folder;
  const sample data(4, 1500, 7);
  const auto f64 = data_type::f64;
  const auto reference = run_json({folder.write("a.safetensors", safetensors({data.stack(f64)}))});
  check_profile(reference, layerwise::profile(data.view()));
  CHECK(reference["dtype"] == "F64");
  CHECK(reference["final_norm"] == "unspecified");
  CHECK(reference["centering"] == "columns");
  const auto check_same = [&](const std::vector<std::string>& arguments) {
    CAPTURE(arguments.back());
    CHECK(numbers_of(run_json(arguments)) == numbers_of(reference));
  };

  check_same({folder.write("f32.safetensors", safetensors({data.stack(data_type::f32)}))});
  check_same({folder.write("odd.safetensors", safetensors({data.stack(f64)}, {}, 8, 3))});
  check_same({folder.write("t.safetensors", safetensors({data.stack(f64, 0, 1500, true)})), "--layout", "token-major"});
  check_same(
      {folder.write("m.safetensors", safetensors({data.stack(f64, 0, 1500, true)}, {{"layout", "token-major"}}))});
  check_same({folder.write("a.npy", npy(data.stack(f64), f64))});

  std::vector<std::string> shards, layers, arrays;
  for (const auto& [first, count] : {std::pair<index, index>{0, 1}, {1, 700}, {701, 799}})
    shards.push_back(folder.write("shard" + std::to_string(first), safetensors({data.stack(f64, first, count)})));
  check_same(shards);
  for (const index layer : {3, 0, 2, 1})
    layers.push_back(folder.write("layer" + std::to_string(layer), safetensors({data.layer(f64, layer)})));
  check_same(layers);
  for (const index layer : {0, 1, 2, 3})
    arrays.push_back(folder.write("array" + std::to_string(layer), npy(data.layer(f64, layer), f64)));
  check_same(arrays);

  for (const auto* batch : {"1", "7", "1500", "100000"})
    check_same({folder / "a.safetensors", "--batch-tokens", batch});
}

TEST_CASE("tokens can be left out by their place in the sequence") {
  const temporary_folder folder;
  const sample data(3, 1000, 5);
  const auto with = safetensors({data.stack(data_type::f64)}, {{"sequence_length", "64"}});
  const auto path = folder.write("a.safetensors", with);
  const auto expect = [&](layerwise::token_mask mask) { return layerwise::profile(data.view(), {}, std::move(mask)); };

  const auto skipped = expect(layerwise::token_mask::skip_first(1000, 64, 3));
  CHECK(skipped.tokens == 1000 - 16 * 3);
  for (const auto* batch : {"1", "50", "1000"})
    check_profile(run_json({path, "--skip-first", "3", "--batch-tokens", batch}), skipped);
  check_profile(run_json({path, "--last-only"}), expect(layerwise::token_mask::last_of_each(1000, 64)));
  // The caller's sequence length comes before the metadata's.
  check_profile(run_json({path, "--last-only", "--sequence-length", "10"}),
                expect(layerwise::token_mask::last_of_each(1000, 10)));

  const auto plain = folder.write("b.safetensors", safetensors({data.stack(data_type::f64)}));
  const auto refused = run({plain, "--skip-first", "1"});
  CHECK(refused.status == 1);
  CHECK(contains(refused.errors, "need --sequence-length"));
  const auto nothing = run({path, "--skip-first", "64"});
  CHECK(nothing.status == 1);
  CHECK(contains(nothing.errors, "leaves out all"));

  // Sequences begin anew with each file.
  const auto first = folder.write("c.safetensors", safetensors({data.stack(data_type::f64, 0, 90)}));
  const auto second = folder.write("d.safetensors", safetensors({data.stack(data_type::f64, 90, 910)}));
  std::vector<bool> keep(1000, true);
  for (const std::size_t token : {0u, 64u}) keep[token] = false;
  for (std::size_t token = 90; token < 1000; token += 64) keep[token] = false;
  check_profile(run_json({first, second, "--skip-first", "1", "--sequence-length", "64"}),
                expect(layerwise::token_mask(keep)));
}

TEST_CASE("options reach the library") {
  const temporary_folder folder;
  const sample data(3, 500, 5);
  const auto path =
      folder.write("a.safetensors", safetensors({data.stack(data_type::f64)}, {{"final_norm", "before"}}));
  const auto uncentred = run_json({path, "--no-centering"});
  CHECK(uncentred["centering"] == "none");
  check_profile(uncentred, layerwise::profile(data.view(), {.centering = layerwise::centering::none}));
  CHECK(run_json({path})["final_norm"] == "before");
  CHECK(run_json({path, "--final-norm", "after"})["final_norm"] == "after");
  for (const std::string method : {"cholesky", "orthogonal", "rank-revealing"}) {
    const auto profile = run_json({path, "--method", method});
    check_profile(profile, layerwise::profile(data.view()));
    for (const auto& layer : profile["layers"])
      for (const auto* kind : {"linearity", "residual_linearity"})
        CHECK(layer[kind]["method"] == (method == "rank-revealing" ? "rank_revealing" : method));
  }
  // A tolerance that no moments can meet.
  for (const auto& layer : run_json({path, "--tolerance", "0"})["layers"])
    CHECK(layer["linearity"]["method"] == "orthogonal");
}

TEST_CASE("what moments leave in doubt is taken from the data in a second pass") {
  const temporary_folder folder;
  sample data(3, 900, 4);
  // Two columns that are almost the same: a condition number far beyond what moments in double can resolve.
  for (index token = 0; token < data.tokens; ++token)
    for (index layer = 0; layer < 2; ++layer)
      data.at(layer, token, 1) = data.at(layer, token, 0) + 1e-8 * data.at(layer, token, 2);
  const auto one = folder.write("a.safetensors", safetensors({data.stack(data_type::f64)}));
  const auto expected = layerwise::profile(data.view());
  REQUIRE(expected.layers[1].residual_linearity->method == layerwise::solver::orthogonal);
  REQUIRE(run_json({one, "--method", "rank-revealing"})["layers"][1]["residual_linearity"]["error_bound"] > 1e-6);

  std::vector<std::string> shards;
  for (const auto& [first, count] : {std::pair<index, index>{0, 100}, {100, 800}})
    shards.push_back(
        folder.write("shard" + std::to_string(first), safetensors({data.stack(data_type::f64, first, count)})));
  for (const auto& files : {std::vector{one}, shards}) {
    const auto profile = run_json(files);
    for (std::size_t i = 0; i < 2; ++i)
      for (const auto& [got, want] :
           {std::pair{profile["layers"][i]["linearity"], expected.layers[i].linearity},
            std::pair{profile["layers"][i]["residual_linearity"], expected.layers[i].residual_linearity}}) {
        CHECK(std::abs(got["score"].get<double>() - want->score) <=
              got["error_bound"].get<double>() + want->error_bound);
        CHECK(got["error_bound"].get<double>() < 1e-8);
      }
  }
}

TEST_CASE("the table has a line a layer, CSV the numbers of JSON, and undefined is left open") {
  const temporary_folder folder;
  sample data(4, 400, 5);
  for (index token = 0; token < data.tokens; ++token)  // layer 2 does nothing
    for (index dim = 0; dim < data.dims; ++dim) data.at(2, token, dim) = data.at(1, token, dim);
  const auto path = folder.write("a.safetensors", safetensors({data.stack(data_type::f64)}, {{"model", "sample"}}));

  const auto table = run({path});
  CHECK(table.status == 0);
  CHECK(table.errors.empty());
  CHECK(lines_of(table.output) == 4 + 2 + 3);
  CHECK(table.output.starts_with(
      "sample (a.safetensors)\n3 layers, 400 tokens, 5 dimensions, F64, final norm not stated, "
      "columns centred\nread 'hidden_states' as [layer][token][dim] (by its shape)\n"));
  CHECK(contains(table.output, "█"));
  CHECK_FALSE(contains(table.output, "\x1b"));

  const auto document = run_json({path});
  CHECK(document["layers"][1]["residual_linearity"].is_null());
  CHECK(document["layers"][1]["linearity"]["score"] == 1.0);
  CHECK(document["layers"][0]["jump_rate"].is_null());

  const auto csv = run({path, "--format", "csv"}).output;
  const auto rows = csv_cells(csv);
  REQUIRE(rows.size() == 5);
  for (std::size_t line = 1; line <= 3; ++line) {
    REQUIRE(rows[line].size() == rows[0].size());
    const auto& layer = document["layers"][line - 1];
    for (std::size_t i = 0; i < rows[0].size(); ++i) {
      const auto& name = rows[0][i];
      CAPTURE(name);
      check_cell(rows[line][i], value_of(layer, name));
    }
  }

  // All that the layers of JSON have, and nothing else.
  std::size_t leaves = 0;
  for (const auto& value : document["layers"][0]) leaves += value.is_object() ? value.size() : 1;
  CHECK(rows[0].size() == leaves);

  CHECK(run({path, "--format", "csv", "--output", folder / "out.csv"}).output.empty());
  std::ifstream written(folder / "out.csv");
  CHECK(std::string(std::istreambuf_iterator<char>(written), {}) == csv);
  const auto unwritable = run({path, "--output", folder / "no/such/folder"});
  CHECK(unwritable.status == 1);
  CHECK(contains(unwritable.errors, "can't be written"));
}

TEST_CASE("--columns chooses what the table shows, by the names of CSV") {
  const temporary_folder folder;
  const sample data(3, 400, 5);
  const auto path = folder.write("a.safetensors", safetensors({data.stack(data_type::f64)}));
  const auto heading = [](const std::string& table) {
    std::size_t begin = 0;
    for (int line = 0; line < 5; ++line) begin = table.find('\n', begin) + 1;
    return table.substr(begin, table.find('\n', begin) - begin);
  };
  CHECK(heading(run({path, "--columns", "cosine_similarity,jump_rate"}).output) == "layer  cosine_similarity   rate %");
  CHECK(heading(run({"--columns", "layer,linearity_rank", path}).output) == "layer  linearity_rank");
  const auto csv = run({path, "--format", "csv"}).output;
  const auto all = run({path, "--columns", csv.substr(0, csv.find('\n'))});
  CHECK(all.status == 0);
  CHECK(lines_of(all.output) == 4 + 2 + 2);

  const auto unknown = run({path, "--columns", "displacement,cosine"});
  CHECK(unknown.status == 1);
  CHECK(contains(unknown.errors, "--columns: expected names of columns (layer, linearity_score,"));
  CHECK(contains(unknown.errors, "outlier_dimension"));
  CHECK(contains(unknown.errors, "got 'cosine'"));
  const auto no_table = run({path, "--columns", "displacement", "--format", "csv"});
  CHECK(no_table.status == 1);
  CHECK(contains(no_table.errors, "--columns"));
}

TEST_CASE("too few tokens are called out") {
  const temporary_folder folder;
  const auto said = [&](index tokens, index dims) {
    const sample data(3, tokens, dims);
    const auto result = run({folder.write("a.safetensors", safetensors({data.stack(data_type::f64)}))});
    CHECK(result.status == 0);
    return result.errors;
  };
  CHECK(contains(said(12, 12), "warning: 12 tokens are too few for 12 dimensions"));
  CHECK(contains(said(47, 12), "warning: 47 tokens are few for 12 dimensions: unrelated data would score up to 0.26"));
  CHECK(contains(said(48, 12), "note: 48 tokens for 12 dimensions"));
  CHECK(said(192, 12).empty());

  const sample data(3, 12, 12);
  const auto path = folder.write("b.safetensors", safetensors({data.stack(data_type::f64)}));
  CHECK(contains(run({path}).output, "1.0000!"));
  CHECK(run_json({path})["layers"][0]["linearity"]["underdetermined"] == true);
  const auto open = run({folder.write("c.safetensors", safetensors({layer_major(data_type::f32, 30, 4, 3)}))});
  CHECK(open.status == 1);
  CHECK(contains(open.errors, "30 states of 4 tokens"));
  CHECK(contains(open.errors, "--layout '[token][layer][dim]' (4 states of 30 tokens)"));
}

TEST_CASE("bad input is one line on stderr and status 1") {
  const temporary_folder folder;
  const auto check_refused = [&](const std::vector<std::string>& arguments, const std::vector<std::string>& parts) {
    const auto result = run(arguments);
    CAPTURE(result.errors);
    CHECK(result.status == 1);
    CHECK(result.output.empty());
    CHECK(lines_of(result.errors) == 1);
    CHECK(result.errors.starts_with("layerwise-profile: error: "));
    for (const auto& part : parts) CHECK(contains(result.errors, part));
  };
  const auto file = safetensors({layer_major(data_type::f32, 3, 50, 4)});

  check_refused({folder / "none"}, {"none: can't be opened"});
  check_refused({folder / ""}, {"expected a directory with .safetensors, .npy or .npz files"});
  check_refused({"/dev/null"}, {"expected a regular file"});
  check_refused({folder.write("empty", {})}, {"empty: expected a .safetensors, .npy or .npz file, got only 0 bytes"});
  check_refused({folder.write("cut", std::span(file).first(file.size() - 1))}, {"cut: ", "truncated?"});
  check_refused({folder.write("text", std::as_bytes(std::span("what is this, no tensors at all")))}, {"header length"});
  check_refused({folder.write("line\nbreak", {})}, {"line\\x0abreak"});

  sample data(3, 50, 4);
  data.at(1, 33, 2) = std::numeric_limits<double>::quiet_NaN();
  check_refused({folder.write("nan", safetensors({data.stack(data_type::f64)})), "--batch-tokens", "30"},
                {"nan: in tokens 30 to 49 (row 0 is token 30): ", "finite", "layer 1", "row 3", "column 2"});
  for (index dim = 0; dim < 4; ++dim) data.at(1, 33, dim) = 0;
  check_refused({folder.write("zero", safetensors({data.stack(data_type::f64)}))},
                {"zero: ", "layer 1", "row 33", "--mask"});

  // 560 KB of file ask for moments of 38 GB a matrix.
  check_refused(
      {folder.write("wide", safetensors({{"h", "F16", {2, 2, 70'000}, buffer(560'000)}})), "--layout", "layer-major"},
      {"GiB", "--no-linearity"});
}

TEST_CASE("mistakes on the command line are explained") {
  for (const auto& arguments : {std::vector<std::string>{"--skip-first", "-1"},
                                {"--format", "xml"},
                                {"--plot", "a.pdf"},
                                {"--no-such-option"},
                                {"--tolerance", "-1"},
                                {"--batch-tokens", "0"},
                                {"--sequence-length", "x"},
                                {"--layout", "[layer][layer][dim]"},
                                {"--order", "file"},
                                {"--columns", "cka"}}) {
    CAPTURE(arguments[0]);
    const auto result = run(arguments);
    CHECK(result.status == 1);
    CHECK(contains(result.errors, arguments[0].substr(1)));
    CHECK(contains(result.errors, "--help"));
  }
  const auto help = run({"--help"});
  CHECK(help.status == 0);
  for (const auto* option : {"--layout",       "--tensor",        "--final-norm", "--sequence-length", "--skip-first",
                             "--last-only",    "--tensors",       "--order",      "--layer-numbers",   "--mask",
                             "--no-linearity", "--pairs-in-turn", "--dry-run",    "--no-centering",    "--method",
                             "--tolerance",    "--format",        "--columns",    "--output",          "--plot"})
    CHECK(contains(help.output, option));
  const auto version = run({"--version"});
  CHECK(version.status == 0);
  CHECK(version.output.starts_with("layerwise-profile " + std::to_string(layerwise::version_major) + "."));
}

TEST_CASE("memory does not grow with the tokens") {
  const temporary_folder folder;
  const auto write = [&](const std::string& name, index tokens) {
    constexpr index states = 4, dims = 24;
    std::mt19937_64 random(1);
    nlohmann::json header;
    header["h"] = {
        {"dtype", "F32"}, {"shape", {tokens, states, dims}}, {"data_offsets", {0, tokens * states * dims * 4}}};
    const auto head = safetensors(header.dump() + "   ", {});
    std::ofstream file(folder / name, std::ios::binary);
    file.write(reinterpret_cast<const char*>(head.data()), static_cast<std::streamsize>(head.size()));
    std::array<float, states * dims> row;
    for (index token = 0; token < tokens; ++token) {
      for (auto& value : row) value = static_cast<float>(random() >> 40) - 8e6f;
      file.write(reinterpret_cast<const char*>(row.data()), sizeof row);
    }
    REQUIRE(file.flush());
    return folder / name;
  };
  // Under AddressSanitizer freed memory waits in a queue of 256 MB, which would look like growth.
  ::setenv("ASAN_OPTIONS", "quarantine_size_mb=1", 0);
  const auto peak = [&](const std::string& path) {
    const auto result = run({path, "--layout", "token-major", "--batch-tokens", "1024"});
    REQUIRE(result.status == 0);
    return result.peak_memory;
  };
  const auto small = peak(write("small", 10'000));  // 3.8 MB
  const auto large = peak(write("large", 80'000));  // 31 MB
  MESSAGE("peak memory in KiB: ", small, " for 10,000 tokens, ", large, " for 80,000");
  CHECK(large < small + 4096);
}

TEST_CASE("the plot is drawn, whatever the names in it") {
  const temporary_folder folder;
  if (!run_process({"gnuplot", "--version"})) {
    MESSAGE("no gnuplot here");
    return;
  }
  const sample data(5, 300, 6);
  const auto hostile = "a'b\"`touch " + (folder / "injected") + "`$(x)_{y}^\\n\n";
  const auto path = folder.write("q'`x`", safetensors({data.stack(data_type::f64)}, {{"model", hostile}}));
  for (const std::string name : {"out.svg", "it's `date` \"x\".svg", "out.png"}) {
    const auto result = run({path, "--plot", folder / name});
    CAPTURE(result.errors);
    CHECK(result.status == 0);
    CHECK(result.errors.empty());
    std::ifstream file(folder / name, std::ios::binary);
    const std::string drawn(std::istreambuf_iterator<char>(file), {});
    if (name.ends_with(".png")) {
      CHECK(drawn.starts_with("\x89PNG"));
    } else {
      CHECK(contains(drawn, "<svg"));
      CHECK(contains(drawn, "</svg>"));
      for (const auto* label : {"linearity score", "displacement", "with the residual", "chance floor", "layer"})
        CHECK(contains(drawn, label));
    }
  }
  CHECK_FALSE(std::filesystem::exists(folder / "injected"));

  // Nothing to draw in the upper panel but a constant; no jump; one layer only.
  for (index states : {2, 3}) {
    sample still(states, 50, 3);
    for (index layer = 1; layer < states; ++layer)
      for (index token = 0; token < 50; ++token)
        for (index dim = 0; dim < 3; ++dim) still.at(layer, token, dim) = still.at(0, token, dim);
    const auto flat =
        run({folder.write("flat", safetensors({still.stack(data_type::f64)})), "--plot", folder / "flat.svg"});
    CAPTURE(flat.errors);
    CHECK(flat.status == 0);
  }
  const auto unwritable = run({path, "--plot", folder / "no/such/folder.svg"});
  CHECK(unwritable.status == 1);
  CHECK(contains(unwritable.errors, "can't be written"));
}

TEST_CASE("without gnuplot --plot says what to install, after the numbers") {
  const temporary_folder folder;
  const sample data(3, 300, 6);
  const auto path = folder.write("a", safetensors({data.stack(data_type::f64)}));
  const std::string before = ::getenv("PATH") == nullptr ? "" : ::getenv("PATH");
  ::setenv("PATH", (folder / "").c_str(), 1);
  const auto result = run({path, "--plot", folder / "out.svg"});
  ::setenv("PATH", before.c_str(), 1);
  CHECK(result.status == 1);
  CHECK(contains(result.errors, "gnuplot, which is not installed"));
  CHECK(contains(result.output, "3 layers") == false);
  CHECK(contains(result.output, "2 layers"));
  CHECK_FALSE(std::filesystem::exists(folder / "out.svg"));
}

TEST_CASE("a reader that leaves is no error, a full disk is") {
  const temporary_folder folder;
  const sample data(3, 300, 6);
  const auto path = folder.write("a", safetensors({data.stack(data_type::f64)}));
  const int null = ::open("/dev/null", O_WRONLY);
  std::array<int, 2> ends{};
  REQUIRE(::pipe(ends.data()) == 0);
  ::close(ends[0]);
  CHECK(run_on({path}, ends[1], null) == 0);
  ::close(ends[1]);
  if (const int full = ::open("/dev/full", O_WRONLY); full >= 0) {
    CHECK(run_on({path}, full, null) == 1);
    ::close(full);
  }
  ::close(null);
}

TEST_CASE("colour and progress are for terminals only") {
  const temporary_folder folder;
  const sample data(3, 3000, 24);
  const auto path = folder.write("a", safetensors({data.stack(data_type::f64)}));
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  REQUIRE(terminal >= 0);
  REQUIRE(::grantpt(terminal) == 0);
  REQUIRE(::unlockpt(terminal) == 0);
  const int device = ::open(::ptsname(terminal), O_RDWR | O_NOCTTY);
  REQUIRE(device >= 0);
  const auto seen = [&] {
    ::fcntl(terminal, F_SETFL, O_NONBLOCK);
    std::string text;
    std::array<char, 4096> part;
    for (ssize_t count; (count = ::read(terminal, part.data(), part.size())) > 0;)
      text.append(part.data(), static_cast<std::size_t>(count));
    return text;
  };
  const int null = ::open("/dev/null", O_WRONLY);

  CHECK(run_on({path}, device, null) == 0);
  CHECK(contains(seen(), "\x1b[36m"));  // cyan bars
  // Batches of one token take long enough for the bar to be drawn.
  CHECK(run_on({path, "--batch-tokens", "1"}, null, device) == 0);
  const auto progress = seen();
  CHECK(contains(progress, "\r\x1b[K"));
  CHECK_FALSE(contains(progress, "\n"));
  CHECK(run({path, "--batch-tokens", "1"}).errors.empty());
  ::setenv("NO_COLOR", "1", 1);
  CHECK(run_on({path}, device, null) == 0);
  ::unsetenv("NO_COLOR");
  CHECK_FALSE(contains(seen(), "\x1b"));
  ::close(null);
  ::close(device);
  ::close(terminal);
}

}  // namespace examples::test
