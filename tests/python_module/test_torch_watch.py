"""watch(): the layers that a model's own output_hidden_states has, without it."""

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
