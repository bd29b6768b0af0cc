#include <layerwise/data/embedding.hpp>

#include "support.hpp"

#include <layerwise/data/detail/row_reader.hpp>
#include <layerwise/data/hidden_states_view.hpp>
#include <layerwise/layerwise.hpp>

#include <doctest/doctest.h>

#include <Eigen/Core>

#include <array>
#include <cmath>
#include <cstdint>
#include <forward_list>
#include <iterator>
#include <limits>
#include <random>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

namespace {

using layerwise::degenerate_input_error;
using layerwise::embedding_matrix;
using layerwise::hidden_state_gradients;
using layerwise::hidden_states;
using layerwise::hidden_states_view;
using layerwise::index;
using layerwise::non_finite_error;
using layerwise::shape_error;
using layerwise::strided_view;
using layerwise::writable_embedding_matrix;
using layerwise_test::check_throws;
using layerwise_test::random_matrix;
using layerwise_test::row_major;

/// A matrix of somebody else's: column by column, every second float unused.
struct foreign_matrix {
  index tokens, width;
  std::vector<float> values;
};

/// Somebody else's reference to such a matrix.
struct foreign_view {
  foreign_matrix* to;
};

/// A matrix that nobody has in memory: its rows are made when they are asked for.
struct row_maker {
  const row_major* from;
  index first_row;  // whose columns are turned around, as a model's layer might
  std::vector<double> scales;

  index rows() const { return from->rows() - first_row; }
  void make(index row, double* out) const {
    for (index j = 0; j < from->cols(); ++j)
      out[j] = scales[static_cast<std::size_t>(j)] * (*from)(row + first_row, from->cols() - 1 - j);
  }
};

/// The same by value: it only refers to its elements.
struct row_maker_view {
  const row_maker* to;
};

/// Layers made on the fly, which are gone when the loop moves on.
struct temporary_matrices {
  struct iterator {
    using difference_type = std::ptrdiff_t;
    using value_type = Eigen::MatrixXd;
    Eigen::MatrixXd operator*() const { return Eigen::MatrixXd::Ones(2, 2); }
    iterator& operator++() { return ++i, *this; }
    iterator operator++(int) { return {i++}; }
    bool operator==(const iterator&) const = default;
    int i = 0;
  };
  iterator begin() const { return {0}; }
  iterator end() const { return {2}; }
};

}  // namespace

template <>
struct layerwise::embedding_traits<foreign_matrix> {
  static const float* data(const foreign_matrix& m) { return m.values.data(); }
  static float* data(foreign_matrix& m) { return m.values.data(); }
  static index rows(const foreign_matrix& m) { return m.tokens; }
  static index cols(const foreign_matrix& m) { return m.width; }
  static index row_stride(const foreign_matrix&) { return 2; }
  static index col_stride(const foreign_matrix& m) { return 2 * m.tokens; }
};

template <>
struct layerwise::embedding_traits<foreign_view> {
  static constexpr bool is_view = true;
  static float* data(const foreign_view& m) { return m.to->values.data(); }
  static index rows(const foreign_view& m) { return m.to->tokens; }
  static index cols(const foreign_view& m) { return m.to->width; }
  static index row_stride(const foreign_view&) { return 2; }
  static index col_stride(const foreign_view& m) { return 2 * m.to->tokens; }
};

template <>
struct layerwise::embedding_traits<row_maker> {
  static index rows(const row_maker& m) { return m.rows(); }
  static index cols(const row_maker& m) { return m.from->cols(); }
  static void read_row(const row_maker& m, index row, double* out) { m.make(row, out); }
};

template <>
struct layerwise::embedding_traits<row_maker_view> {
  static constexpr bool is_view = true;
  static index rows(const row_maker_view& m) { return m.to->rows(); }
  static index cols(const row_maker_view& m) { return m.to->from->cols(); }
  static void read_row(const row_maker_view& m, index row, double* out) { m.to->make(row, out); }
};

/// Read as what it is made of, or not at all.
struct wrapped {
  const Eigen::MatrixXf* matrix;
};
struct wrapped_badly : wrapped {};
struct wrapped_owner : wrapped {};

template <>
struct layerwise::embedding_traits<wrapped> {
  static auto view(const wrapped& m) { return 2.0f * *m.matrix; }
};
template <>
struct layerwise::embedding_traits<wrapped_badly> {
  static int view(const wrapped_badly&) { return 0; }
};
template <>
struct layerwise::embedding_traits<wrapped_owner> {
  static Eigen::MatrixXf view(const wrapped_owner& m) { return *m.matrix; }  // gone before it is read
};

