#include "model_run.hpp"

#include "common/input_error.hpp"

#include <ggml-backend.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <string>
#include <unordered_map>
#include <utility>

namespace examples::layerwise_llama {

/// What the callback does with the nodes of a micro-batch: nothing is thrown through llama.cpp, which is C.
struct node_watch {
  std::function<bool(ggml_tensor*, bool ask)> see;  // as ggml_backend_sched_eval_callback
  std::exception_ptr failed;

  static bool callback(ggml_tensor* node, bool ask, void* self) {
    auto& watch = *static_cast<node_watch*>(self);
    if (watch.failed) return false;
    try {
      return watch.see(node, ask);
    } catch (...) {
      watch.failed = std::current_exception();
      return false;
    }
  }
  static bool abort(void* self) { return static_cast<node_watch*>(self)->failed != nullptr; }
};

/// Some tokens of a sequence, of all of which outputs are wanted: llama.cpp drops the rows of others in the last block.
class token_batch {
 public:
  explicit token_batch(index most) : batch_(llama_batch_init(static_cast<std::int32_t>(most), 0, 1)) {}
  ~token_batch() { llama_batch_free(batch_); }
  token_batch(const token_batch&) = delete;
  token_batch& operator=(const token_batch&) = delete;

  void fill(const token* tokens, index first_position, index count) {
    batch_.n_tokens = static_cast<std::int32_t>(count);
    for (index i = 0; i < count; ++i) {
      batch_.token[i] = tokens[i];
      batch_.pos[i] = static_cast<llama_pos>(first_position + i);
      batch_.n_seq_id[i] = 1;
      batch_.seq_id[i][0] = 0;
      batch_.logits[i] = 1;
    }
  }
  const llama_batch& get() const { return batch_; }

 private:
  llama_batch batch_;
};

class model_run::engine {
 public:
  engine(const language_model& model, const token_sequences& sequences, const run_options& options)
      : model_(&model),
        sequences_(&sequences),
        micro_batch_(std::min(options.micro_batch, sequences.longest())),
        batch_(micro_batch_) {
    auto params = llama_context_default_params();
    params.n_ctx = static_cast<std::uint32_t>(sequences.longest());
    params.n_batch = params.n_ubatch = static_cast<std::uint32_t>(micro_batch_);
    params.n_threads = params.n_threads_batch = options.threads;
    params.offload_kqv = params.op_offload = false;
    if (options.exact) {
      params.type_k = params.type_v = GGML_TYPE_F32;
      params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;  // it rounds keys and values to 16 bits
    }
    params.cb_eval = node_watch::callback;
    params.cb_eval_user_data = &watch_;
    params.abort_callback = node_watch::abort;
    params.abort_callback_data = &watch_;
    context_.reset(llama_init_from_model(model.get(), params));
    if (!context_) reject(model.path(), "llama.cpp can't run it: {}", complaint_of_llama("it does not say why"));
    if (llama_get_memory(context_.get()) == nullptr)
      reject(model.path(), "{} keeps no memory of a text: expected a model that reads it from left to right",
             in_quotes(model.architecture()));
    find_stream();
  }

  const residual_stream& stream() const { return stream_; }
  const token_sequences& sequences() const { return *sequences_; }
  const run_seconds& seconds() const { return seconds_; }
  index runs() const { return runs_; }

  void each_batch(const std::vector<index>& wanted, const batch_body& body, next_token_loss* loss) {
    ++runs_;
    watch_states(wanted, loss != nullptr);
    const auto* tokens = sequences_->tokens.data();
    for (index start = 0; const auto length : sequences_->lengths) {
      llama_memory_clear(llama_get_memory(context_.get()), false);
      for (index done = 0; done < length; done += rows_) {
        rows_ = std::min(micro_batch_, length - done);
        decode(tokens + start + done, done, rows_);
        require_all_states();
        time(seconds_.body, [&] { body(views(), start + done, rows_); });
        if (loss != nullptr) add_losses(*loss, start + done, length - done);
      }
      start += length;
    }
  }

 private:
  template <class Body>
  static void time(std::chrono::duration<double>& sum, const Body& body) {
    const auto begin = std::chrono::steady_clock::now();
    body();
    sum += std::chrono::steady_clock::now() - begin;
  }

  void decode(const token* tokens, index position, index count) {
    batch_.fill(tokens, position, count);
    seen_ = 0;
    int status = 0;
    time(seconds_.model, [&] { status = llama_decode(context_.get(), batch_.get()); });
    if (watch_.failed) std::rethrow_exception(std::exchange(watch_.failed, nullptr));
    if (status != 0)
      reject(model_->path(), "llama.cpp can't run it: {}",
             complaint_of_llama("llama_decode gave " + std::to_string(status)));
  }

