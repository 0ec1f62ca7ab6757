"""What to do with an object of torch or JAX that is passed where numpy arrays are expected.

Objects are told by the modules of their classes: nothing here imports a framework.
"""

from __future__ import annotations

from array import array as typed_array

#: The adapter of each framework, and what to pass to it.
_CALLS = {
    "torch": "swiftforce.torch.prune(model, batches, loss)",
    "jax": "swiftforce.jax.prune(params, loss, batches)",
    "flax": "swiftforce.jax.prune(params, loss, batches)",
}


def framework_of(value: object) -> str | None:
    """The framework whose object this is, or whose class it inherits from."""
    for each in type(value).__mro__:
        root = each.__module__.partition(".")[0].removesuffix("lib")  # arrays are of jaxlib
        if root in _CALLS:
            return root
    return None


def hint_for(value: object) -> str:
    """The end of a message about an object that is not an array: what to do with it."""
    if framework := framework_of(value):
        return f": call {_CALLS[framework]} instead"
    if isinstance(value, (int, float, list, tuple)) and not isinstance(value, bool):
        return ": make an array of it with np.array"
    if isinstance(value, (memoryview, bytearray, typed_array)):
        return ": pass np.asarray of it"
    if callable(getattr(value, "toarray", None)):
        return ": pass its .toarray()"
    if callable(getattr(value, "to_numpy", None)):
        return ": pass its .to_numpy()"
    return ""


def conversion_of(value: object) -> str:
    """The end of a message about an array of a framework that does not convert by itself."""
    framework = framework_of(value)
    if framework is None:
        return ": convert it to a numpy array"
    if framework != "torch":
        return f": call {_CALLS[framework]}, or convert it outside of jax.jit with np.asarray"
    numbers = ".float()" if str(getattr(value, "dtype", "")) == "torch.bfloat16" else ""
    return f": call {_CALLS[framework]}, or pass its .detach().cpu(){numbers}.numpy()"
