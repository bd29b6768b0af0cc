"""watch(): the layers that a model's own output_hidden_states has, without it."""

import threading
import warnings

import layerwise
import pytest

TINY = dict(vocab_size=61, hidden_size=24, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32)
MODELS = {
    "llama": ("LlamaConfig", "LlamaForCausalLM", dict(TINY, num_key_value_heads=1)),
    "gpt2": ("GPT2Config", "GPT2LMHeadModel", dict(vocab_size=61, n_embd=24, n_layer=3, n_head=2, n_positions=64)),
    "gpt-neox": ("GPTNeoXConfig", "GPTNeoXForCausalLM", dict(TINY, max_position_embeddings=64)),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM", dict(TINY, num_key_value_heads=1)),
    "opt": ("OPTConfig", "OPTForCausalLM", dict(vocab_size=61, hidden_size=24, num_hidden_layers=3, ffn_dim=32,
                                                num_attention_heads=2, word_embed_proj_dim=24)),
    "phi": ("PhiConfig", "PhiForCausalLM", TINY),
    "gemma2": ("Gemma2Config", "Gemma2ForCausalLM", dict(TINY, num_key_value_heads=1, head_dim=12)),
}


@pytest.fixture
def watch(torch, transformers):
    import layerwise.torch

    return layerwise.torch.watch


def made(torch, transformers, name):
    torch.manual_seed(7)
    config, model, options = MODELS[name]
    return getattr(transformers, model)(getattr(transformers, config)(**options)).eval()


@pytest.fixture
def llama(torch, transformers):
    return made(torch, transformers, "llama")


@pytest.fixture
def tokens(torch):
    return torch.randint(3, 61, (3, 20), generator=torch.Generator().manual_seed(1))


def states_of(torch, model, tokens, **options):
    """h_0 ... h_L, the last one before the final normalization, by a hook of the test's own."""
    import layerwise.torch

    last = []
    block = layerwise.torch.find_blocks(model)[-1]
    hook = block.register_forward_hook(lambda _, __, out: last.append(out[0] if isinstance(out, tuple) else out))
    with torch.no_grad():
        states = model(tokens, output_hidden_states=True, **options).hidden_states
    hook.remove()
    return [*states[:-1], last[0]]


def profile_of(states, mask=None):
    profiler = layerwise.Profiler(final_norm="before")
    profiler.add(list(states), mask)
    return profiler.profile().to_dict()


@pytest.mark.parametrize("name", MODELS)
def test_the_states_are_the_model_s_own(torch, transformers, watch, tokens, name):
    model = made(torch, transformers, name)
    expected = profile_of(states_of(torch, model, tokens))
    with torch.no_grad(), watch(model) as profiler:
        model(tokens)
    assert profiler.tokens == 60
    assert profiler.profile().to_dict() == expected
    assert len(profiler.profile().layers) == 3


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_left_out(torch, watch, llama, tokens, side):
    mask = torch.zeros(3, 20, dtype=torch.long)
    for sequence, length in enumerate((20, 5, 13)):
        mask[sequence, slice(-length, None) if side == "left" else slice(length)] = 1
    states = states_of(torch, llama, tokens, attention_mask=mask)
    with torch.no_grad(), watch(llama) as profiler:
        llama(tokens, attention_mask=mask)
    assert profiler.tokens == 38
    assert profiler.profile().to_dict() == profile_of(states, mask)
    first = mask.cumsum(1) == 1
    with torch.no_grad(), watch(llama, skip_first=1) as profiler:
        llama(tokens, attention_mask=mask)
    assert profiler.tokens == 35
    assert profiler.profile().to_dict() == profile_of(states, mask.bool() & ~first)