  void find_stream() {
    graph_scout scout;
    watch_.see = [&](ggml_tensor* node, bool) {
      scout.see(*node);
      return false;
    };
    constexpr index few = 4;
    const index count = std::min({few, micro_batch_, sequences_->lengths.front()});
    decode(sequences_->tokens.data(), 0, count);
    stream_ = scout.stream(*model_, count);
    seconds_ = {};
  }

  void watch_states(const std::vector<index>& wanted, bool to_the_end) {
    places_.clear();
    for (const auto l : wanted) places_.emplace(stream_.nodes[static_cast<std::size_t>(l)], places_.size());
    buffers_.resize(wanted.size());
    watch_.see = [this, to_the_end](ggml_tensor* node, bool ask) { return see(*node, ask, to_the_end); };
  }

  /// llama.cpp asks of every node whether it is wanted, and gives it when it was. The rest of the graph is left out as
  /// soon as the answer then is no.
  bool see(const ggml_tensor& node, bool ask, bool to_the_end) {
    const auto found = places_.find(node.name);
    if (ask) return found != places_.end();
    time(seconds_.copies, [&] { copy(node, buffers_[found->second]); });
    ++seen_;
    return to_the_end || seen_ < std::ssize(buffers_);
  }

  /// A node's memory is another's as soon as the callback returns.
  void copy(const ggml_tensor& node, std::vector<float>& buffer) const {
    if (!is_state(node, stream_.dimensions, rows_))
      reject(model_->path(), "expected {} x {} of {} for node {}, got {} x {} of {}", stream_.dimensions, rows_, "F32",
             node.name, node.ne[0], node.ne[1], ggml_type_name(node.type));
    const auto row = static_cast<std::size_t>(stream_.dimensions), rows = static_cast<std::size_t>(rows_);
    buffer.resize(row * static_cast<std::size_t>(micro_batch_));
    if (ggml_is_contiguous(&node))
      ggml_backend_tensor_get(&node, buffer.data(), 0, rows * row * sizeof(float));
    else
      for (std::size_t i = 0; i < rows; ++i)
        ggml_backend_tensor_get(&node, buffer.data() + i * row, i * node.nb[1], row * sizeof(float));
  }

  void require_all_states() const {
    if (seen_ != std::ssize(buffers_))
      reject(model_->path(), "expected {} states from {}, got {}", buffers_.size(), in_quotes(model_->architecture()),
             seen_);
  }

  states views() const {
    states result;
    for (const auto& buffer : buffers_)
      result.emplace_back(layerwise::strided_view<const float>(buffer.data(), rows_, stream_.dimensions));
    return result;
  }

  /// Of the micro-batch, whose tokens come first of the `left` of its sequence.
  void add_losses(next_token_loss& loss, index first, index left) {
    time(seconds_.model, [&] {
      const float* logits = llama_get_logits(context_.get());
      for (index i = 0; i < std::min(rows_, left - 1); ++i) {
        const auto next = sequences_->tokens[static_cast<std::size_t>(first + i + 1)];
        const double nats = loss.add(logits + i * model_->vocabulary(), model_->vocabulary(), next);
        if (!std::isfinite(nats))
          reject(model_->path(), "expected a finite loss of token {}, got {}", first + i + 1, nats);
      }
    });
  }

  const language_model* model_;
  const token_sequences* sequences_;
  index micro_batch_;
  node_watch watch_;
  std::unique_ptr<llama_context, decltype(&llama_free)> context_{nullptr, llama_free};
  token_batch batch_;
  residual_stream stream_;
  run_seconds seconds_;
  index runs_ = 0;

  std::unordered_map<std::string, std::size_t> places_;  // of their nodes in buffers_
  std::vector<std::vector<float>> buffers_;              // row-major
  index rows_ = 0;                                       // of the micro-batch
  index seen_ = 0;                                       // of its states
};

model_run::model_run(const language_model& model, const token_sequences& sequences, const run_options& options)
    : engine_(std::make_unique<engine>(model, sequences, options)) {}
model_run::~model_run() = default;

const residual_stream& model_run::stream() const { return engine_->stream(); }
const token_sequences& model_run::sequences() const { return engine_->sequences(); }
const run_seconds& model_run::seconds() const { return engine_->seconds(); }
index model_run::runs() const { return engine_->runs(); }

void model_run::each_batch(const std::vector<index>& wanted, const batch_body& body, next_token_loss* loss) const {
  engine_->each_batch(wanted, body, loss);
}

}  // namespace examples::layerwise_llama
