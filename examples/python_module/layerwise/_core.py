"""The best core that this processor runs. LAYERWISE_INSTRUCTION_SET names another one."""

import importlib
import os

from layerwise import _cpu


def _module_of(name):
    return "_core_" + name.replace("-", "_")


def _import_core():
    supported = _cpu.supported()
    wanted = os.environ.get("LAYERWISE_INSTRUCTION_SET")
    if wanted and wanted not in supported:
        raise ImportError(
            f"layerwise: LAYERWISE_INSTRUCTION_SET is {wanted!r}; this processor has {', '.join(supported)}"
        )
    for name in [wanted] if wanted else supported:
        try:
            return importlib.import_module("layerwise." + _module_of(name))
        except ModuleNotFoundError as missing:  # a compiler that does not know the instructions builds no core for them
            if wanted or missing.name != "layerwise." + _module_of(name):
                raise
    raise ImportError(f"layerwise: no core for this processor, which has {', '.join(supported)}")


_core = _import_core()
for _value in vars(_core).values():
    if isinstance(_value, type):  # layerwise's, whichever core it is of: what one processor pickled another one reads
        _value.__module__ = "layerwise"
__all__ = [name for name in vars(_core) if not name.startswith("_")]
__version__ = _core.__version__
globals().update({name: getattr(_core, name) for name in __all__})
