"""Names of the array types that several rooms share; the shape of each is the usual one, where a docstring says no other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
"""(n, D): one embedding per row; L2-normalised where the metric is the cosine."""

Scores = npt.NDArray[np.float32]
"""(Q, k): of the k results of each query, higher is better; -inf past the end of a list."""

Rows = npt.NDArray[np.int64]
"""(n,) or (Q, k): row numbers, from 0, of a catalogue, a gallery or an index; -1 for none."""

Keys = npt.NDArray[np.uint64]
"""(n,): hashes of image ids, which order equal scores (see `croquis.index.ranking.label_blind_keys`)."""

Floats = npt.NDArray[np.float64]
"""Any shape: numbers that are summed or compared, in double precision."""

Floats32 = npt.NDArray[np.float32]
"""Any shape: numbers of pictures, e.g. a coverage in [0, 1], in single precision."""

Uint8Image = npt.NDArray[np.uint8]
"""(H, W, 3): a picture, RGB, 0 to 255."""
