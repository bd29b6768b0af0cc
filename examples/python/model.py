"""Opens a Hugging Face model: first its configuration and tokenizer, then a rehearsal, then the weights.

The rehearsal runs the model without its weights, on tensors that have a shape and no values. It shows in a
second what else only a run of the loaded model would: how many states come out, how wide, and whether there
is a final norm.
"""

import dataclasses
import importlib.util
import inspect
import os

import torch
import transformers
from torch._subclasses import FakeTensorMode

from blocks import BlockWatch, UnknownStates
from gguf_tokens import GgufTokens
from user_error import UserError, refusing


class ModelFiles:
    """What a model directory or a .gguf file says of its model, without the weights.

    `tokenizer_folder` is a directory whose tokenizer is used instead of the model's own, or None.
    """

    def __init__(self, path, tokenizer_folder):
        self.path, self.tokenizer_folder = path, tokenizer_folder
        self.gguf = None
        if os.path.isfile(path):
            check_packages(path)
            self.gguf = GgufTokens(path)
            if tokenizer_folder is None:
                self.gguf.refuse_sentence_piece()
            folder, name = os.path.split(os.path.abspath(path))
            self.source = from_folder(folder) | {"gguf_file": name}
        elif os.path.isfile(os.path.join(path, "config.json")):
            self.source = from_folder(path)
        else:
            raise UserError(f"{path}: no model directory (there is no config.json) and no .gguf file")
        with refusing(f"{path}: cannot read its configuration"):
            self.config = transformers.AutoConfig.from_pretrained(**self.source)
            self.text_config = self.config.get_text_config()  # a multimodal model's has another beside it
        if self.config.is_encoder_decoder:
            raise UserError(
                f"{path}: {self.config.model_type} is an encoder-decoder model, and these are not supported: "
                "use one of a single stack, a decoder (GPT-2, Llama ...) or an encoder (BERT ...)"
            )
        self.auto_class = self._auto_class()

    def _auto_class(self):
        """Models that predict the next token with their head, for the loss; others without."""
        architecture = (self.config.architectures or [""])[0]
        if self.gguf or "CausalLM" in architecture or "LMHead" in architecture:
            return transformers.AutoModelForCausalLM
        if "ForConditionalGeneration" in architecture:
            return transformers.AutoModelForImageTextToText
        return transformers.AutoModel

    @property
    def predicts_next_token(self):
        return self.auto_class is not transformers.AutoModel

    def read_tokenizer(self):
        folder = self.tokenizer_folder
        if folder is not None and not os.path.isdir(folder):
            raise UserError(f"--tokenizer {folder}: no such directory")
        with refusing(f"{folder or self.path}: cannot load the tokenizer"):
            return transformers.AutoTokenizer.from_pretrained(
                **(from_folder(folder) if folder else self.source)
            )

    def check_vocabulary(self, largest_id):
        size = getattr(self.text_config, "vocab_size", None)
        if size is not None and largest_id >= size:
            raise UserError(f"the tokenizer gives token {largest_id}, the model's vocabulary has {size}")

    def rehearse(self, longest, batch_size):
        """The model's Outline without its weights; refuses what the model cannot run.

        `longest` is the number of tokens in the longest sequence. None where the loaded model must be asked:
        some models decide by a tensor's values what to compute, and then torch raises a RuntimeError; and
        without values a copy of a state is not known for one.
        """
        what = f"{self.path}: cannot run a model of its configuration on text"
        try:
            with FakeTensorMode(), refusing(what, unless=RuntimeError):
                # eager: the other ways to compute attention look at the mask's values
                model = self.auto_class.from_config(self.config, attn_implementation="eager").eval()
                check_sizes(model, longest, batch_size)
                outline = rehearse(model)
        except (RuntimeError, UnknownStates):
            return None
        return outline if outline.has_final_norm is not None else None

    def load(self, dtype, device):
        with refusing(f"{self.path}: cannot load the weights"):
            model, report = self.auto_class.from_pretrained(
                **self.source, dtype=dtype, output_loading_info=True
            )
        # An encoder's pooler is of no use here; transformers makes up whatever else the files lack.
        missing = sorted(key for key in report["missing_keys"] if "pooler" not in key)
        if missing:
            raise UserError(
                f"{self.path}: its files lack {len(missing)} of the weights, such as {missing[0]}"
            )
        with refusing(f"cannot move the model to {device}"):
            return model.eval().to(device)


def check_packages(path):
    for package in ("gguf", "accelerate"):
        if importlib.util.find_spec(package) is None:
            raise UserError(
                f"{path}: transformers reads .gguf files with the package {package}: pip install {package}"
            )


def from_folder(folder):
    """Arguments of from_pretrained, which would ask at the terminal whether to trust a model's own code."""
    return {"pretrained_model_name_or_path": folder, "trust_remote_code": False}


def states_of(model, ids, mask):
    """One call: (the hidden states [batch][token][dim] h_0 ... h_L, the logits or None)."""
    options = {"output_hidden_states": True, "return_dict": True}
    if takes_mask(model):
        options["attention_mask"] = mask
    if model.can_generate():
        options["use_cache"] = False  # of no use for one pass, and it takes memory
    output = model(input_ids=ids, **options)
    return output.hidden_states, getattr(output, "logits", None)


def takes_mask(model):
    return "attention_mask" in inspect.signature(model.forward).parameters


def check_sizes(model, longest, batch_size):
    if batch_size > 1 and not takes_mask(model):
        raise UserError(
            f"{type(model).__name__} takes no attention mask, which padding needs: use --batch-size 1"
        )
    positions = positions_of(model)
    if positions is not None and longest > positions:
        raise UserError(f"--sequence-length {longest}: the model has {positions} positions")


def positions_of(model):
    """How many tokens of a sequence the model has positions for; None where nothing limits them."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return module.num_embeddings - module.padding_idx - 1  # RoBERTa counts from there
    positions = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return positions if positions and positions > 0 else None  # XLNet's are -1


@dataclasses.dataclass
class Outline:
    """What comes out of a model."""

    model: str  # its class
    layers: int  # h_0 included
    dims: int
    has_final_norm: bool | None  # None: cannot be told


def rehearse(model):
    """Runs a model on a few tokens."""
    ids = torch.zeros(1, 4, dtype=torch.long, device=model.device)
    with torch.no_grad(), BlockWatch(model) as watch:
        states, _ = states_of(model, ids, torch.ones_like(ids))
        check_states(model, states, ids.shape)
        final_norm = watch.final_norm(states)
    return Outline(
        type(model).__name__,
        len(states),
        states[0].shape[-1],
        None if final_norm is None else bool(final_norm),
    )


def check_states(model, states, shape):
    """There is one for each block and h_0, of one width, and with the tokens that went in."""
    name = type(model).__name__
    if states is None:
        raise UserError(f"{name} does not give its hidden states")
    blocks = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    if blocks is not None and len(states) != blocks + 1:
        raise UserError(f"{name} gives {len(states)} hidden states, expected {blocks + 1}")
    dims = states[0].shape[-1]
    for layer, state in enumerate(states):
        if state.shape[:-1] != shape:
            raise UserError(f"{name}: layer {layer} is {list(state.shape)}, expected {[*shape, dims]}")
        if state.shape[-1] != dims:
            raise UserError(
                f"{name}: layer {layer} has {state.shape[-1]} dimensions, expected {dims} as in layer 0"
            )
