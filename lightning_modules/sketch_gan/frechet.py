"""How far generated photos are from real ones, in the eyes of this project's own attribute classifier.

The Frechet distance of two Gaussians fitted to features (Dowson & Landau 1982), as Heusel et al. 2017 use it:

  d^2 = |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))

Their FID takes Inception features of ImageNet; here the features are those that our classifier pools before its last layer,
so values compare with each other and with no published FID. With few images the covariances are of low rank and the
distance is biased upwards: read it beside the distance between two sets of real photos.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from croquis.arrays import Uint8Image
from croquis.catalog.images import prepare_image, to_batch
from croquis.nets.classifier import AttributeClassifier
from croquis.nets.session import onnxruntime

Features = npt.NDArray[np.float64]
POOLING = ("ReduceMean", "GlobalAveragePool")
AT_A_TIME = 64
DIGITS = 3


def frechet_distance(first: Features, second: Features) -> float:
    """d^2 of two sets of features, (N, D) and (M, D), N and M at least 2; 0 for equal sets, never negative.

    To three decimals: further ones differ between processors, where the covariances are of low rank.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError(f"{len(first)} and {len(second)} images have no covariance; two or more of each are needed")
    means = np.square(first.mean(axis=0) - second.mean(axis=0)).sum()
    a, b = (np.atleast_2d(np.cov(each, rowvar=False)) for each in (first, second))
    root = _root(a)
    # The eigenvalues of S_a S_b are those of the symmetric root S_b root.
    shared = np.sqrt(np.clip(np.linalg.eigvalsh(root @ b @ root), 0, None)).sum()
    return max(0.0, round(float(means + np.trace(a) + np.trace(b) - 2 * shared), DIGITS))


def _root(matrix: Features) -> Features:
    """The square root of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T)


class ClassifierFeatures:
    """The pooled features of the classifier in `folder`, models/attributes of the pipeline.

    Raises:
        ModelError: when the folder's description is wrong.
        ValueError: when its graph pools nothing.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        described = AttributeClassifier.describe(folder)
        self._size = described.size
        model = onnx.load(folder / described.file)
        pooled = [node.output[0] for node in model.graph.node if node.op_type in POOLING]
        if not pooled:
            raise ValueError(f"{folder / described.file} has no average pooling whose outcome could serve as features")
        self._output = pooled[-1]
        model.graph.output.append(onnx.helper.make_tensor_value_info(self._output, onnx.TensorProto.FLOAT, None))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def of(self, photos: Iterable[Uint8Image]) -> Features:
        """(N, D) of photos uint8 (H, W, 3) of any size."""
        found, waiting = [], iter(photos)
        while some := list(islice(waiting, AT_A_TIME)):
            batch = to_batch([prepare_image(photo, self._size) for photo in some])
            (features,) = self._session.run([self._output], {"images": batch})
            found.append(features.reshape(len(batch), -1).astype(np.float64))
        return np.concatenate(found)
