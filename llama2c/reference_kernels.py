"""The port's kernels and maths on this machine, one call at a time."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from llama2c.reference_library import page_aligned

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FP32 = 0  # the tensor type's code in src/fp32.c


class ReferenceKernels:
    """The kernels of a library that `open_library` has opened. They change no state."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    @property
    def batch(self) -> int:
        """The most tokens of a `forward`, and positions of a product."""
        return int(self._library.reference_batch())

    def matmul(
        self, w: NDArray[np.float32], x: NDArray[np.float32], vmx: bool = False
    ) -> NDArray[np.float32]:
        """w (d, n) times x (n) by the port's kernel, the rows laid out as they are: (d); or times each row of
        x (positions, n): (positions, d).

        The vector kernel runs only if both arrays are aligned to 16 bytes and n is a multiple of 4.
        """
        import numpy as np

        if w.ndim != 2 or x.ndim not in (1, 2) or x.shape[-1] != w.shape[1] or not x.size:
            raise ValueError(f"shapes {w.shape} and {x.shape}, expected (d, n) and (n,) or (positions, n)")
        for array in (w, x):
            if array.dtype != np.float32 or not array.flags.c_contiguous:
                raise ValueError("expected contiguous float32 arrays")
        d, n = w.shape
        out = np.empty((*x.shape[:-1], d), np.float32)
        self._library.reference_matmul(
            _FP32, out.ctypes.data, x.ctypes.data, w.ctypes.data, n, d, x.size // n, vmx
        )
        return out

    def product(
        self, code: int, w: bytes, x: NDArray[np.float32], rows: int, vmx: bool = False
    ) -> NDArray[np.float32]:
        """w (rows, n), planes of the type with ggml's number `code` as in a console's file, times each row of
        x (positions, n): (positions, rows). Raises KeyError for another type."""
        import numpy as np

        held, address, _ = page_aligned(w)
        copy, place, _ = page_aligned(x.astype(np.float32).tobytes())
        positions, n = x.shape
        out = np.empty((positions, rows), np.float32)
        known = self._library.reference_matmul(code, out.ctypes.data, place, address, n, rows, positions, vmx)
        del held, copy
        if not known:
            raise KeyError(code)
        return out

    def product_int8(
        self, w: NDArray[np.int8], scales: NDArray[np.float32], x: NDArray[np.float32], vmx: bool = False
    ) -> NDArray[np.float32]:
        """w (d, n) with scales (d, groups) times each row of x (positions, n), which becomes int8 in such
        groups: (positions, d). Raises ValueError for more positions than `batch`."""
        import numpy as np

        (d, n), groups, positions = w.shape, scales.shape[1], len(x)
        if positions > self.batch:
            raise ValueError(f"{positions} positions, expected at most {self.batch}")
        planes = w.astype(np.int8).tobytes() + scales.astype(np.float32).tobytes()
        parts = planes, x.astype(np.float32).tobytes(), bytes(4 * x.size), bytes(4 * groups * self.batch)
        held = [page_aligned(part) for part in parts]
        weights, rows, room, own_scales = (address for _, address, _ in held)
        out = np.empty((positions, d), np.float32)
        shape = n, d, n // groups, positions, vmx
        self._library.reference_matmul_int8(out.ctypes.data, rows, weights, *shape, room, own_scales)
        return out

    def narrow(self, x: NDArray[np.float32]) -> NDArray[np.uint16]:
        """The bits of each x rounded to half precision."""
        import numpy as np

        x = np.ascontiguousarray(x, np.float32)
        out = np.empty(x.shape, np.uint16)
        self._library.reference_narrow(out.ctypes.data, x.ctypes.data, x.size)
        return out

    def kernel(self, name: str, *arguments: NDArray[np.float32] | float, vmx: bool = False) -> int | None:
        """Call a kernel of src/kernels.h on contiguous arrays, which it may change: what it returns.

        The vector kernel takes the scalar one's way where an array is not aligned to 16 bytes. Raises
        AttributeError for another name, ValueError for an array that is not contiguous float32.
        """
        import numpy as np

        values: list[float] = []
        for argument in arguments:
            if isinstance(argument, (int, float)):
                values.append(argument)
            elif argument.dtype != np.float32 or not argument.flags.c_contiguous:
                raise ValueError("expected contiguous float32 arrays")
            else:
                values.append(argument.ctypes.data)
        kernels = self._library.reference_kernels(vmx).contents
        result: int | None = getattr(kernels, name)(*values)
        return result

    def maths(
        self, name: str, x: NDArray[np.float32], y: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """expf, sinf, cosf, sqrtf, vector_exp, vector_exp2 or vector_reciprocal of every x, or powf of x
        and y, by the port's own maths.

        Raises KeyError for another name, ValueError for arrays that do not fit it.
        """
        import numpy as np

        if (y is None) is (name == "powf") or (y is not None and y.shape != x.shape):
            raise ValueError(f"{name}: powf takes two arrays of one shape, the others take one")
        x = np.ascontiguousarray(x, np.float32)
        second = None if y is None else np.ascontiguousarray(y, np.float32)
        out = np.empty_like(x)
        known = self._library.reference_maths(
            name.encode(),
            x.ctypes.data,
            None if second is None else second.ctypes.data,
            out.ctypes.data,
            x.size,
        )
        if not known:
            raise KeyError(name)
        return out
