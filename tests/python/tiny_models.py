"""Models of two layers and 32 dimensions with random weights, and what their states are by another way."""

import dataclasses
import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "examples", "python"))

import tokenizers
import torch
import transformers

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

LETTERS = "abcdefghijklmnopqrstuvwxyz"
TEXT = "".join(LETTERS[(7 * i * i + 3 * i) % 26] for i in range(70))  # four sequences of 16, and one of 6
SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
GEMMA = SIZES | {"num_key_value_heads": 1, "head_dim": 16}
# As many layers as the text's, so that counting does not tell the two apart.
VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
OPT = {key: value for key, value in SIZES.items() if key != "intermediate_size"} | {"ffn_dim": 64}
STACKS = {"d_model": 32, "vocab_size": 64}


@dataclasses.dataclass
class Tiny:
    architecture: str
    config: transformers.PretrainedConfig
    blocks: str = ""  # the place of the list of blocks
    norm: str | None = None  # and of the final norm

    def build(self):
        torch.manual_seed(1)
        model = getattr(transformers, self.architecture)(self.config).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)  # norms whose output is not nearly their input
        return model

    def save(self, folder, tokenizer=None):
        model = self.build()
        model.save_pretrained(folder)
        (tokenizer or letter_tokenizer()).save_pretrained(folder)
        return model


def letter_tokenizer(template=None):
    """One token a letter; none for padding. `template` adds special tokens, as in "[CLS] $A [SEP]"."""
    words = [*LETTERS, "[UNK]", "[CLS]", "[SEP]"]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Split("", behavior="isolated")
    if template:
        special = [(word, words.index(word)) for word in ("[CLS]", "[SEP]") if word in template]
        tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
            single=template, special_tokens=special
        )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")


def works():
    """name -> Tiny; made anew at each call, since a model may write into its configuration."""
    return {
        "llama": Tiny("LlamaForCausalLM", transformers.LlamaConfig(**SIZES), "model.layers", "model.norm"),
        "gemma3": Tiny(
            "Gemma3ForCausalLM", transformers.Gemma3TextConfig(**GEMMA), "model.layers", "model.norm"
        ),
        "gemma3 multimodal": Tiny(
            "Gemma3ForConditionalGeneration",
            transformers.Gemma3Config(
                text_config=dict(GEMMA), vision_config=dict(VISION), mm_tokens_per_image=4
            ),
            "model.language_model.layers",
            "model.language_model.norm",
        ),
        "opt": Tiny(
            "OPTForCausalLM",
            transformers.OPTConfig(**OPT, word_embed_proj_dim=32),
            "model.decoder.layers",
            "model.decoder.final_layer_norm",
        ),
        "gpt2": Tiny(
            "GPT2LMHeadModel",
            transformers.GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=64),
            "transformer.h",
            "transformer.ln_f",
        ),
        "neox": Tiny(
            "GPTNeoXForCausalLM",
            transformers.GPTNeoXConfig(**SIZES),
            "gpt_neox.layers",
            "gpt_neox.final_layer_norm",
        ),
        "mixtral": Tiny(
            "MixtralForCausalLM",
            transformers.MixtralConfig(**SIZES, num_key_value_heads=2, num_local_experts=4),
            "model.layers",
            "model.norm",
        ),
        "bert": Tiny("BertModel", transformers.BertConfig(**SIZES), "encoder.layer"),
        "roberta": Tiny("RobertaModel", transformers.RobertaConfig(**SIZES), "encoder.layer"),
    }


def opt_350m():
    return Tiny(
        "OPTForCausalLM", transformers.OPTConfig(**OPT, word_embed_proj_dim=16, do_layer_norm_before=False)
    )


def encoder_decoders():
    t5 = transformers.T5Config(**STACKS, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    bart = transformers.BartConfig(
        **STACKS,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=64,
    )
    return {
        "t5": Tiny("T5ForConditionalGeneration", t5),
        "bart": Tiny("BartForConditionalGeneration", bart),
    }


def expected_states(model, tiny, sequences):
    """(states [layer][token][dim] before the final norm, the last after it or None), by hooks on the blocks.

    Each sequence runs alone, and transformers' own hidden_states are not asked for.
    """
    layers, after = [[], [], []], []
    with torch.no_grad():
        for sequence in sequences:
            blocks, norm = run_with_hooks(model, tiny, torch.tensor([sequence]))
            for layer, state in enumerate(blocks):
                layers[layer].append(state[0])
            after.append(norm)
    states = torch.stack([torch.cat(layer) for layer in layers])
    return states, torch.cat([state[0] for state in after]) if tiny.norm else None


def run_with_hooks(model, tiny, ids):
    seen, hooks = {}, []

    def keep(name, state):
        seen[name] = state[0] if isinstance(state, tuple) else state

    for number, block in enumerate(model.get_submodule(tiny.blocks)):
        hooks.append(block.register_forward_hook(lambda _, i, out, n=number: keep(n + 1, out)))
        if number == 0:
            hooks.append(block.register_forward_pre_hook(lambda _, inputs: keep(0, inputs)))
    if tiny.norm:
        norm = model.get_submodule(tiny.norm)
        hooks.append(norm.register_forward_hook(lambda _, i, out: keep("norm", out)))
    model(input_ids=ids)
    for hook in hooks:
        hook.remove()
    return [seen[layer] for layer in range(3)], seen.get("norm")


def expected_loss(model, sequences):
    """transformers' own mean next-token loss, sequences weighted by what they predict."""
    with torch.no_grad():
        losses = [model(input_ids=ids, labels=ids).loss for ids in (torch.tensor([s]) for s in sequences)]
    predicted = [len(sequence) - 1 for sequence in sequences]
    return sum(loss.item() * n for loss, n in zip(losses, predicted)) / sum(predicted)