namespace {

using half_matrix = Eigen::Matrix<Eigen::half, Eigen::Dynamic, Eigen::Dynamic>;
using bfloat16_matrix = Eigen::Matrix<Eigen::bfloat16, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using sum = decltype(Eigen::MatrixXf() + Eigen::MatrixXf());
using product = decltype(Eigen::MatrixXd() * Eigen::MatrixXd());

static_assert(embedding_matrix<Eigen::MatrixXf>);
static_assert(embedding_matrix<Eigen::MatrixXd>);
static_assert(embedding_matrix<half_matrix>);
static_assert(embedding_matrix<bfloat16_matrix>);
static_assert(embedding_matrix<Eigen::Matrix3f>);
static_assert(embedding_matrix<Eigen::VectorXd>);
static_assert(embedding_matrix<Eigen::ArrayXXf>);
static_assert(embedding_matrix<Eigen::Map<const row_major, Eigen::Unaligned, Eigen::OuterStride<>>>);
static_assert(embedding_matrix<Eigen::Ref<const Eigen::MatrixXf>>);
static_assert(embedding_matrix<decltype(Eigen::MatrixXf().block(0, 0, 1, 1))>);
static_assert(embedding_matrix<decltype(Eigen::MatrixXf().transpose())>);
static_assert(embedding_matrix<sum>);
static_assert(embedding_matrix<product>);
static_assert(embedding_matrix<strided_view<const Eigen::bfloat16>>);
static_assert(embedding_matrix<foreign_matrix>);
static_assert(!embedding_matrix<Eigen::MatrixXi>);
static_assert(!embedding_matrix<Eigen::MatrixXcd>);
static_assert(!embedding_matrix<std::vector<double>>);
static_assert(!embedding_matrix<double>);

// Expressions that draw their elements would be others at each reading, wherever the drawing is in them: they are
// evaluated once.
using layerwise::detail::draws_elements;
using drawn = decltype(Eigen::MatrixXd::Random(3, 3));
using drawn_by_lambda = decltype(Eigen::MatrixXd::NullaryExpr(3, 3, [] { return 1.0; }));
using computed = decltype(Eigen::MatrixXd::NullaryExpr(3, 3, [](index i, index j) { return 1.0 * double(i + j); }));
static_assert(embedding_matrix<drawn> && draws_elements<drawn>() && draws_elements<drawn_by_lambda>());
static_assert(!draws_elements<computed>() && !draws_elements<decltype(Eigen::MatrixXd::Ones(3, 3))>());
static_assert(!draws_elements<decltype(Eigen::MatrixXd::Identity(3, 3))>());
#define LASTS(...) (!draws_elements<std::remove_cvref_t<decltype(__VA_ARGS__)>>())
static_assert(!LASTS(2 * std::declval<drawn>()) && !LASTS(std::declval<drawn>() + std::declval<computed>()));
static_assert(!LASTS(std::declval<drawn>() * std::declval<Eigen::MatrixXd>()));
static_assert(!LASTS(std::declval<Eigen::MatrixXd>() * std::declval<drawn>()));
static_assert(!LASTS(std::declval<drawn>().transpose()) && !LASTS(std::declval<drawn>().topRows(2)));
static_assert(!LASTS(std::declval<drawn>().cast<float>()) && !LASTS(std::declval<drawn>().array() + 1.0));
static_assert(!LASTS(std::declval<drawn>().reverse()) && !LASTS(std::declval<drawn>().replicate(2, 2)));
static_assert(!LASTS(std::declval<drawn>().reshaped(1, 9)) && !LASTS(std::declval<drawn>().diagonal()));
static_assert(!LASTS(std::declval<drawn>().rowwise() - std::declval<Eigen::RowVectorXd>()));
static_assert(!LASTS(std::declval<drawn>()(Eigen::all, Eigen::seq(0, 1))));
static_assert(LASTS(std::declval<computed>().reverse()) && LASTS(2.0 * std::declval<computed>().topRows(2)));
#undef LASTS

static_assert(layerwise::detail::is_view<foreign_view>);
static_assert(!layerwise::detail::is_view<foreign_matrix>);
static_assert(!layerwise::detail::is_view<Eigen::MatrixXf>);
static_assert(layerwise::detail::is_view<Eigen::Map<const row_major>>);

static_assert(writable_embedding_matrix<Eigen::MatrixXf>);
static_assert(writable_embedding_matrix<Eigen::Map<row_major>>);
static_assert(writable_embedding_matrix<strided_view<double>>);
static_assert(writable_embedding_matrix<foreign_matrix>);
static_assert(!writable_embedding_matrix<const Eigen::MatrixXf>);
static_assert(!writable_embedding_matrix<Eigen::Map<const row_major>>);
static_assert(!writable_embedding_matrix<strided_view<const double>>);
static_assert(!writable_embedding_matrix<sum>);

// What gives its rows is read, by itself, in ranges and in variants, but not written.
static_assert(embedding_matrix<row_maker> && embedding_matrix<row_maker_view>);
static_assert(!writable_embedding_matrix<row_maker> && !writable_embedding_matrix<row_maker_view>);
static_assert(hidden_states<std::vector<row_maker>> && hidden_states<std::array<row_maker_view, 2>>);
static_assert(!layerwise::detail::is_view<row_maker> && layerwise::detail::is_view<row_maker_view>);
using memory_or_rows = std::variant<strided_view<const float>, strided_view<const double>, row_maker_view>;
static_assert(embedding_matrix<memory_or_rows> && layerwise::detail::is_view<memory_or_rows>);
static_assert(embedding_matrix<std::variant<row_maker, Eigen::MatrixXf, sum, memory_or_rows>>);
static_assert(!layerwise::detail::is_view<std::variant<row_maker, memory_or_rows>>);
static_assert(!embedding_matrix<std::variant<row_maker, int>> && !embedding_matrix<std::variant<Eigen::MatrixXi>>);
static_assert(!writable_embedding_matrix<memory_or_rows>);
static_assert(writable_embedding_matrix<layerwise::any_writable_view>);
static_assert(!writable_embedding_matrix<layerwise::any_view>);

// A view is an embedding matrix that is one.
static_assert(embedding_matrix<wrapped> && !writable_embedding_matrix<wrapped>);
static_assert(!embedding_matrix<wrapped_badly> && !embedding_matrix<wrapped_owner>);

static_assert(hidden_states<std::vector<Eigen::MatrixXf>>);
static_assert(hidden_states<std::forward_list<half_matrix>>);
static_assert(hidden_states<std::array<Eigen::MatrixXd, 3>>);
static_assert(hidden_states<std::span<const Eigen::MatrixXd>>);
static_assert(hidden_states<std::vector<Eigen::Map<const row_major>>>);
static_assert(hidden_states<std::vector<foreign_matrix>>);
static_assert(hidden_states<hidden_states_view<const float>>);
static_assert(!hidden_states<Eigen::MatrixXd>);
static_assert(!hidden_states<std::vector<double>>);
static_assert(!hidden_states<temporary_matrices>);

static_assert(hidden_state_gradients<std::vector<Eigen::MatrixXf>&>);
static_assert(hidden_state_gradients<hidden_states_view<float>>);
static_assert(hidden_state_gradients<std::vector<strided_view<double>>&>);
static_assert(!hidden_state_gradients<const std::vector<Eigen::MatrixXf>&>);
static_assert(!hidden_state_gradients<hidden_states_view<const float>>);

/// What row_reader sees.
template <class M>
row_major read(const M& m) {
  const layerwise::detail::row_reader<M> reader(m);
  row_major all(reader.rows(), reader.cols());
  for (index i = 0; i < all.rows(); ++i) reader.read(i, &all(i, 0));
  return all;
}

TEST_CASE("the reader sees the same values in every layout") {
  std::mt19937 random(1);
  const row_major m = random_matrix(random, 5, 7);
  const Eigen::MatrixXd column_major = m;
  CHECK(read(m) == m);
  CHECK(read(column_major) == m);
  CHECK(read(column_major.transpose()) == m.transpose());
  CHECK(read(m.block(1, 2, 3, 4)) == m.block(1, 2, 3, 4));
  CHECK(read(column_major.block(1, 2, 3, 4)) == m.block(1, 2, 3, 4));
  CHECK(read(m.row(2)) == m.row(2));
  CHECK(read(m.col(2)) == m.col(2));
  CHECK(read(m.array()) == m);
  CHECK(read(Eigen::Ref<const row_major>(m)) == m);
  CHECK(read(Eigen::Matrix<double, 5, 7>(m)) == m);
  CHECK(read(Eigen::Map<const row_major, 0, Eigen::OuterStride<>>(m.data(), 2, 3, Eigen::OuterStride<>(14))) ==
        row_major(m(Eigen::seq(0, 2, 2), Eigen::seq(0, 2))));
  CHECK(read(Eigen::Map<const row_major, 0, Eigen::InnerStride<2>>(m.data(), 1, 3)) ==
        row_major(m(Eigen::seq(0, 0), Eigen::seq(0, 4, 2))));
  CHECK(read(strided_view<const double>(m.data(), 5, 7)) == m);
  CHECK(read(strided_view<const double>(column_major.data(), 5, 7, 1, 5)) == m);
  CHECK(read(strided_view<const double>(&m(4, 6), 5, 7, -7, -1)) == m.reverse());
}

TEST_CASE("the reader converts every scalar type exactly") {
  std::mt19937 random(2);
  const row_major m = random_matrix(random, 6, 9);
  const auto check = [&]<class Scalar>(Scalar) {
    const Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic> narrow = m.cast<Scalar>();
    const row_major values = read(narrow);
    for (index i = 0; i < m.rows(); ++i)
      for (index j = 0; j < m.cols(); ++j) {
        CHECK(static_cast<Scalar>(values(i, j)) == narrow(i, j));
        CHECK(values(i, j) == doctest::Approx(m(i, j)).epsilon(0.01));
      }
  };
  check(double());
  check(float());
  check(Eigen::half());
  check(Eigen::bfloat16());
}

TEST_CASE("all 16-bit patterns are read as Eigen reads them") {
  std::vector<std::uint16_t> bits(1 << 16);
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::uint16_t>(i);
  const auto check = [&]<class Scalar>(Scalar) {
    const Scalar* values = layerwise::from_bits<Scalar>(bits.data());
    const row_major got = read(strided_view(values, 256, 256));
    index wrong = 0;
    for (index i = 0; i < got.size(); ++i) {
      const double expected = static_cast<double>(static_cast<float>(values[i])), x = got.data()[i];
      const bool same = std::isnan(expected) ? std::isnan(x) : x == expected;
      wrong += !same || std::signbit(x) != std::signbit(expected);
    }
    CHECK(wrong == 0);
  };
  check(Eigen::half());
  check(Eigen::bfloat16());
}

TEST_CASE("raw 16-bit patterns are read in place") {
  const std::uint16_t bfloat16_bits[] = {0x3f80, 0xc000, 0x3fc0, 0x0001};
  const auto* b = layerwise::from_bits<Eigen::bfloat16>(bfloat16_bits);
  CHECK(static_cast<const void*>(b) == static_cast<const void*>(bfloat16_bits));
  CHECK(read(strided_view(b, 2, 2)) == (row_major(2, 2) << 1, -2, 1.5, 0x1p-133).finished());
  const std::uint16_t half_bits[] = {0x3c00, 0xc000, 0x3e00, 0x0001};
  const auto* h = layerwise::from_bits<Eigen::half>(half_bits);
  CHECK(read(strided_view(h, 2, 2)) == (row_major(2, 2) << 1, -2, 1.5, 0x1p-24).finished());
}

TEST_CASE("matrices with memory are viewed, not copied") {
  Eigen::MatrixXf m = Eigen::MatrixXf::Random(4, 5);
  const Eigen::MatrixXf& constant = m;
  const auto view = layerwise::detail::view_of(m);
  CHECK(view.data() == m.data());
  CHECK(view.row_stride() == 1);
  CHECK(view.col_stride() == 4);
  CHECK(layerwise::detail::view_of(constant).data() == m.data());
  auto block = m.block(1, 2, 2, 2);
  const auto of_block = layerwise::detail::view_of(block);
  CHECK(of_block.data() == &m(1, 2));
  CHECK(of_block.col_stride() == 4);
  of_block(1, 0) = 42;
  CHECK(m(2, 2) == 42);
  const strided_view<const float> readable = view;
  CHECK(&readable(3, 4) == &m(3, 4));
}

TEST_CASE("a lazy expression is computed element by element, each once, and a product in it once") {
  int calls = 0;
  const auto counted = row_major::NullaryExpr(4, 3, [&](index i, index j) {
    ++calls;
    return static_cast<double>(10 * i + j);
  });
  CHECK(read(counted)(2, 1) == 21);
  CHECK(calls == 12);

  std::mt19937 random(3);
  const Eigen::MatrixXd a = random_matrix(random, 4, 6), b = random_matrix(random, 6, 3);
  CHECK((read(a * b) - a * b).norm() < 1e-14);
  CHECK((read(2 * a + a.cwiseAbs()) - (2 * a + a.cwiseAbs())).norm() == 0);
  calls = 0;
  const auto factor = row_major::NullaryExpr(3, 4, [&](index i, index j) {
    ++calls;
    return static_cast<double>(i + j);
  });
  const row_major both = read(factor * a);
  CHECK((both - row_major(factor) * a).norm() < 1e-13);
  CHECK(calls <= 2 * 12);  // one product each for the reader and for the line above
}

TEST_CASE("foreign types are read and written through their trait") {
  foreign_matrix m{3, 2, std::vector<float>(12, -1)};
  for (index i = 0; i < 3; ++i)
    for (index j = 0; j < 2; ++j) m.values[static_cast<std::size_t>(2 * i + 6 * j)] = static_cast<float>(10 * i + j);
  const row_major expected = (row_major(3, 2) << 0, 1, 10, 11, 20, 21).finished();
  CHECK(read(m) == expected);
  CHECK(read(foreign_view{&m}) == expected);
  layerwise::detail::view_of(m)(2, 1) = 7;
  CHECK(m.values[10] == 7);
  CHECK(read(m)(2, 1) == 7);
}

TEST_CASE("open_layers accepts any forward range of matrices of one shape") {
  std::mt19937 random(4);
  const std::vector<row_major> layers{random_matrix(random, 3, 2), random_matrix(random, 3, 2)};
  const auto from_vector = layerwise::detail::open_layers(layers);
  const auto from_list = layerwise::detail::open_layers(std::forward_list<row_major>(layers.begin(), layers.end()));
  CHECK(from_vector.size() == 2);
  CHECK(from_list.size() == 2);
  Eigen::RowVectorXd row(2);
  from_vector[1].read(2, row.data());
  CHECK(row == layers[1].row(2));
}

TEST_CASE("views over nothing sensible are refused") {
  float x[6] = {};
  const auto view = [&](index rows, index cols, index row_stride, index col_stride) {
    (void)strided_view<float>(x, rows, cols, row_stride, col_stride);
  };
  view(2, 3, 3, 1);
  view(0, 0, 0, 0);
  view(0, 3, 1, 0);  // as of Eigen's own 0 x 3 matrices
  view(3, 0, 0, 1);
  view(1, 3, 0, 1);
  check_throws<shape_error>([&] { view(-1, 3, 3, 1); }, "rows >= 0 and cols >= 0", "-1 x 3", "strided_view");
  check_throws<shape_error>([&] { view(2, 3, 0, 1); }, "strides other than 0", "0 and 1", "strided_view");
  check_throws<shape_error>([&] { view(2, 3, 3, 0); }, "strides other than 0", "3 and 0", "strided_view");
  check_throws<shape_error>([] { (void)strided_view<float>(nullptr, 2, 3); }, "memory of 2 x 3", "a null pointer",
                            "strided_view");
}

TEST_CASE("hidden states that are not are refused, with the layer") {
  using layerwise::detail::open_layers;
  using matrices = std::vector<Eigen::MatrixXf>;
  const auto m = [](index rows, index cols) { return Eigen::MatrixXf(Eigen::MatrixXf::Ones(rows, cols)); };
  check_throws<shape_error>([&] { (void)open_layers(matrices{}); }, "hidden states h_0 ... h_L of at least 2 layers",
                            "0", "hidden_states");
  check_throws<shape_error>([&] { (void)open_layers(matrices{m(2, 3)}); },
                            "hidden states h_0 ... h_L of at least 2 layers", "1", "hidden_states");
  check_throws<shape_error>([&] { (void)open_layers(matrices{m(2, 3), m(2, 3), m(3, 2)}); }, "a matrix of 2 x 3",
                            "3 x 2", "hidden_states, layer 2");
  check_throws<degenerate_input_error>([&] { (void)open_layers(matrices{m(0, 3), m(0, 3)}); },
                                       "a matrix with rows and columns", "0 x 3", "hidden_states, layer 0");
  check_throws<degenerate_input_error>([&] { (void)open_layers(matrices{m(2, 0), m(2, 0)}); },
                                       "a matrix with rows and columns", "2 x 0", "hidden_states, layer 0");
  check_throws<degenerate_input_error>(
      [&] { (void)open_layers(hidden_states_view<float>::layer_major(nullptr, 2, 0, 3)); },
      "a matrix with rows and columns", "0 x 3", "hidden_states, layer 0");
}

TEST_CASE("the culprit among a row's values is named") {
  using layerwise::detail::fail_non_finite;
  const double infinity = std::numeric_limits<double>::infinity(), largest = std::numeric_limits<double>::max();
  const double finite[] = {0, -largest, largest, std::numeric_limits<double>::denorm_min()};
  fail_non_finite(finite, 4, {});
  const double minus[] = {0, 1, -infinity, infinity};
  check_throws<non_finite_error>([&] { fail_non_finite(minus, 4, {.operand = "after", .row = 3}); }, "finite values",
                                 "-inf", "after, row 3, column 2");
  const double nan[] = {std::numeric_limits<double>::quiet_NaN()};
  check_throws<non_finite_error>([&] { fail_non_finite(nan, 1, {.operand = "x", .layer = 1, .row = 0}); },
                                 "finite values", "nan", "x, layer 1, row 0, column 0");
}

#if !defined(__clang__) || __clang_major__ >= 16  // older ones do not compile libstdc++'s std::views
/// Layers made when they are asked for, as a view's transformation.
const auto chosen_rows = [](const row_major& h) { return h(std::array<int, 3>{2, 0, 1}, Eigen::seq(0, 3)); };
[[maybe_unused]] const auto converted = [](const row_major& h) -> Eigen::Ref<const Eigen::MatrixXd> { return h; };

TEST_CASE("expressions that are gone when they have been opened are read as they were") {
  std::mt19937_64 random(20);
  const std::vector<row_major> layers{random_matrix(random, 5, 4), random_matrix(random, 5, 4)};
  const auto range = layers | std::views::transform(chosen_rows);
  static_assert(hidden_states<decltype(range)>);
  const auto readers = layerwise::detail::open_layers(range);
  const std::vector<double> overwritten(1000, 7.0);  // what was on the heap or the stack
  for (std::size_t l = 0; l < 2; ++l)
    for (index i = 0; i < 3; ++i) {
      Eigen::RowVectorXd row(4);
      readers[l].read(i, row.data());
      CHECK(row == layers[l].row((i + 2) % 3));
    }
  // A Ref to const may own a copy: a range of them by value would refer to nothing.
  static_assert(!hidden_states<decltype(layers | std::views::transform(converted))>);
  static_assert(hidden_states<std::vector<Eigen::Ref<const Eigen::MatrixXd>>>);
}
#endif

TEST_CASE("parts of a matrix by sequences of indices, with or without memory of their own form") {
  std::mt19937_64 random(21);
  const row_major x = random_matrix(random, 7, 6);
  const auto check = [](const auto& part, const row_major& expected) {
    static_assert(embedding_matrix<std::remove_cvref_t<decltype(part)>>);
    const layerwise::detail::row_reader reader(part);
    REQUIRE(reader.rows() == expected.rows());
    REQUIRE(reader.cols() == expected.cols());
    Eigen::RowVectorXd row(reader.cols());
    for (index i = 0; i < reader.rows(); ++i) {
      reader.read(i, row.data());
      CHECK(row == expected.row(i));
    }
  };
  const auto columns = Eigen::seqN(0, 6);
  check(x(Eigen::seq(0, 6, 2), columns), layerwise_test::rows_of(x, std::array{0, 2, 4, 6}));
  check(x(Eigen::seq(0, 6, Eigen::fix<3>), columns), layerwise_test::rows_of(x, std::array{0, 3, 6}));
  check(x(std::vector<int>{6, 6, 1}, columns), layerwise_test::rows_of(x, std::array{6, 6, 1}));
  check(x.nestByValue(), x);
  check((2.0 * x).topRows(2), 2.0 * x.topRows(2));
}

TEST_CASE("rows read some at once are the rows read one by one, in any storage order and with any stride") {
  std::mt19937_64 random(22);
  const std::vector<index> some{5, 3, 3, 0, 20, 19, 18, 6, 7, 8, 9};
  const auto check = [&](const auto& matrix) {
    const layerwise::detail::row_reader reader(matrix);
    const index d = reader.cols(), stride = d + 3;
    for (const index count : {index{0}, index{1}, static_cast<index>(some.size())}) {
      std::vector<double> out(some.size() * static_cast<std::size_t>(stride), -1.0), expected = out;
      for (index k = 0; k < count; ++k) reader.read(some[static_cast<std::size_t>(k)], expected.data() + k * stride);
      reader.read_rows(some.data(), count, out.data(), stride);
      CHECK(out == expected);  // nothing between the rows is written
    }
  };
  for (const index d : {1, 7, 8, 9, 16, 31}) {
    CAPTURE(d);
    const row_major rows = random_matrix(random, 21, d);
    const Eigen::MatrixXd columns = rows;
    const Eigen::Matrix<Eigen::bfloat16, Eigen::Dynamic, Eigen::Dynamic> halves =
        rows.cast<float>().cast<Eigen::bfloat16>();
    check(rows);
    check(columns);
    check(halves);
    check(2.0 * columns);
    check(strided_view<const double>(columns.data() + 20, 21, d, -1, 21));  // upside down
    check(strided_view<const double>(rows.data(), 21, (d + 1) / 2, d, 2));  // every other column
    check(layerwise::any_view(strided_view<const double>(columns.data(), 21, d, 1, 21)));
  }
}

TEST_CASE("an expression that draws its elements is read as one matrix, drawn once") {
  std::mt19937_64 random(5);
  int drawn_so_far = 0;
  const auto draw = [&] { return ++drawn_so_far, std::normal_distribution<double>()(random); };
  const auto drawing = Eigen::MatrixXd::NullaryExpr(600, 3, draw);
  const Eigen::MatrixXd y = Eigen::MatrixXd::Random(600, 3);
  layerwise::linearity(drawing, y);
  CHECK(drawn_so_far == 1800);
  layerwise::residual_linearity(y, drawing);
  CHECK(drawn_so_far == 3600);
  layerwise::displacement(drawing, y);
  CHECK(drawn_so_far == 5400);
  Eigen::MatrixXd of_y = Eigen::MatrixXd::Zero(600, 3);
  layerwise::linearity_and_gradient(drawing, y, nullptr, of_y);
  CHECK(drawn_so_far == 7200);
  layerwise::cross_moments moments;
  moments.add(drawing, 2.0 * drawing);
  CHECK(drawn_so_far == 10800);
}

/// Layers as rows only, and as the dense matrices of the same doubles.
struct made_layers {
  std::vector<row_major> sources, dense;
  std::vector<row_maker> rows;

