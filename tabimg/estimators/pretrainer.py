"""`MultiModalPretrainer`: photos teach a table encoder; transforming needs the table alone."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

from tabimg.estimators.hints import warn_of_unknown_categories
from tabimg.estimators.inputs import (
    Unlabeled,
    check_table,
    reject_paths_as_target,
    take_apart,
)
from tabimg.estimators.material import Material, gather, pair
from tabimg.estimators.parameters import (
    auto_epochs,
    check_choice,
    check_flag,
    check_n_jobs,
    check_non_negative,
    check_optional_callable,
    check_path,
    check_positive,
    check_positive_int,
    draw_seed,
    run_options,
)
from tabimg.estimators.photo_embedding import embed_photos
from tabimg.image import Augmentation, RowImages
from tabimg.image.decoding import POLICIES
from tabimg.nn import MultiModalNet
from tabimg.objectives.masked_cells import MaskLossForm
from tabimg.serialization import register, register_adapter
from tabimg.table import CORRUPTIONS, EncodedTable, TableCodec
from tabimg.training.inference import apply_to_table
from tabimg.training.modules import FittedModule
from tabimg.training.mt_cmtm import MTCMTM
from tabimg.training.pairs import PairedRows
from tabimg.training.pretraining import PretrainingOptions, pretrain
from tabimg.training.recipes import (
    IMAGE_ENCODERS,
    TABULAR_ENCODERS,
    ImageRecipe,
    PretrainingRecipe,
    TableRecipe,
    check_encoder,
    load_image_weights,
)
from tabimg.training.runtime import PRECISIONS, resolve_device, seeded

MASK_LOSSES = ("l1_ce", "l1")
# At 16 pixels the last stage of a ResNet-18 gets a single position, and PyTorch's bfloat16 gradient
# of a strided convolution of one position is wrong on the CPU: training diverges.
MIN_IMAGE_SIZE = 32

register_adapter(TableCodec, TableCodec.to_state, TableCodec.from_state)
register(Augmentation)


@register
class MultiModalPretrainer(TransformerMixin, BaseEstimator):
    """Pre-train a table encoder with photos; embed tables without them.

    MT-CMTM pre-training (Roy et al., "Code and Pixels", arXiv 2501.07304): a contrastive loss pulls
    the embedding of a row towards that of its photo, and a masked-cell loss asks the encoder to
    restore cells that were replaced at random. Without an image column only the masked-cell loss
    is left.

    Parameters
    ----------
    image_column : column label, list of column labels or None, default=None
        The column, or columns, with the photos. A cell is a str, Path, bytes, PIL image, an
        already computed embedding vector (1-D), a list of these, or missing (None, NaN, ``""``).
        Rows without a photo train the masked-cell loss only.
    image_root : str or Path, default=None
        Folder that relative paths start from; None is the working directory.
    image_loader : callable, default=None
        ``image_loader(path) -> array`` opens formats that Pillow does not.
    group_column : column label, default=None
        Rows of one group are never negatives of each other and never cross the validation split.
        It is not a feature, and may be absent when transforming.
    image_size : int, default=64
        Height and width that photos are trained on, in pixels; at least 32.
    image_encoder : {"resnet18"} or callable, default="resnet18"
        A callable ``factory() -> nn.Module``; its module maps float32 (B, 3, H, W) to (B, d').
    image_weights : str or Path, default=None
        Local file with public ResNet-18 weights in torchvision's names (.safetensors, or .pth read
        without unpickling). None trains from scratch.
    tabular_encoder : {"resnet1d_cbam", "resnet1d", "mlp"} or callable, default="resnet1d_cbam"
        A callable ``factory() -> nn.Module`` maps float32 (B, F), the encoded row, to (B, d); lazy
        layers find F by themselves.
    embedding_dim : int, default=256
        Width of the table embedding; a factory's module brings its own.
    projection_dim : int, default=128
        Width of the space in which rows and photos are compared.
    lambda_c, lambda_m : float, default=1.0
        Weight of the contrastive and of the masked-cell loss. ``lambda_c=0`` reads no photo.
    mask_rate : float in (0, 1), default=0.3
        Probability that a cell is corrupted; at least one in each row is.
    corruption : {"marginal", "mean", "zero", "token"}, default="marginal"
        What takes the place of a corrupted cell: a draw from the column's training cells, as in the
        paper; the column's mean or most frequent category; zeros; or a learned token, that of
        missing cells.
    mask_loss : {"l1_ce", "l1"}, default="l1_ce"
        L1 on numeric and cross-entropy on categorical cells, or the paper's L1 on both.
    temperature : float, default=0.1
        Temperature of the contrastive loss.
    augmentation : {"default", "none"}, None, dict or Augmentation, default="default"
        Random changes of the photos. A dict changes the defaults, e.g. ``{"flip": False,
        "color_jitter": None}``; see :class:`tabimg.image.Augmentation`.
    max_epochs : int or "auto", default="auto"
        "auto" shows about 40,000 rows in all, in 15 to 100 epochs: 100 for up to 400 rows, 50 for
        800, 15 from 2,667 on. The whole schedule is run; there is no early stopping.
    batch_size : int, default=128
        At least 4. The contrastive loss takes the rest of the batch as negatives.
    lr : float, default=3e-3
        Peak of the one-cycle schedule, stepped per batch. The paper's 1e-2 is unstable.
    weight_decay : float, default=1e-2
        Of AdamW; biases and norm scales are not decayed.
    validation_fraction : float in (0, 0.5] or None, default=0.1
        Share of the rows, by group, that picks the weights to keep by total validation loss. No
        rows are split off where that would give fewer than two batches; None never splits.
    on_bad_image : {"raise", "warn", "skip"}, default="raise"
        What to do with a listed photo that cannot be read: stop, or treat it as missing with or
        without a warning.
    keep_image_encoder : bool, default=True
        Keep the image encoder after fitting, for `transform_images` and ``warm_start``.
    passthrough : bool, default=False
        Append the encoded columns to the embedding in `transform`.
    callbacks : list of skorch callbacks, default=None
    device : str, default="auto"
        "auto" takes CUDA where it is there.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the image encoder in training; "auto" takes bfloat16 where the hardware has it.
    compile : bool, default=False
        Use ``torch.compile`` on the image encoder. On a CPU it slows training down.
    n_jobs : int, default=None
        Threads that decode photos; -1 means all processors.
    cache_dir : str or Path, default=None
        Keeps decoded photos for later fits; a changed file is decoded again.
    checkpoint_dir : str or Path, default=None
        Writes a checkpoint after each epoch. An interrupted fit goes on from it when it is
        called again with equal data and parameters.
    time_limit : float, default=None
        Seconds of training; the schedule is shortened to fit. At least one batch is trained.
    warm_start : bool, default=False
        Go on from the weights of the last fit, on a table of the same columns and with the same
        networks.
    random_state : int, RandomState or None, default=None
    verbose : int, default=0
        1 shows progress bars.

    Attributes
    ----------
    codec_ : TableCodec
        Turns tables into numbers; learned from all training rows.
    network_ : FittedModule
        The trained networks.
    history_ : list of dict
        One entry an epoch: both losses, unweighted and weighted, for training and validation rows,
        ``gradient_norm`` and ``lr``. ``pandas.DataFrame(history_)`` makes a table of it.
    n_features_in_ : int
        Number of columns, without image and group columns.
    feature_names_in_ : ndarray of str
        Only where the columns' names are all strings.

    See Also
    --------
    MTCMTMClassifier, MTCMTMRegressor : Fine-tune the encoder for a target.

    Notes
    -----
    All rows, unlabeled ones included, teach the codec. A row's embedding does not depend on the
    rows beside it: inference runs in float32 blocks of one fixed size.

    Examples
    --------
    >>> from tabimg import MultiModalPretrainer
    >>> from tabimg.datasets import make_membranes
    >>> data = make_membranes(n_samples=40, image_size=32, random_state=0)
    >>> pretrainer = MultiModalPretrainer(
    ...     image_column="photo", image_size=32, max_epochs=1, embedding_dim=16, random_state=0
    ... )
    >>> pretrainer.fit(data.data).transform(data.data.drop(columns="photo")).shape
    (40, 16)
    """

    def __init__(
        self,
        image_column: Hashable | Sequence[Hashable] | None = None,
        image_root: str | Path | None = None,
        image_loader: Callable[[str], Any] | None = None,
        group_column: Hashable | None = None,
        image_size: int = 64,
        image_encoder: str | Callable[[], torch.nn.Module] = "resnet18",
        image_weights: str | Path | None = None,
        tabular_encoder: str | Callable[[], torch.nn.Module] = "resnet1d_cbam",
        embedding_dim: int = 256,
        projection_dim: int = 128,
        lambda_c: float = 1.0,
        lambda_m: float = 1.0,
        mask_rate: float = 0.3,
        corruption: str = "marginal",
        mask_loss: MaskLossForm = "l1_ce",
        temperature: float = 0.1,
        augmentation: Any = "default",
        max_epochs: int | str = "auto",
        batch_size: int = 128,
        lr: float = 3e-3,
        weight_decay: float = 1e-2,
        validation_fraction: float | None = 0.1,
        on_bad_image: str = "raise",
        keep_image_encoder: bool = True,
        passthrough: bool = False,
        callbacks: list[Any] | None = None,
        device: str = "auto",
        precision: str = "auto",
        compile: bool = False,
        n_jobs: int | None = None,
        cache_dir: str | Path | None = None,
        checkpoint_dir: str | Path | None = None,
        time_limit: float | None = None,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.image_column = image_column
        self.image_root = image_root
        self.image_loader = image_loader
        self.group_column = group_column
        self.image_size = image_size
        self.image_encoder = image_encoder
        self.image_weights = image_weights
        self.tabular_encoder = tabular_encoder
        self.embedding_dim = embedding_dim
        self.projection_dim = projection_dim
        self.lambda_c = lambda_c
        self.lambda_m = lambda_m
        self.mask_rate = mask_rate
        self.corruption = corruption
        self.mask_loss = mask_loss
        self.temperature = temperature
        self.augmentation = augmentation
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.on_bad_image = on_bad_image
        self.keep_image_encoder = keep_image_encoder
        self.passthrough = passthrough
        self.callbacks = callbacks
        self.device = device
        self.precision = precision
        self.compile = compile
        self.n_jobs = n_jobs
        self.cache_dir = cache_dir
        self.checkpoint_dir = checkpoint_dir
        self.time_limit = time_limit
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        image_paths: Sequence[Any] | None = None,
        unlabeled: Unlabeled | None = None,
    ) -> MultiModalPretrainer:
        """Pre-train on rows and their photos.

        Parameters
        ----------
        X : DataFrame (pandas, Polars) or array of shape (n_rows, n_columns)
            Columns of any dtype; missing cells are welcome.
        y : ignored
        sample_weight : array of shape (n_rows,), optional
            Non-negative factor of each row in both losses. Unlabeled rows count 1.
        image_paths : sequence of length n_rows, optional
            The photos, where they are not a column of ``X``.
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
        reject_paths_as_target(y)
        seed = draw_seed(self.random_state)
        continued = self.warm_start and hasattr(self, "network_")
        material = gather(self, X, sample_weight, image_paths, unlabeled, reset=not continued)
        if continued:
            self._check_continued(material)
        else:
            self.codec_ = TableCodec().fit(material.table)
        options = self._options(seed, len(material.weight))
        with pair(self, material) as rows:
            net, recipe = self._prepare_network(rows, seed, continued)
            self.history_ = pretrain(net, rows, options)
        self._keep(net, recipe)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Embed rows from the table alone; image and group columns may be there or not.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_columns)

        Returns
        -------
        float32 array of shape (n_rows, embedding_dim), or with ``passthrough`` followed by the
        encoded columns
        """
        encoded = self._encode(X)
        device = resolve_device(self.device)
        embedding = apply_to_table(self.network_.on(device), encoded, device=device)
        if not self.passthrough:
            return embedding
        return np.hstack([embedding, self.codec_.to_matrix(encoded)])

    def transform_images(self, X: Any) -> np.ndarray:
        """Embed the photos of rows.

        Parameters
        ----------
        X : DataFrame with the image column, or a sequence of image cells

        Returns
        -------
        float32 array of shape (n_rows, d')
            The image encoder's embedding of each row's first photo; NaN for rows without one.

        Raises
        ------
        ValueError
            If the frame lacks the image column.
        AttributeError
            If the image encoder was not kept, or no photos were used in fitting.
        """
        check_is_fitted(self, "network_")
        if self.network_.recipe.image is None:
            raise AttributeError(
                "there is no image encoder: the fit used no photos, or keep_image_encoder=False "
                "dropped it"
            )
        return embed_photos(self, X)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the columns of `transform`: ``multimodalpretrainer0``, ..., then encoded columns."""
        check_is_fitted(self, "network_")
        prefix = type(self).__name__.lower()
        names = [f"{prefix}{i}" for i in range(self._embedding_width)]
        if self.passthrough:
            names += [str(name) for name in self.codec_.matrix_names()]
        return np.asarray(names, dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        # Embeddings are float32, whatever comes in.
        tags.transformer_tags.preserves_dtype = []
        return tags

    @property
    def _n_features_out(self) -> int:
        return len(self.get_feature_names_out())

    @property
    def _embedding_width(self) -> int:
        recipe = self.network_.recipe.table
        return recipe.width(self.network_.on(torch.device("cpu")))

    def _check_parameters(self) -> None:
        check_encoder("image_encoder", self.image_encoder, IMAGE_ENCODERS)
        check_encoder("tabular_encoder", self.tabular_encoder, TABULAR_ENCODERS)
        check_positive_int("image_size", self.image_size, low=MIN_IMAGE_SIZE)
        check_positive_int("embedding_dim", self.embedding_dim)
        check_positive_int("projection_dim", self.projection_dim)
        check_non_negative("lambda_c", self.lambda_c)
        check_non_negative("lambda_m", self.lambda_m)
        if self.lambda_c == 0 and self.lambda_m == 0:
            raise ValueError("lambda_c and lambda_m are both 0: there is nothing to learn from")
        check_scalar(
            self.mask_rate, "mask_rate", Real, min_val=0, max_val=1, include_boundaries="neither"
        )
        check_choice("corruption", self.corruption, list(CORRUPTIONS))
        check_choice("mask_loss", self.mask_loss, MASK_LOSSES)
        check_positive("temperature", self.temperature)
        check_choice("on_bad_image", self.on_bad_image, POLICIES)
        check_choice("precision", self.precision, PRECISIONS)
        for name in ("keep_image_encoder", "passthrough", "compile"):
            check_flag(name, getattr(self, name))
        for name in ("image_root", "image_weights", "cache_dir"):
            check_path(name, getattr(self, name))
        check_optional_callable("image_loader", self.image_loader)
        check_n_jobs(self.n_jobs)
        # The training parameters are checked as they are read.
        self._options(seed=0, n_rows=1)

    def _options(self, seed: int, n_rows: int) -> PretrainingOptions:
        max_epochs = auto_epochs(n_rows) if self.max_epochs == "auto" else self.max_epochs
        method = MTCMTM(
            lambda_c=float(self.lambda_c),
            lambda_m=float(self.lambda_m),
            mask_rate=float(self.mask_rate),
            mask_loss=self.mask_loss,
            temperature=float(self.temperature),
            corruption=self.corruption,
        )
        return PretrainingOptions(
            method=method,
            augmentation=Augmentation.from_param(self.augmentation),
            image_size=int(self.image_size),
            precision=self.precision,
            compile=self.compile,
            run=run_options(self, seed, max_epochs),
        )

    def _check_continued(self, material: Material) -> None:
        """Refuse to go on with photos from a fit that left no image encoder."""
        if self.network_.recipe.image is None and material.images is not None:
            raise ValueError(
                "warm_start cannot go on with photos: the last fit used none or dropped its image "
                "encoder; keep_image_encoder=True keeps it"
            )

    def _prepare_network(
        self, rows: PairedRows, seed: int, continued: bool
    ) -> tuple[MultiModalNet, PretrainingRecipe]:
        table = table_recipe(self.codec_, self.tabular_encoder, self.embedding_dim)
        if self.corruption == "token":
            # A masked cell takes the token of missing ones, so that every column needs one.
            table = replace(table, numeric_has_missing=(True,) * table.n_numeric)
        recipe = PretrainingRecipe(table, self._image_recipe(rows.images), int(self.projection_dim))
        if continued:
            return self.network_.build().train(), self._check_recipe(recipe)
        with seeded(seed, torch.device("cpu")):
            net = recipe.build()
        if self.image_weights is not None:
            load_image_weights(net, self.image_weights)
        return net, recipe

    def _check_recipe(self, wanted: PretrainingRecipe) -> PretrainingRecipe:
        """Give the last fit's recipe, if the parameters still describe it."""
        kept = self.network_.recipe
        # A fit without photos leaves the image encoder of an earlier one as it is.
        if wanted != (kept if wanted.image is not None else kept.without_image()):
            raise ValueError(
                "warm_start goes on with the networks of the last fit, but embedding_dim, "
                "projection_dim, image_size, an encoder or the kind of image cells has changed "
                "since: set them back, or set warm_start=False"
            )
        return kept

    def _image_recipe(self, images: RowImages | None) -> ImageRecipe | None:
        if images is None:
            return None
        width = None if images.vectors is None else images.vectors.shape[1]
        return ImageRecipe(self.image_encoder, int(self.image_size), width)

    def _keep(self, net: MultiModalNet, recipe: PretrainingRecipe) -> None:
        """Hold the trained weights, without the image encoder where it is not to be kept."""
        if not self.keep_image_encoder and net.image_encoder is not None:
            recipe = recipe.without_image()
            net.image_encoder = None
            net.projections.clear()
        self.network_ = FittedModule.from_module(recipe, net)

    def _encode(self, X: Any) -> EncodedTable:
        check_is_fitted(self, "network_")
        inputs = take_apart(X, self.image_column, self.group_column)
        encoded = self.codec_.encode(check_table(self, inputs.table, reset=False))
        warn_of_unknown_categories(self.codec_, encoded)
        return encoded


def table_recipe(
    codec: TableCodec, encoder: str | Callable[[], torch.nn.Module], embedding_dim: int
) -> TableRecipe:
    """Give the recipe of a table encoder for the columns of a codec."""
    return TableRecipe(
        encoder=encoder,
        n_numeric=len(codec.numeric_names),
        numeric_has_missing=tuple(bool(flag) for flag in codec.numeric_has_missing),
        cardinalities=tuple(codec.cardinalities),
        embedding_dim=int(embedding_dim),
    )
