#include "report/progress_bar.hpp"

#include "report/bar.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <utility>

#include <unistd.h>

namespace examples::report {

progress_bar::progress_bar(std::int64_t total, std::string unit)
    : total_(total), unit_(std::move(unit)), visible_(::isatty(STDERR_FILENO) != 0), last_drawn_(clock::now()) {}

progress_bar::~progress_bar() {
  if (visible_) std::fputs("\r\x1b[K", stderr);
}

void progress_bar::advance(std::int64_t amount) {
  const std::lock_guard lock(advancing_);
  done_ += amount;
  const auto now = clock::now();
  if (!visible_ || now - last_drawn_ < std::chrono::milliseconds(100)) return;
  last_drawn_ = now;
  const auto share = static_cast<double>(done_) / static_cast<double>(total_);
  fmt::print(stderr, "\r{} {:3.0f} %  {} of {} {}\x1b[K", bar(share, 30), 100 * share, done_, total_, unit_);
  std::fflush(stderr);
}

}  // namespace examples::report
