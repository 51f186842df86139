"""Both sides of a pre-training in the space where the contrastive loss compares them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted
from torch import Tensor
from torch.nn import functional as F

from tabimg.training.inference import apply_in_blocks
from tabimg.training.runtime import resolve_device, single_thread


class SharedSpace:
    """Adds the projections of rows and photos to a pretrainer.

    The pretrainer has ``transform``, ``transform_images``, ``network_`` and ``device``.
    """

    network_: Any
    device: str
    transform: Callable[[Any], Any]
    transform_images: Callable[[Any], np.ndarray]

    def project(self, X: Any) -> np.ndarray:
        """Project rows into the space in which they are compared with photos.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_columns)
            As `transform` takes it: the table alone is enough.

        Returns
        -------
        float32 array of shape (n_rows, projection_dim)
            Of Euclidean length 1: a dot product with a row of `project_images` is their cosine
            similarity, which the contrastive loss divides by ``temperature``.

        Raises
        ------
        AttributeError
            If the fit used no photos, or ``keep_image_encoder=False`` dropped the projections.
        """
        net = self._net_with_projections()
        width = net.projections["table"].hidden.in_features
        # What `passthrough` appends is no part of the embedding.
        embedding = np.asarray(self.transform(X), dtype=np.float32)[:, :width]
        return self._project(net.project_table, embedding)

    def project_images(self, X: Any) -> np.ndarray:
        """Project the photos of rows into the space in which they are compared with rows.

        Parameters
        ----------
        X : DataFrame with the image column, or a sequence of image cells

        Returns
        -------
        float32 array of shape (n_rows, projection_dim)
            Of Euclidean length 1; NaN for rows without a photo.

        Raises
        ------
        AttributeError
            As `project`.
        ValueError, tabimg.image.ImageReadError
            As `transform_images`.
        """
        net = self._net_with_projections()
        return self._project(net.project_image, self.transform_images(X))

    def _net_with_projections(self) -> Any:
        check_is_fitted(self, "network_")
        net = self.network_.on(resolve_device(self.device))
        if not len(net.projections):
            raise AttributeError(
                "there are no projections: the fit used no photos, or keep_image_encoder=False "
                "dropped them"
            )
        return net

    def _project(self, head: Callable[[Tensor], Tensor], embedding: np.ndarray) -> np.ndarray:
        known = np.flatnonzero(~np.isnan(embedding).any(axis=1))
        width = self.network_.architecture.projection_dim
        projected = np.full((len(embedding), width), np.nan, dtype=np.float32)
        if len(known):
            device = resolve_device(self.device)
            with single_thread():
                projected[known] = apply_in_blocks(
                    lambda part: F.normalize(head(part), dim=1), (embedding[known],), device
                )
        return projected
