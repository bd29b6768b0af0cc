#include "report/bar.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

namespace examples::report {

std::string bar(double share, int width) {
  constexpr std::array<std::string_view, 8> eighths{" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  const auto filled = static_cast<int>(std::lround(std::clamp(share, 0.0, 1.0) * 8 * width));
  std::string result;
  for (int column = 0; column < width; ++column) {
    const int rest = std::clamp(filled - 8 * column, 0, 8);
    result += rest == 8 ? std::string_view("█") : eighths[static_cast<std::size_t>(rest)];
  }
  return result;
}

}  // namespace examples::report
