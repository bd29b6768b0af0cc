"""What functions take, for type checkers."""

from typing import Any, Optional, Protocol, Sequence, Union


class Array(Protocol):
    """An array of numpy, a tensor of torch, anything with DLPack."""

    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any: ...


HiddenStates = Union[Sequence[Array], Array]
Mask = Optional[Array]