def test_a_cached_generation_is_a_batch_a_step(torch, watch, llama, tokens):
    options = dict(max_new_tokens=6, do_sample=False, use_cache=True, pad_token_id=0, eos_token_id=None)
    with watch(llama) as profiler:
        out = llama.generate(tokens, attention_mask=torch.ones_like(tokens), **options)
    assert out.shape == (3, 26)
    assert profiler.tokens == 3 * 25  # the last token is made, but not read
    whole = profile_of(states_of(torch, llama, out[:, :25]))
    for mine, theirs in zip(profiler.profile().to_dict()["layers"], whole["layers"]):
        assert mine["linearity"]["score"] == pytest.approx(theirs["linearity"]["score"], abs=1e-4)
        assert mine["displacement"] == pytest.approx(theirs["displacement"], rel=1e-3)
    with watch(llama, skip_first=4) as skipping:
        llama.generate(tokens, attention_mask=torch.ones_like(tokens), **options)
    assert skipping.tokens == 3 * 21


def test_steps_of_left_padded_sequences(torch, watch, llama, tokens):
    mask = torch.ones_like(tokens)
    mask[1, :15] = 0
    options = dict(max_new_tokens=4, do_sample=False, pad_token_id=0, eos_token_id=None)
    with watch(llama, skip_first=2) as profiler:
        llama.generate(tokens, attention_mask=mask, **options)
    assert profiler.tokens == (18 + 3) + (3 + 3) + (18 + 3)


def test_a_positional_mask_counts_too(torch, watch, llama, tokens):
    mask = torch.ones_like(tokens)
    mask[0, 4:] = 0
    with torch.no_grad(), watch(llama) as profiler:
        llama(tokens, mask)
    assert profiler.tokens == 44


def test_several_calls_add_up(torch, watch, llama, tokens):
    with torch.no_grad(), watch(llama) as profiler:
        llama(tokens[:1])
        llama(tokens[1:])
    with torch.no_grad(), watch(llama, profiler=profiler):
        llama(tokens)
    assert profiler.tokens == 120


def test_hooks_are_removed(torch, watch, llama, tokens):
    def hooks():
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in llama.modules())

    with torch.no_grad(), watch(llama):
        assert hooks() > 0
        llama(tokens)
    assert hooks() == 0
    with pytest.raises(KeyError):
        with watch(llama):
            raise KeyError
    assert hooks() == 0


def test_a_call_that_fails_adds_nothing(torch, watch, llama, tokens):
    broken = llama.model.layers[2].mlp.register_forward_hook(lambda *_: 1 / 0)
    with torch.no_grad(), watch(llama) as profiler:
        with pytest.raises(ZeroDivisionError):
            llama(tokens)
        broken.remove()
        assert profiler.tokens == 0
        llama(tokens)
    assert profiler.tokens == 60
    assert profiler.profile().to_dict() == profile_of(states_of(torch, llama, tokens))


def test_it_does_not_change_what_the_model_gives(torch, watch, llama, tokens):
    with torch.no_grad():
        plain = llama(tokens).logits
        with watch(llama):
            assert torch.equal(llama(tokens).logits, plain)


def test_models_in_training_are_watched_too(torch, watch, llama, tokens):
    llama.train()
    with watch(llama) as profiler:
        llama(tokens, labels=tokens).loss.backward()
    assert profiler.tokens == 60


@pytest.fixture
def mask(torch):
    """Left padding."""
    mask = torch.zeros(3, 20, dtype=torch.long)
    for sequence, length in enumerate((20, 5, 13)):
        mask[sequence, -length:] = 1
    return mask


def test_inner_modules_are_called_with_masks_of_their_own(torch, transformers, watch, tokens, mask):
    for name in ("llama", "opt"):
        model = made(torch, transformers, name)
        states = states_of(torch, model, tokens, attention_mask=mask)
        with torch.no_grad(), watch(model) as profiler:
            model.model(input_ids=tokens, attention_mask=mask)
        assert profiler.profile().to_dict() == profile_of(states, mask)
        with torch.no_grad(), watch(model) as profiler:
            model(tokens, attention_mask=mask)
            model.model(input_ids=tokens)
        assert profiler.tokens == 38 + 60


def test_a_mask_goes_with_the_call_that_failed(torch, watch, llama, tokens, mask):
    broken = llama.model.layers[1].register_forward_hook(lambda *_: 1 / 0)
    with torch.no_grad(), watch(llama) as profiler:
        for call in (llama, llama.model):
            with pytest.raises(ZeroDivisionError):
                call(input_ids=tokens, attention_mask=mask)
        broken.remove()
        llama.model(input_ids=tokens)
    assert profiler.tokens == 60


