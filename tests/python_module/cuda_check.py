"""Checks CUDA tensors, watch() on a model on the GPU, and that layers move one at a time; prints what it saw.

    python tests/python_module/cuda_check.py

For a machine with a GPU, where CI has none; ends with 0 where all is well.
"""

import sys

import layerwise
import layerwise.torch
import numpy as np
import torch

MIB = 2**20


def check(holds, what):
    print(("ok    " if holds else "WRONG ") + what)
    if not holds:
        sys.exit(1)


def states_on(device, layers, tokens, width, dtype):
    generator = torch.Generator(device).manual_seed(1)
    states = [torch.randn(2, tokens // 2, width, device=device, generator=generator) + 0.5]
    for _ in range(layers):
        states.append(states[-1] + 0.3 * torch.randn(2, tokens // 2, width, device=device, generator=generator))
    return [state.to(dtype) for state in states]


def check_tensors():
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        states = states_on("cuda", 3, 400, 48, dtype)
        here = [state.cpu() for state in states]
        expected = layerwise.profile(here).to_dict()
        check(layerwise.profile(states).to_dict() == expected, f"profile of {dtype} on the GPU is that of its copy")
        check(layerwise.profile(torch.stack(states)).to_dict() == expected, f"and of one tensor, {dtype}")
    mask = torch.ones(2, 200, device="cuda", dtype=torch.long)
    mask[1, 50:] = 0
    check(layerwise.profile(states, mask).to_dict() == layerwise.profile(here, mask.cpu()).to_dict(), "a mask on the GPU")
    negative = torch._neg_view(states[0])
    check(np.allclose(layerwise.displacement(negative, states[0]), 1), "the negative bit of a tensor on the GPU")


def check_memory():
    states = torch.stack(states_on("cuda", 15, 2048, 2048, torch.bfloat16))
    layer = states[0].numel() * states.element_size()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    layerwise.Profiler(linearity=False).add(states)
    more = torch.cuda.max_memory_allocated() - before
    print(f"      a layer has {layer / MIB:.0f} MiB, all {states.shape[0] * layer / MIB:.0f} MiB; "
          f"add() took {more / MIB:.0f} MiB more on the GPU")
    check(more <= layer, "add() takes no more on the GPU than a layer")


def check_functions():
    states = [state.requires_grad_() for state in states_on("cuda", 2, 40, 6, torch.float64)]
    value = layerwise.torch.jreg_regularizer(states, 0.3, 1.5)
    check(value.device.type == "cuda", "a penalty of states on the GPU is there, too")
    value.backward()
    here = [state.detach().cpu().requires_grad_() for state in states]
    layerwise.torch.jreg_regularizer(here, 0.3, 1.5).backward()
    same = all(torch.equal(a.grad.cpu(), b.grad) for a, b in zip(states, here))
    check(same, "its gradients are those of the CPU")
    check(torch.autograd.gradcheck(layerwise.torch.residual_linearity, states[:2]), "gradcheck of residual_linearity")


def check_watch():
    try:
        import transformers
    except ImportError:
        return print("      transformers is not installed: watch() is not checked")
    torch.manual_seed(2)
    config = transformers.LlamaConfig(
        vocab_size=101, hidden_size=256, intermediate_size=512, num_hidden_layers=12, num_attention_heads=4
    )
    model = transformers.LlamaForCausalLM(config).to("cuda", torch.bfloat16).eval()
    tokens = torch.randint(0, 101, (8, 512), device="cuda")

    def peak(run):
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        return torch.cuda.max_memory_allocated() - before

    with torch.no_grad():
        model(tokens)  # what is allocated once
        plain = peak(lambda: model(tokens))
        with layerwise.torch.watch(model) as profiler:
            watched = peak(lambda: model(tokens))
        kept = peak(lambda: model(tokens, output_hidden_states=True))
        states = model(tokens, output_hidden_states=True).hidden_states
    print(f"      peak on the GPU: {plain / MIB:.1f} MiB alone, {watched / MIB:.1f} MiB watched, "
          f"{kept / MIB:.1f} MiB with output_hidden_states")
    layer = states[0].numel() * states[0].element_size()
    check(watched <= plain + layer, "watch() keeps nothing on the GPU")
    check(profiler.tokens == tokens.numel(), "every token is counted")
    expected = layerwise.profile(states[:-1]).layers
    found = profiler.profile().layers[:-1]  # the last of transformers is after the final norm
    same = all(a.displacement == b.displacement for a, b in zip(found, expected))
    check(same and len(found) == 11, "the layers are those of output_hidden_states")
    print(profiler.profile())


def main():
    if not torch.cuda.is_available():
        sys.exit("no CUDA device here")
    print(f"layerwise {layerwise.__version__}, {layerwise.instruction_set}, {layerwise.get_num_threads()} threads; "
          f"torch {torch.__version__}, {torch.cuda.get_device_name()}")
    check_tensors()
    check_memory()
    check_functions()
    check_watch()


main()
