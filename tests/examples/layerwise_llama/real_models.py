#!/usr/bin/env python3
"""What real_models.sh needs: a GGUF file with its weights in float32, and the differences of two profiles."""

import json
import sys

FIELDS = {
    "linearity": lambda layer: layer["linearity"]["score"],
    "without the residual": lambda layer: layer["residual_linearity"]["score"],
    "displacement": lambda layer: layer["displacement"],
    "contribution": lambda layer: layer["contribution_ratio"],
    "jump rate": lambda layer: (layer["jump_rate"] or 0) / 100,
}


def dequantize(source, target):
    """All of `source` with each tensor in float32: what transformers computes with."""
    import gguf

    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        kind = field.types[0]
        element = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        if name == "general.file_type":
            writer.add_file_type(gguf.LlamaFileType.ALL_F32)
        elif name != "general.architecture" and not name.startswith("GGUF."):
            writer.add_key_value(name, field.contents(), kind, element)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, gguf.dequantize(tensor.data, tensor.tensor_type).astype("float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def compare(one, other):
    """The largest difference of each number over the layers, and where it is."""
    one, other = (json.load(open(path)) for path in (one, other))
    print(f"  {'loss':22} {other['loss']:.6f}, differs by")
    one, other = one["layers"], other["layers"]
    assert len(one) == len(other)
    for name, value in FIELDS.items():
        apart = [abs(value(a) - value(b)) for a, b in zip(one, other)]
        print(f"  {name:22} {max(apart):.1e} in layer {apart.index(max(apart)) + 1}")


if __name__ == "__main__":
    {"dequantize": dequantize, "compare": compare}[sys.argv[1]](*sys.argv[2:])
