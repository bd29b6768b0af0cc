#!/usr/bin/env python3
"""Makes the models that layerwise-llama is tested with, and the states that transformers computes with them.

    python tests/examples/layerwise_llama/make_models.py

needs torch, transformers and gguf. In models/ beside it: NAME.gguf, three layers of 24 dimensions with random
float32 weights, and NAME.safetensors, hidden_states [layer][token][dim] as hooks on the blocks see them, of
text.txt in sequences of 40, 40 and 20 tokens; its metadata have the mean loss of the next tokens. Models that
are to be refused have no states.
"""

import os
import pathlib
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "..", "examples", "python"))

import gguf
import numpy
import torch
import transformers
from safetensors_writer import HiddenStatesWriter

FOLDER = pathlib.Path(__file__).parent
TEXT = (FOLDER / "text.txt").read_text()
TOKENS, SEQUENCE = 100, 40
LAYERS, DIMS, HEADS, INNER, CONTEXT = 3, 24, 3, 32, 64
SYMBOLS = "abcdefghijklmnopqrstuvwxyz., \n"
BOS = len(SYMBOLS) + 1  # after the symbols, and the result of a merge that the text has no use for
SIZES = dict(
    vocab_size=BOS + 1,
    hidden_size=DIMS,
    num_hidden_layers=LAYERS,
    num_attention_heads=HEADS,
    intermediate_size=INNER,
    max_position_embeddings=CONTEXT,
    bos_token_id=BOS,
    eos_token_id=BOS,
    pad_token_id=None,
    attn_implementation="eager",
)
GPT2 = dict(n_embd=DIMS, n_layer=LAYERS, n_head=HEADS, n_positions=CONTEXT, n_inner=INNER)

# name: architecture in GGUF, class in transformers, its configuration beside SIZES, whether a sequence begins with BOS
MODELS = {
    "llama": ("llama", "LlamaForCausalLM", dict(tie_word_embeddings=False), True),
    "mistral": (
        "llama",
        "MistralForCausalLM",
        dict(num_key_value_heads=1, head_dim=10, sliding_window=None),
        True,
    ),
    "qwen2": ("qwen2", "Qwen2ForCausalLM", dict(num_key_value_heads=1, use_sliding_window=False), False),
    "qwen3": (
        "qwen3",
        "Qwen3ForCausalLM",
        dict(num_key_value_heads=1, head_dim=12, use_sliding_window=False),
        False,
    ),
    "gemma3": (
        "gemma3",
        "Gemma3ForCausalLM",
        dict(
            num_key_value_heads=1,
            head_dim=12,
            query_pre_attn_scalar=12,
            sliding_window=8,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        ),
        True,
    ),
    "phi2": ("phi2", "PhiForCausalLM", dict(partial_rotary_factor=0.5), False),
    "phi3": ("phi3", "Phi3ForCausalLM", dict(num_key_value_heads=1, sliding_window=None), False),
    "gpt2": ("gpt2", "GPT2LMHeadModel", GPT2, False),
    "gptneox": ("gptneox", "GPTNeoXForCausalLM", dict(rotary_pct=0.5), False),
    "bloom": ("bloom", "BloomForCausalLM", dict(n_layer=LAYERS, n_head=HEADS), False),
    "olmo2": ("olmo2", "Olmo2ForCausalLM", {}, False),
    "bert": ("bert", "BertModel", {}, False),
}
# Norms of the one come after what they are of, so that none is given the stream; the other does not read from left to
# right.
REFUSED = ["olmo2", "bert"]