def test_a_wrapper_may_hide_the_mask(torch, watch, llama, tokens, mask):
    class Wrapper(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model, self.config = llama, llama.config

        def forward(self, *inputs):
            return self.model(*inputs)

    wrapper = Wrapper()
    with torch.no_grad(), watch(wrapper) as profiler:
        wrapper(tokens, mask)
    assert profiler.tokens == 38


@pytest.mark.parametrize("skip_first", [0, 2])
def test_a_mask_as_wide_as_a_static_cache(torch, transformers, watch, llama, tokens, mask, skip_first):
    kept = mask.bool() & (mask.cumsum(1) > skip_first)
    expected = profile_of(states_of(torch, llama, tokens, attention_mask=mask), kept)
    wide = torch.nn.functional.pad(mask, (0, 6))
    cache = transformers.StaticCache(config=llama.config, max_cache_len=26)
    with torch.no_grad(), watch(llama, skip_first) as profiler:
        llama(tokens, attention_mask=wide, past_key_values=cache, use_cache=True)
        assert profiler.tokens == kept.sum()
        for mine, theirs in zip(profiler.profile().to_dict()["layers"], expected["layers"]):
            assert mine["displacement"] == pytest.approx(theirs["displacement"], rel=1e-4)
        wide[:, 20:22] = 1
        wide[2, 21] = 0
        llama(tokens[:, :2], attention_mask=wide, past_key_values=cache, use_cache=True)
    assert profiler.tokens == kept.sum() + 5


def test_a_mask_of_the_new_tokens_alone(torch, watch, llama, tokens):
    with torch.no_grad(), watch(llama, skip_first=21) as profiler:
        cache = llama(tokens, use_cache=True).past_key_values
        llama(tokens[:, :2], past_key_values=cache, attention_mask=torch.ones(3, 2, dtype=torch.long))
    assert profiler.tokens == 3  # the 22nd of each


def test_masks_that_cannot_be_read_are_refused(torch, watch, llama, tokens):
    additive = torch.zeros(3, 20)
    additive[:, :2] = -1e9
    for mask, said in (
        (additive, r"torch.float32 \[3, 20\]"),
        (torch.full((3, 20), 0.5), r"torch.float32 \[3, 20\]"),
        (2 * torch.ones(3, 20, dtype=torch.long), r"torch.int64 \[3, 20\]"),
        (torch.ones(3, 1, 20, 20), r"torch.float32 \[3, 1, 20, 20\]"),
        (torch.ones(3, 1, 20, 20, dtype=torch.long), r"torch.int64 \[3, 1, 20, 20\]"),
        (torch.ones(3, 1, 19, 20, dtype=torch.bool), r"torch.bool \[3, 1, 19, 20\]"),
    ):
        with torch.no_grad(), pytest.raises(ValueError, match="3 sequences and 20 tokens, got " + said):
            with watch(llama):
                llama(tokens, attention_mask=mask)


@pytest.mark.parametrize("skip_first", [0, 2])
def test_a_generation_with_a_static_cache(torch, watch, llama, tokens, mask, skip_first):
    options = dict(max_new_tokens=5, do_sample=False, pad_token_id=0, eos_token_id=None, attention_mask=mask)
    with watch(llama, skip_first) as dynamic:
        llama.generate(tokens, **options)
    with watch(llama, skip_first) as static:
        llama.generate(tokens, cache_implementation="static", **options)
    assert static.tokens == dynamic.tokens == 38 - 3 * skip_first + 3 * 4
    for mine, theirs in zip(static.profile().to_dict()["layers"], dynamic.profile().to_dict()["layers"]):
        assert mine["displacement"] == pytest.approx(theirs["displacement"], rel=1e-4)


@pytest.mark.parametrize("kind", ["bool", "additive", "dict"])
def test_masks_of_every_pair_of_tokens(torch, transformers, watch, tokens, mask, kind):
    torch.manual_seed(7)
    config = transformers.Gemma3TextConfig(**TINY, num_key_value_heads=1, head_dim=12, sliding_window=4)
    model = transformers.Gemma3ForCausalLM(config).eval()
    pairs = mask.bool()[:, None, None, :] & torch.ones(20, 20, dtype=torch.bool).tril()
    if kind == "additive":
        pairs = torch.zeros(pairs.shape).masked_fill(~pairs, torch.finfo(torch.float32).min)
    given = {"full_attention": pairs, "sliding_attention": pairs.triu(-3)} if kind == "dict" else pairs
    for skip_first, expected in ((0, 38), (2, 32)):
        with torch.no_grad(), watch(model, skip_first) as profiler:
            model.model(input_ids=tokens, attention_mask=given)
        assert profiler.tokens == expected
    with torch.no_grad(), watch(model) as profiler:
        model.model(input_ids=tokens, attention_mask={"full_attention": None, "sliding_attention": None})
    assert profiler.tokens == 60


@pytest.mark.parametrize("reentrant", [False, True])
def test_what_a_checkpoint_computes_anew_is_not_added(torch, watch, llama, tokens, mask, reentrant):
    expected = profile_of(states_of(torch, llama, tokens, attention_mask=mask), mask)
    again = []
    llama.model.layers[0].input_layernorm.register_forward_hook(lambda *_: again.append(1))
    llama.gradient_checkpointing_enable(gradient_checkpointing_kwargs=dict(use_reentrant=reentrant))
    llama.enable_input_require_grads()
    llama.train()
    with watch(llama) as profiler:
        llama(tokens, attention_mask=mask, labels=tokens).loss.backward()
    assert len(again) == 2
    assert profiler.profile().to_dict() == expected


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_models_that_checkpoint_by_themselves(torch, watch, reentrant, count):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.config = type("Config", (), {"num_hidden_layers": count})()
            self.layers = torch.nn.ModuleList(torch.nn.Linear(8, 8) for _ in range(count))

        def forward(self, x):
            for layer in self.layers:
                x = torch.utils.checkpoint.checkpoint(layer, x, use_reentrant=reentrant)
            return x

    model = Model()
    with watch(model) as profiler:
        for _ in range(2):
            model(torch.randn(2, 5, 8, requires_grad=True)).sum().backward()
    assert profiler.tokens == 20


def test_threads_do_not_mix_their_layers(torch, watch, llama, tokens, mask):
    expected = profile_of(states_of(torch, llama, tokens, attention_mask=mask), mask)
    errors = []

    def call():
        try:
            with torch.no_grad():
                for _ in range(10):
                    llama(tokens, attention_mask=mask)
        except Exception as error:
            errors.append(error)

    with watch(llama) as profiler:
        threads = [threading.Thread(target=call) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors
    assert profiler.tokens == 40 * 38
    for mine, theirs in zip(profiler.profile().to_dict()["layers"], expected["layers"]):
        assert mine["displacement"] == pytest.approx(theirs["displacement"], rel=1e-6)


def test_compiled_models_are_refused(torch, watch, llama):
    with pytest.raises(ValueError, match="not compiled, got OptimizedModule"):
        with watch(torch.compile(llama, backend="eager")):
            pass
    for module in (llama.model.layers[1], llama.model, llama):
        module.compile(backend="eager")
        with pytest.raises(ValueError, match=f"not compiled, its {type(module).__name__} is"):
            with watch(llama):
                pass
        module._compiled_call_impl = None


def test_a_model_that_was_not_seen_to_run_is_a_warning(torch, watch, llama, tokens):
    with torch.no_grad(), pytest.warns(UserWarning, match="LlamaForCausalLM was not seen to run") as warned:
        with watch(llama) as profiler:
            llama.model.forward(tokens)
    assert profiler.tokens == 0 and warned[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with torch.no_grad(), watch(llama):
            llama(tokens)
        with pytest.raises(KeyError):
            with watch(llama):
                raise KeyError


def test_states_of_a_recurrence_instead_of_a_cache(torch, transformers, watch, tokens):
    torch.manual_seed(7)
    config = transformers.MambaConfig(vocab_size=61, hidden_size=24, num_hidden_layers=3)
    model = transformers.MambaForCausalLM(config).eval()
    options = dict(max_new_tokens=4, do_sample=False, pad_token_id=0, eos_token_id=None)
    with watch(model) as profiler:
        model.generate(tokens, **options)
    assert profiler.tokens == 3 * 23
    with torch.no_grad(), watch(model, skip_first=1) as profiler:
        model(tokens)
    assert profiler.tokens == 3 * 19
    with pytest.raises(ValueError, match="skip_first needs the number of tokens"):
        with watch(model, skip_first=1):
            model.generate(tokens, **options)


def test_an_encoder_and_a_decoder_are_watched_one_at_a_time(torch, transformers, watch, tokens, mask):
    bart = transformers.BartConfig(vocab_size=61, d_model=24, encoder_layers=2, decoder_layers=3, encoder_ffn_dim=32,
                                   encoder_attention_heads=2, decoder_attention_heads=2, decoder_ffn_dim=32)
    t5 = transformers.T5Config(vocab_size=61, d_model=24, d_kv=12, d_ff=32, num_layers=2, num_decoder_layers=3,
                               num_heads=2, decoder_start_token_id=0)
    for model, final_norm in (
        (transformers.BartForConditionalGeneration(bart), "unspecified"),
        (transformers.T5ForConditionalGeneration(t5), "before"),
    ):
        with pytest.raises(ValueError, match=type(model).__name__ + r".*get_decoder\(\)"):
            with watch(model):
                pass
        mask = mask.flip(1)  # right padding
        given = dict(input_ids=tokens, attention_mask=mask, decoder_input_ids=tokens[:, :7])
        for part, layers, count in ((model.get_decoder(), 3, 21), (model.get_encoder(), 2, 38)):
            with torch.no_grad(), watch(part) as profiler:
                model.eval()(**given)
            profile = profiler.profile()
            assert (len(profile.layers), profiler.tokens, profile.final_norm) == (layers, count, final_norm)


@pytest.mark.parametrize("name", [*MODELS, "opt-350m", "bert"])
def test_the_final_norm_is_told_where_there_is_one(torch, transformers, watch, tokens, name):
    torch.manual_seed(7)
    if name == "bert":
        model = transformers.BertModel(transformers.BertConfig(**TINY))
    elif name == "opt-350m":  # the one OPT without
        model = transformers.OPTForCausalLM(transformers.OPTConfig(**MODELS["opt"][2], do_layer_norm_before=False))
    else:
        model = made(torch, transformers, name)
    with torch.no_grad(), watch(model) as profiler:
        model(tokens)
    assert profiler.profile().final_norm == ("unspecified" if name in ("bert", "opt-350m") else "before")


def test_models_whose_blocks_cannot_be_told_are_refused(torch, watch):
    class Two(torch.nn.Module):
        def __init__(self, *lengths):
            super().__init__()
            self.config = type("Config", (), {"num_hidden_layers": 2})()
            self.lists = torch.nn.ModuleDict(
                {f"list{i}": torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(n)) for i, n in enumerate(lengths)}
            )

    for lengths, said in (((2, 2), "list0 of 2, lists.list1 of 2"), ((3,), "list0 of 3"), ((), "none")):
        model = Two(*lengths)
        with pytest.raises(ValueError, match=f"one list of 2 blocks in Two, got .*{said}"):
            with watch(model):
                pass
        assert not model._forward_pre_hooks
    with pytest.raises(ValueError, match="num_hidden_layers, got Linear"):
        with watch(torch.nn.Linear(2, 2)):
            pass


def test_options_go_to_the_profiler(torch, watch, llama, tokens):
    with torch.no_grad(), watch(llama, linearity=False, final_norm="unspecified") as profiler:
        llama(tokens)
    assert profiler.profile().final_norm == "unspecified" and profiler.profile().layers[0].linearity is None
    with pytest.raises(TypeError):
        with watch(llama, profiler=profiler, linearity=False):
            pass
