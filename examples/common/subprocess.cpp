#include "common/subprocess.hpp"

#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;  // POSIX leaves its declaration to the program. NOLINT

namespace examples {
namespace {

[[noreturn]] void fail(int code, const char* what) { throw std::system_error(code, std::generic_category(), what); }

/// A temporary file without a name, gone when closed.
class scratch_file {
 public:
  scratch_file() : file_(std::tmpfile()) {
    if (!file_) fail(errno, "can't make a temporary file");
  }

  int fd() const { return ::fileno(file_.get()); }

  void write(const std::string& text) {
    if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size() || std::fflush(file_.get()) != 0)
      fail(errno, "can't write a temporary file");
    std::rewind(file_.get());
  }

  std::string read() {
    std::rewind(file_.get());
    std::string text;
    char buffer[1 << 16];
    while (const auto count = std::fread(buffer, 1, sizeof buffer, file_.get())) text.append(buffer, count);
    return text;
  }

 private:
  struct closer {
    void operator()(std::FILE* file) const { static_cast<void>(std::fclose(file)); }  // nothing of it is kept
  };
  std::unique_ptr<std::FILE, closer> file_;
};

struct file_actions {
  posix_spawn_file_actions_t value;
  file_actions() {
    if (const int code = ::posix_spawn_file_actions_init(&value)) fail(code, "can't start a process");
  }
  file_actions(const file_actions&) = delete;
  file_actions& operator=(const file_actions&) = delete;
  ~file_actions() { ::posix_spawn_file_actions_destroy(&value); }
  void redirect(int from, int to) {
    if (const int code = ::posix_spawn_file_actions_adddup2(&value, to, from)) fail(code, "can't start a process");
  }
};

}  // namespace

std::optional<process_result> run_process(const std::vector<std::string>& command, const std::string& input) {
  scratch_file in, out, err;
  in.write(input);
  file_actions actions;
  actions.redirect(STDIN_FILENO, in.fd());
  actions.redirect(STDOUT_FILENO, out.fd());
  actions.redirect(STDERR_FILENO, err.fd());

  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const auto& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);

  pid_t child = 0;
  const int code = ::posix_spawnp(&child, arguments[0], &actions.value, nullptr, arguments.data(), environ);
  if (code == ENOENT) return std::nullopt;
  if (code != 0) fail(code, "can't start a process");

  int status = 0;
  rusage usage{};
  while (::wait4(child, &status, 0, &usage) < 0)
    if (errno != EINTR) fail(errno, "can't wait for a process");
  const int exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return process_result{exit_status, out.read(), err.read(), usage.ru_maxrss};
}

}  // namespace examples
