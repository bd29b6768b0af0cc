#include "shards.hpp"

#include <ATen/Parallel.h>

#include <future>
#include <vector>

#include <dlfcn.h>
#include <malloc.h>

namespace pretraining {

void use_one_thread_per_operation() {
  at::set_num_threads(1);
  // OpenBLAS, where it is the BLAS behind libtorch, has threads of its own that libtorch does not know of.
  if (void* set = ::dlsym(RTLD_DEFAULT, "openblas_set_num_threads")) reinterpret_cast<void (*)(int)>(set)(1);
}

void keep_freed_memory() {
#ifdef __GLIBC__
  constexpr int bytes = 1 << 30;
  ::mallopt(M_MMAP_THRESHOLD, bytes);
  ::mallopt(M_TRIM_THRESHOLD, bytes);
#endif
}

void for_each_shard(std::int64_t count, const std::function<void(std::int64_t)>& work) {
  std::vector<std::future<void>> others;
  for (std::int64_t shard = 1; shard < count; ++shard)
    others.push_back(std::async(std::launch::async, [&work, shard] {
      at::init_num_threads();  // a new thread starts with the default number
      work(shard);
    }));
  if (count > 0) work(0);
  for (auto& other : others) other.get();
}

}  // namespace pretraining