  made_layers(index layers, index tokens, index d) : sources(static_cast<std::size_t>(layers)) {
    std::mt19937_64 random(23);
    row_major h = random_matrix(random, tokens + 2, d);
    for (row_major& source : sources) {
      source = h;
      h += 0.1 * h * random_matrix(random, d, d) + 0.3 * random_matrix(random, tokens + 2, d);
    }
    const row_major scales = random_matrix(random, layers, d);
    for (index l = 0; l < layers; ++l) {
      rows.push_back({&sources[static_cast<std::size_t>(l)], 2, {scales.row(l).begin(), scales.row(l).end()}});
      dense.emplace_back(tokens, d);
      for (index i = 0; i < tokens; ++i) rows.back().make(i, &dense.back()(i, 0));
    }
  }
};

void check_same(const layerwise::linearity_result& got, const layerwise::linearity_result& want) {
  layerwise::for_each_field<layerwise::linearity_result>([&](const auto& f) {
    CAPTURE(f.name);
    CHECK(got.*f.member == want.*f.member);
  });
}

void check_same(const layerwise::layer_profile& got, const layerwise::layer_profile& want) {
  REQUIRE(got.layers.size() == want.layers.size());
  CHECK(got.tokens == want.tokens);
  for (std::size_t l = 0; l < got.layers.size(); ++l) {
    CAPTURE(l);
    std::vector<double> g, w;
    const auto into = [](std::vector<double>& values) {
      return [&values](const std::string&, const auto* value, std::string_view) {
        values.push_back(value == nullptr ? -1.0 : static_cast<double>(*value));
      };
    };
    layerwise::visit_values(&got.layers[l], into(g));
    layerwise::visit_values(&want.layers[l], into(w));
    CHECK(g == w);
  }
}

TEST_CASE("a matrix that only gives its rows has the metrics of the same numbers in memory, to the bit") {
  const made_layers made(2, 300, 12);
  const auto &x = made.rows[0], &y = made.rows[1];
  const auto &dx = made.dense[0], &dy = made.dense[1];
  CHECK(read(x) == dx);
  CHECK(read(row_maker_view{&x}) == dx);
  const auto mask = layerwise::token_mask::skip_first(300, 50, 3);
  for (const auto method :
       {layerwise::solver::automatic, layerwise::solver::cholesky, layerwise::solver::rank_revealing}) {
    const layerwise::linearity_options options{.method = method};
    check_same(layerwise::linearity(x, y, options, mask), layerwise::linearity(dx, dy, options, mask));
    check_same(layerwise::residual_linearity(x, y, options), layerwise::residual_linearity(dx, dy, options));
  }
  check_same(layerwise::linearity(x, dy), layerwise::linearity(dx, dy));
  check_same(layerwise::linearity(x, 2.0 * dy), layerwise::linearity(dx, row_major(2.0 * dy)));
  const layerwise::linear_map map = layerwise::fit_linear_map(x, y, {}, mask),
                              want = layerwise::fit_linear_map(dx, dy, {}, mask);
  CHECK(map.weight == want.weight);
  CHECK(map.bias == want.bias);
  CHECK(map(x) == want(dx));
  CHECK(layerwise::displacement(x, y) == layerwise::displacement(dx, dy));
  CHECK(layerwise::angular_distance(x, y) == layerwise::angular_distance(dx, dy));
  CHECK(layerwise::cosine_similarity(x, y) == layerwise::cosine_similarity(dx, dy));
  CHECK(layerwise::contribution_ratio(x, y) == layerwise::contribution_ratio(dx, dy));
  CHECK(layerwise::contribution_ratio_frobenius(x, y) == layerwise::contribution_ratio_frobenius(dx, dy));
  CHECK(layerwise::residual_update(x, y) == layerwise::residual_update(dx, dy));
  CHECK(layerwise::procrustes_normalize(x) == layerwise::procrustes_normalize(dx));
  layerwise::cross_moments moments, dense;
  moments.add(x, y, mask);
  dense.add(dx, dy, mask);
  check_same(layerwise::linearity(moments), layerwise::linearity(dense));
}

TEST_CASE("layers that only give their rows are hidden states, of a profile and of regularizers") {
  const made_layers made(4, 700, 9);
  const auto mask = layerwise::token_mask::skip_first(700, 100);
  check_same(layerwise::profile(made.rows), layerwise::profile(made.dense));
  check_same(layerwise::profile(made.rows, {}, mask), layerwise::profile(made.dense, {}, mask));
  layerwise::layer_profiler streamed, dense;
  for (int batch = 0; batch < 3; ++batch) {
    streamed.add(made.rows, mask);
    dense.add(made.dense, mask);
  }
  check_same(streamed.profile(), dense.profile());

  std::vector<row_major> gradients(4, row_major::Zero(700, 9)), want = gradients;
  const auto check = [&](const auto& regularizer) {
    CHECK(regularizer.value(made.rows, mask) == regularizer.value(made.dense, mask));
    CHECK(regularizer.value_and_gradient(made.rows, gradients, mask) ==
          regularizer.value_and_gradient(made.dense, want, mask));
    CHECK(gradients == want);
  };
  check(layerwise::mse_regularizer{.lambda = 2.0});
  check(layerwise::cosine_regularizer{.lambda = 2.0});
  check(layerwise::jreg_regularizer{.lambda = 2.0, .alpha = 0.5});
  layerwise::linearity_and_gradient(made.rows[0], made.rows[1], gradients[0], gradients[1]);
  layerwise::linearity_and_gradient(made.dense[0], made.dense[1], want[0], want[1]);
  CHECK(gradients == want);
}

TEST_CASE("layers of a variant are memory or rows, as it turns out when the program runs") {
  const made_layers made(4, 120, 6);
  const std::vector<memory_or_rows> some{
      row_maker_view{&made.rows[0]}, strided_view<const double>(made.dense[1].data(), 120, 6),
      row_maker_view{&made.rows[2]}, strided_view<const double>(made.dense[3].data(), 120, 6)};
  check_same(layerwise::profile(some), layerwise::profile(made.dense));
  const layerwise::jreg_regularizer jreg{.lambda = 1.0, .alpha = 1.0};
  CHECK(jreg.value(some) == jreg.value(made.dense));

  // Of types that own their elements, and of one that is computed.
  using owned = std::variant<row_maker, row_major, std::remove_const_t<decltype(2.0 * made.dense[0])>, Eigen::MatrixXd>;
  const std::vector<owned> others{made.rows[0], made.dense[1], Eigen::MatrixXd(made.dense[2]), made.rows[3]};
  check_same(layerwise::profile(others), layerwise::profile(made.dense));
  check_same(layerwise::linearity(owned(2.0 * made.dense[0]), made.dense[1]),
             layerwise::linearity(row_major(2.0 * made.dense[0]), made.dense[1]));
  CHECK(layerwise::displacement(others[0], others[1]) == layerwise::displacement(made.dense[0], made.dense[1]));
}

TEST_CASE("a view may be any embedding matrix that refers to its elements") {
  std::mt19937_64 random(24);
  const Eigen::MatrixXf m = random_matrix(random, 40, 5).cast<float>();
  CHECK(read(wrapped{&m}) == 2.0 * m.cast<double>());
}

TEST_CASE("what is wrong with rows is said with their place, as of memory") {
  made_layers made(3, 30, 4);
  made.sources[1](2 + 7, 0) = std::numeric_limits<double>::quiet_NaN();  // the last column
  check_throws<non_finite_error>([&] { layerwise::profile(made.rows); }, "finite values", "nan",
                                 "hidden_states, layer 1, row 7, column 3");
  check_throws<non_finite_error>([&] { layerwise::linearity(made.rows[0], made.rows[1]); }, "finite values", "nan",
                                 "Y, row 7, column 3");
  made.sources[1].row(2 + 7).setZero();
  check_throws<degenerate_input_error>([&] { layerwise::displacement(made.rows[0], made.rows[1]); },
                                       "a row other than zero, where an angle is asked for", "a row of zeros",
                                       "after, row 7");
  made.rows[2].first_row = 3;
  check_throws<shape_error>([&] { layerwise::profile(made.rows); }, "a matrix of 30 x 4", "29 x 4",
                            "hidden_states, layer 2");
  made.rows[2].first_row = 33;
  check_throws<shape_error>([&] { layerwise::profile(made.rows); }, "rows >= 0 and cols >= 0", "-1 x 4",
                            "embedding_traits");
  made.rows[2].first_row = 32;
  check_throws<degenerate_input_error>([&] { layerwise::linearity(made.rows[2], made.rows[2]); },
                                       "a matrix with rows and columns", "0 x 4", "X");
}

}  // namespace
