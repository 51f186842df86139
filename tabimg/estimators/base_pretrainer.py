"""What all methods of pre-training with photos share: parameters, fit and photos."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import joblib
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from tabimg.estimators.checkpoints import fit_checkpoints
from tabimg.estimators.loaded import check_photo_parameters
from tabimg.estimators.shared_parameters import (
    MIN_BATCH_SIZE,
    ColumnParameters,
    PhotoParameters,
    TrainingParameters,
    run_options,
)
from tabimg.estimators.shared_space import SharedSpace
from tabimg.estimators.training_rows import RowSource, TrainingRows, gather, paired
from tabimg.image import Augmentation, PhotoOptions, RowImages, image_fingerprint
from tabimg.image.decoding import POLICIES
from tabimg.inputs import Unlabeled
from tabimg.inputs.containers import as_container, as_image_cells, as_target
from tabimg.inputs.frames import as_column_list, is_frame, require_columns
from tabimg.inputs.hints import warn_of_target_among_columns
from tabimg.inputs.parameter_checks import (
    check_choice,
    check_flag,
    check_folder,
    check_n_jobs,
    check_optional_callable,
    check_path,
    check_positive,
    check_positive_int,
    draw_seed,
)
from tabimg.inputs.rows import bare_images, take_apart
from tabimg.inputs.target_types import reject_paths_as_target
from tabimg.messages import shorten
from tabimg.nn.isolation import isolated
from tabimg.training.architectures import IMAGE_TRAININGS, MAX_IMAGE_SIZE, ImageArchitecture
from tabimg.training.fitted_module import FittedModule
from tabimg.training.image_encoders import check_image_encoder, described, source_of
from tabimg.training.image_weights import load_image_weights
from tabimg.training.library_models import LibraryModel
from tabimg.training.optimise import RunOptions
from tabimg.training.pairs import PairedRows
from tabimg.training.photo_embedding import PhotoEmbedder
from tabimg.training.pretraining import Method, PretrainingOptions, pretrain
from tabimg.training.processes import current_processes
from tabimg.training.runtime import PRECISIONS, resolve_device
from tabimg.training.schedule import auto_epochs

# At 16 pixels the last stage of a ResNet-18 has a single position, and PyTorch's bfloat16 gradient
# of a strided convolution over one position is wrong on the CPU: training diverges.
MIN_IMAGE_SIZE = 32
# Of the photos' projection head: as wide as a locked embedding it would be most of the training.
LOCKED_HIDDEN_FEATURES = 256


@dataclass(eq=False, repr=False, kw_only=True)
class PhotoPretrainer(
    RowSource,
    PhotoParameters,
    ColumnParameters,
    TrainingParameters,
    SharedSpace,
    TransformerMixin,
    BaseEstimator,
):
    """Pre-train a table encoder with photos; embed tables without them.

    A method defines its rows, the networks trained on them, and the losses.
    """

    # A locked image encoder sees grid * grid regions of a photo.
    _photo_grid: ClassVar[int] = 1

    projection_dim: int = 128
    temperature: float = 0.1
    max_epochs: int | str = "auto"
    batch_size: int = 128
    micro_batch_size: int | None = None
    weight_decay: float = 1e-2
    validation_fraction: float | None = 0.1
    compile: bool = False

    @abstractmethod
    def _learn_columns(self, rows: TrainingRows) -> None:
        """Learn from all rows how to encode tables."""

    @abstractmethod
    def _encode_rows(self, rows: TrainingRows) -> Any:
        """Encode all rows, in their order."""

    @abstractmethod
    def _architecture(self, image: ImageArchitecture | None) -> Any:
        """Return the architecture of all networks; ``image`` is None if there are no photos."""

    @abstractmethod
    def _method(self, has_photos: bool) -> Method:
        """Return the method with its parameters."""

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        image_paths: Sequence[Any] | None = None,
        unlabeled: Unlabeled | None = None,
    ) -> Any:
        """Pre-train on rows and their photos.

        Parameters
        ----------
        X : DataFrame (pandas, Polars) or array of shape (n_rows, n_columns)
            Columns of any dtype; cells may be missing.
        y : ignored
        sample_weight : array of shape (n_rows,), optional
            Non-negative factor of each row in both losses. Unlabeled rows count 1.
        image_paths : sequence of length n_rows, optional
            The photos, if they are not a column of ``X``.
        unlabeled : Unlabeled, optional
            Further rows with their photos.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For a parameter out of range, a declared column that ``X`` lacks, infinite cells, fewer
            than two rows, or a target that looks like file paths.
        tabimg.image.ImageReadError
            For a photo that cannot be read, unless ``on_bad_image`` allows it.
        tabimg.training.callbacks.DivergenceError
            If a loss stops being finite.
        """
        self._check_parameters()
        X = as_container(X)
        image_paths = as_image_cells(X, image_paths)
        y = as_target(y)
        warn_of_target_among_columns(y, X, unlabeled)
        reject_paths_as_target(y)
        seed = draw_seed(self.random_state)
        continued = self._continues
        rows = gather(self, X, sample_weight, image_paths, unlabeled, reset=not continued)
        if continued:
            self._check_continued(rows)
        else:
            self._learn_columns(rows)
        encoded, processes = self._encode_rows(rows), current_processes()
        processes.require_equal(lambda: _digest_of(rows, encoded), "the rows")
        data = partial(_data, rows, encoded)
        with fit_checkpoints(self, seed, continued, data, processes) as seed:
            options = self._options(seed, len(rows.weight), rows.images is not None)
            net, architecture = self._prepare_network(rows.images, seed, continued)
            photo_options = self._photo_options(self._image_side)
            seen = paired(rows, encoded, net.image_encoder, photo_options, options.run)
            with seen as pairs:
                self._check_pairs(pairs)
                self.history_ = pretrain(net, pairs, options)
                self._note_training(net, pairs)
            self._keep(net, architecture)
        return self

    def transform_images(self, X: Any) -> np.ndarray:
        """Embed the photos of rows.

        Parameters
        ----------
        X : DataFrame with the image column, or a sequence of image cells

        Returns
        -------
        float32 array of shape (n_rows, d')
            The image encoder's embedding of each row's first photo; NaN for rows without one, or
            with one that cannot be read if ``on_bad_image`` allows it.

        Raises
        ------
        ValueError
            If the frame lacks the image column.
        tabimg.image.ImageReadError
            For a photo that cannot be read, unless ``on_bad_image`` allows it.
        AttributeError
            If the image encoder was not kept, or no photos were used in fitting.
        """
        check_is_fitted(self, "network_")
        if self.network_.architecture.image is None:
            raise AttributeError(
                "there is no image encoder: the fit used no photos, or keep_image_encoder=False "
                "dropped it"
            )
        return self._photo_embedder.embed(self._images_to_embed(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        # Embeddings are float32, whatever the input.
        tags.transformer_tags.preserves_dtype = []
        return tags

    @property
    def _n_features_out(self) -> int:
        return len(self.get_feature_names_out())

    @abstractmethod
    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the columns of `transform`."""

    @property
    def _continues(self) -> bool:
        """Whether a fit goes on with the networks of the last one."""
        return self.warm_start and hasattr(self, "network_")

    def _photo_options(self, image_size: int) -> PhotoOptions:
        return PhotoOptions(
            image_size=image_size,
            augmentation=Augmentation.from_param(self.augmentation),
            loader=self.image_loader,
            max_pixels=self.max_image_pixels,
            on_bad_image=self.on_bad_image,
            n_jobs=self.n_jobs,
            cache_dir=self.cache_dir,
        )

    @property
    def _described_encoder(self) -> Any:
        """The image encoder as an architecture keeps it: that of a fit which is continued."""
        image = self.network_.architecture.image if self._continues else None
        if image is not None and getattr(image.encoder, "spec", None) == self.image_encoder:
            return image.encoder
        return described(self.image_encoder)

    @property
    def _image_side(self) -> int:
        """Height and width of the photos of a fit in pixels."""
        if self.image_size == "auto":
            return source_of(self._described_encoder).image_size
        return int(self.image_size)

    @property
    def _image_training_chosen(self) -> str:
        """How much of the image encoder is trained."""
        if self.image_training != "auto":
            return self.image_training
        is_pretrained = source_of(self._described_encoder).pretrained
        return "locked" if is_pretrained or self.image_weights is not None else "full"

    @property
    def _photo_embedder(self) -> PhotoEmbedder:
        image = self.network_.architecture.image
        # Without an image encoder no photo is read.
        options = self._photo_options(MIN_IMAGE_SIZE if image is None else image.image_size)
        return PhotoEmbedder(self.network_, options, resolve_device(self.device))

    def _images_of(self, X: Any, image_paths: Sequence[Any] | None = None) -> RowImages:
        """Collect the photos of rows, which may have none."""
        return take_apart(X, self.image_column, None, image_paths).images(self.image_root)

    def _images_to_embed(self, X: Any) -> RowImages:
        """Collect the photos of a frame, which must have them, or of a sequence of image cells."""
        X = as_container(X)
        if not is_frame(X):
            return bare_images(X, self.image_root)
        require_columns(X, as_column_list(self.image_column), "image_column")
        if self.image_column is None:
            raise ValueError("image_column is None: give the photos themselves, as a sequence")
        return self._images_of(X)

    def _check_pairs(self, rows: PairedRows) -> None:
        """Refuse pairs that a method cannot learn from, once unreadable photos are left out."""

    def _note_training(self, net: Any, rows: PairedRows) -> None:
        """Record what a method reports about its trained network."""

    def _check_loaded(self) -> None:
        """Check learned state that was read from a file."""
        check_photo_parameters(self)

    def _check_parameters(self) -> None:
        check_image_encoder(self.image_encoder)
        if isinstance(self.image_size, str) and self.image_size != "auto":
            raise ValueError(
                f"image_size must be a whole number or 'auto', got {shorten(self.image_size)}"
            )
        if self.image_size != "auto":
            check_positive_int("image_size", self.image_size, low=MIN_IMAGE_SIZE)
        if self._image_side > MAX_IMAGE_SIZE:
            raise ValueError(f"image_size == {self.image_size}, must be <= {MAX_IMAGE_SIZE}")
        self._check_image_training()
        check_positive_int("max_image_pixels", self.max_image_pixels)
        check_positive_int("projection_dim", self.projection_dim)
        check_positive("temperature", self.temperature)
        check_choice("on_bad_image", self.on_bad_image, POLICIES)
        check_choice("precision", self.precision, PRECISIONS)
        for name in ("keep_image_encoder", "compile"):
            check_flag(name, getattr(self, name))
        check_path("image_weights", self.image_weights)
        check_folder("cache_dir", self.cache_dir)
        check_optional_callable("image_loader", self.image_loader)
        check_n_jobs(self.n_jobs)
        # The training parameters are checked as they are read.
        self._options(seed=0, n_rows=1, has_photos=True)
        if self.image_weights is None and not self._continues:
            source_of(self._described_encoder).require()

    def _check_image_training(self) -> None:
        check_choice("image_training", self.image_training, ["auto", *IMAGE_TRAININGS])
        name, encoder = self.image_encoder, self._described_encoder
        if self.image_weights is not None and isinstance(encoder, LibraryModel):
            raise ValueError(
                f"image_encoder={name!r} has its weights from its library: leave out "
                "image_weights, or name a folder with your own as image_encoder='hf/FOLDER'"
            )
        if self.image_training in ("auto", "full") or self.image_weights is not None:
            return
        if isinstance(name, str) and not source_of(encoder).pretrained:
            raise ValueError(
                f"image_training={self.image_training!r} builds on pre-trained weights, and "
                f"image_encoder={name!r} has none: name a file with image_weights=, take "
                "image_encoder='efficientnet_lite0', or set image_training='full'"
            )

    def _options(self, seed: int, n_rows: int, has_photos: bool) -> PretrainingOptions:
        max_epochs = auto_epochs(n_rows) if self.max_epochs == "auto" else self.max_epochs
        return PretrainingOptions(
            method=self._method(has_photos),
            augmentation=Augmentation.from_param(self.augmentation),
            image_size=self._image_side,
            precision=self.precision,
            compile=self.compile,
            run=self._run_options(seed, max_epochs),
        )

    def _run_options(self, seed: int, max_epochs: Any) -> RunOptions:
        if self.micro_batch_size is not None:
            check_positive_int("micro_batch_size", self.micro_batch_size, low=MIN_BATCH_SIZE)
        run, processes = run_options(self, seed, max_epochs), current_processes()
        return replace(
            run,
            micro_batch_size=self.micro_batch_size,
            processes=processes,
            device=processes.own_device(run.device),
        )

    def _check_continued(self, rows: TrainingRows) -> None:
        """Refuse to continue with photos after a fit that left no image encoder."""
        if self.network_.architecture.image is None and rows.images is not None:
            raise ValueError(
                "warm_start cannot continue with photos: the last fit used none or dropped its "
                "image encoder; keep_image_encoder=True keeps it"
            )

    def _prepare_network(
        self, images: RowImages | None, seed: int, continued: bool
    ) -> tuple[Any, Any]:
        architecture = self._architecture(self._image_architecture(images))
        if continued:
            return self.network_.build().train(), self._check_architecture(architecture)
        with isolated(seed):
            net = architecture.build()
        load_image_weights(net.image_encoder, architecture.image, self.image_weights)
        return net, architecture

    def _check_architecture(self, wanted: Any) -> Any:
        """Return the last fit's architecture, if the parameters still describe it."""
        kept = self.network_.architecture
        # A fit without photos leaves the image encoder of an earlier one as it is.
        if wanted != (kept if wanted.image is not None else kept.without_image()):
            raise ValueError(
                "warm_start continues the networks of the last fit, but a width, image_size, an "
                "encoder, the columns or the kind of image cells has changed since: set them back, "
                "or set warm_start=False"
            )
        return kept

    def _image_architecture(self, images: RowImages | None) -> ImageArchitecture | None:
        if images is None:
            return None
        width = None if images.vectors is None else images.vectors.shape[1]
        training = "full" if width is not None else self._image_training_chosen
        described = (self._described_encoder, self._image_side, width, training)
        if training != "locked":
            return ImageArchitecture(*described)
        return ImageArchitecture(*described, self._photo_grid, LOCKED_HIDDEN_FEATURES)

    def _keep(self, net: Any, architecture: Any) -> None:
        """Store the trained weights, without the image encoder unless it is to be kept."""
        if not self.keep_image_encoder and net.image_encoder is not None:
            architecture = architecture.without_image()
            net.drop_image()
        self.network_ = FittedModule.from_module(architecture, net)


def _data(rows: TrainingRows, encoded: Any) -> dict[str, Any]:
    """The training data, by names that a user knows."""
    return {
        "the table": encoded.arrays(),
        "the photos": "" if rows.images is None else image_fingerprint(rows.images),
        "the weights": rows.weight,
        "the groups": rows.groups,
    }


def _digest_of(rows: TrainingRows, encoded: Any) -> str:
    """Digest of what every process of a run has to be given; photos may lie in other folders."""
    images = rows.images
    listed = None if images is None else (images.offsets, images.ids)
    return joblib.hash((encoded.arrays(), rows.weight, rows.groups, listed))
