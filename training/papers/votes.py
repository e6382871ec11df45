"""Support vector machines on the patches of clips, whose class is what most patches are given.

Source: the code that Chen, Liang 2020 build on (sklearn-audio-transfer-learning).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import SVC

from training.probes.models import Inputs

N_COMPONENTS = 128


def make_svm(inputs: Inputs, *, has_pca: bool) -> Pipeline:
    """RBF SVM of C 1 and gamma 1 / (inputs · variance); PCA to 128 whitened components before it.

    Parameters
    ----------
    inputs : of the training patches, shape (n, dim); where there are fewer, components are fewer
    """
    svm = SVC(C=1.0, kernel="rbf", gamma="scale")
    if not has_pca:
        return make_pipeline(svm)
    pca = PCA(min(N_COMPONENTS, *inputs.shape), whiten=True, svd_solver="full")
    return make_pipeline(pca, svm)


def vote(classes: NDArray[np.int64], owners: NDArray[np.int64], n_clips: int) -> NDArray[np.int64]:
    """The class of most patches of each clip, shape (n_clips,); of equally many, the first class.

    Parameters
    ----------
    classes : of each patch, from 0
    owners : clip of each patch, from 0
    """
    counts = np.zeros((n_clips, int(classes.max()) + 1), np.int64)
    np.add.at(counts, (owners, classes), 1)
    return np.asarray(counts.argmax(1), np.int64)
