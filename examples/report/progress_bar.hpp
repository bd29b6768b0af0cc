#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

namespace examples::report {

/// A line on stderr that fills up, redrawn at most ten times a second and wiped at the end; nothing at all
/// unless stderr is a terminal.
class progress_bar {
 public:
  progress_bar(std::int64_t total, std::string unit);
  ~progress_bar();
  progress_bar(const progress_bar&) = delete;
  progress_bar& operator=(const progress_bar&) = delete;

  void advance(std::int64_t amount);  // from any thread

 private:
  using clock = std::chrono::steady_clock;

  std::mutex advancing_;
  std::int64_t total_;
  std::string unit_;
  std::int64_t done_ = 0;
  bool visible_;
  clock::time_point last_drawn_;
};

}  // namespace examples::report
