"""What goes wrong in a way the user can put right is told in one line, whoever found it."""

import contextlib
import textwrap

# Their messages are sentences; those of other exceptions, 'model_type' for one, say little without the name.
SPEAKING = (OSError, ValueError, ImportError, RuntimeError)


class UserError(Exception):
    """Something the user can put right; printed in one line."""


def one_line(failure):
    message = str(failure).strip()
    if not message or not isinstance(failure, SPEAKING):
        message = f"{type(failure).__name__}: {message}".rstrip(": ")
    return textwrap.shorten(message, 240)


@contextlib.contextmanager
def refusing(what, unless=UserError):
    """A user's error instead of what a library raises in the block; `what` says what did not work.

    Exceptions of the type `unless` are let through.
    """
    try:
        yield
    except (UserError, unless):
        raise
    except Exception as failure:
        raise UserError(f"{what}: {one_line(failure)}") from failure