# llama.cpp's graph of plamo2 has no names for what its blocks put out. Its tensors, as numpy has their axes: the
# last block is a recurrent one.
ATTENTION = {
    "attn_qkv.weight": (3 * DIMS, DIMS),
    "attn_q_norm.weight": (HEADS, DIMS // HEADS),
    "attn_k_norm.weight": (HEADS, DIMS // HEADS),
    "attn_output.weight": (DIMS, DIMS),
}
STATE, TIME_STEP = 8, 64
RECURRENT = {
    "ssm_in.weight": (2 * DIMS, DIMS),
    "ssm_conv1d.weight": (DIMS, 4),
    "ssm_x.weight": (TIME_STEP + 2 * STATE, DIMS),
    "ssm_dt.weight": (HEADS, TIME_STEP),
    "ssm_dt.bias": (HEADS,),
    "ssm_a": (HEADS,),
    "ssm_d": (HEADS,),
    "ssm_out.weight": (DIMS, DIMS),
    "ssm_dt_norm": (TIME_STEP,),
    "ssm_b_norm": (STATE,),
    "ssm_c_norm": (STATE,),
}
EVERY = {
    "attn_norm.weight": (DIMS,),
    "post_attention_norm": (DIMS,),
    "ffn_norm.weight": (DIMS,),
    "ffn_up.weight": (2 * INNER, DIMS),
    "ffn_down.weight": (DIMS, INNER),
    "post_ffw_norm": (DIMS,),
}


def build(name):
    _, kind, more, _ = MODELS[name]
    torch.manual_seed(list(MODELS).index(name))
    model_class = getattr(transformers, kind)
    model = model_class(model_class.config_class(**(SIZES | more))).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.2 * torch.randn_like(parameter)  # norms that are none of ones
            else:
                parameter.normal_(std=parameter.shape[-1] ** -0.5)
    return model


def blocks_of(model):
    base = model.base_model
    return next(getattr(base, place) for place in ("layers", "h") if hasattr(base, place))


def sequences_of(bos):
    """As layerwise-llama cuts them."""
    prefix = [BOS] if bos else []
    ids = [SYMBOLS.index(letter) for letter in TEXT]
    body = SEQUENCE - len(prefix)
    cut = [prefix + ids[start : start + body] for start in range(0, len(ids), body)]
    whole, rest = divmod(TOKENS, SEQUENCE)
    return cut[:whole] + [cut[whole][:rest]]


def states_of(model, ids):
    """(hidden_states [layer][token][dim], the sum of the next tokens' losses) of one sequence."""
    seen = []
    blocks = blocks_of(model)

    def output(_, __, result):
        seen.append(result[0] if isinstance(result, tuple) else result)

    hooks = [
        blocks[0].register_forward_pre_hook(
            lambda _, given, named: seen.append(given[0] if given else named["hidden_states"]),
            with_kwargs=True,
        )
    ]
    hooks += [block.register_forward_hook(output) for block in blocks]
    with torch.no_grad():
        logits = model(torch.tensor([ids]), use_cache=False).logits[0].double()
    for hook in hooks:
        hook.remove()
    loss = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(ids[1:]), reduction="sum")
    return torch.stack([state.reshape(len(ids), DIMS).clone() for state in seen]).numpy(), loss.item()


def rotated(weight, heads):
    """The rows of a projection in the order that GGUF has them in for llama: pairs side by side."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def parts_apart(fused, dims):
    """q, k, v of all heads one after the other, where transformers has those of each head together."""
    return fused.reshape(HEADS, 3, dims // HEADS, -1).swapaxes(0, 1).reshape(fused.shape)


def converted(architecture, name, weight, config):
    if architecture == "llama" and "q_proj" in name:
        return rotated(weight, HEADS)
    if architecture == "llama" and "k_proj" in name:
        return rotated(weight, config.num_key_value_heads)
    if architecture == "gpt2" and weight.ndim == 2 and ".h." in name:
        return weight.T
    if architecture in ("gptneox", "bloom") and "query_key_value" in name:
        return parts_apart(weight, DIMS)
    if architecture == "gemma3" and name.endswith("norm.weight"):
        return weight + 1  # GGUF has what the state is multiplied by
    return weight


def add_vocabulary(writer, bos):
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    # Byte-level BPE: a space is written as U+0120, a line's end as U+010A.
    letters = [*SYMBOLS.replace(" ", "\u0120").replace("\n", "\u010a")]
    writer.add_token_list([*letters, "qz", "<s>"])
    writer.add_token_types([gguf.TokenType.NORMAL] * (len(letters) + 1) + [gguf.TokenType.CONTROL])
    writer.add_token_merges(["q z"])
    writer.add_bos_token_id(BOS)
    writer.add_add_bos_token(bos)


def add_sizes(writer, architecture, config, heads_kv):
    head = getattr(config, "head_dim", None) or DIMS // HEADS
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(DIMS)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(4 * DIMS if architecture == "bloom" else INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(heads_kv or getattr(config, "num_key_value_heads", None) or HEADS)
    writer.add_key_length(head)
    writer.add_value_length(head)
    epsilons = [
        getattr(config, key, None) for key in ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon")
    ]
    (writer.add_layer_norm_rms_eps if epsilons[0] else writer.add_layer_norm_eps)(
        next(filter(None, epsilons))
    )
    rope = getattr(config, "rope_parameters", None) or {}
    full = rope.get("full_attention", rope)
    if full:
        writer.add_rope_dimension_count(int(full.get("partial_rotary_factor", 1) * head))
        writer.add_rope_freq_base(full["rope_theta"])
    if architecture == "gemma3":
        writer.add_sliding_window(config.sliding_window)
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in config.layer_types])
        writer.add_rope_freq_base_swa(rope["sliding_attention"]["rope_theta"])
    if architecture == "bert":
        writer.add_causal_attention(False)
        writer.add_token_type_count(config.type_vocab_size)
    if architecture == "phi3":
        writer.add_rope_scaling_orig_ctx_len(CONTEXT)
    if architecture == "gptneox":
        writer.add_parallel_residual(config.use_parallel_residual)


def start(name, architecture, config, bos, heads_kv=None):
    writer = gguf.GGUFWriter(FOLDER / "models" / f"{name}.gguf", architecture)
    writer.add_name("tiny")  # llama.cpp looks for tokens that it wants where a name has "phi3"
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    add_sizes(writer, architecture, config, heads_kv)
    add_vocabulary(writer, bos)
    return writer


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write(name, model):
    architecture, _, _, bos = MODELS[name]
    writer = start(name, architecture, model.config, bos)
    kind = next(arch for arch, text in gguf.MODEL_ARCH_NAMES.items() if text == architecture)
    names = gguf.get_tensor_name_map(kind, LAYERS)
    for key, parameter in model.named_parameters():  # tied ones once
        weight = converted(architecture, key, parameter.detach().numpy(), model.config)
        if "pooler" in key:
            continue
        key = key.removeprefix("transformer.")
        target = names.get_name(key, try_suffixes=(".weight", ".bias"))
        assert target, f"{name}: gguf has no name for {key}"
        writer.add_tensor(target, numpy.ascontiguousarray(weight))
    finish(writer)


def write_plamo2():
    writer = start("plamo2", "plamo2", transformers.LlamaConfig(**SIZES), False, [HEADS] * (LAYERS - 1) + [0])
    writer.add_ssm_conv_kernel(4)
    writer.add_ssm_inner_size(DIMS)
    writer.add_ssm_state_size(STATE)
    writer.add_ssm_time_step_rank(HEADS)
    writer.add_ssm_group_count(0)
    shapes = {"token_embd.weight": (BOS + 1, DIMS), "output_norm.weight": (DIMS,)}
    for layer in range(LAYERS):
        block = EVERY | (RECURRENT if layer == LAYERS - 1 else ATTENTION)
        shapes |= {f"blk.{layer}.{name}": shape for name, shape in block.items()}
    numbers = numpy.random.default_rng(1)
    for name, shape in shapes.items():
        writer.add_tensor(name, numbers.normal(0, 0.2, shape).astype(numpy.float32))
    finish(writer)


def expect(name, model):
    sequences = sequences_of(MODELS[name][3])
    states, losses = zip(*(states_of(model, ids) for ids in sequences))
    loss = sum(losses) / sum(len(ids) - 1 for ids in sequences)
    metadata = {
        "layout": "layer-major",
        "final_norm": "before",
        "sequence_length": SEQUENCE,
        "loss": repr(loss),
    }
    path = str(FOLDER / "models" / f"{name}.safetensors")
    with HiddenStatesWriter(path, LAYERS + 1, TOKENS, DIMS, "f32", metadata) as file:
        for layer, rows in enumerate(numpy.concatenate(states, axis=1)):
            file.write(layer, 0, torch.from_numpy(rows))


if __name__ == "__main__":
    for each in MODELS:
        made = build(each)
        write(each, made)
        if each not in REFUSED:
            expect(each, made)
    write_plamo2()
