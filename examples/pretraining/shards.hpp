#pragma once

#include <cstdint>
#include <functional>

namespace pretraining {

/// Has every libtorch operation of this process run in the thread that calls it. One operation of a small
/// model is too short to be shared out; whole shards of a batch are not, see for_each_shard.
void use_one_thread_per_operation();

/// Has the C library keep the memory of tensors that are gone for those to come: handing it back and asking
/// for it again, step after step, takes a tenth of the time.
void keep_freed_memory();

/// work(0) ... work(count - 1), each in a thread of its own, and waits for all. Throws what one of them
/// threw.
void for_each_shard(std::int64_t count, const std::function<void(std::int64_t)>& work);

}  // namespace pretraining
