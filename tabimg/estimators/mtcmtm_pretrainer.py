"""`MultiModalPretrainer`: photos teach a table encoder; `transform` needs only the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from numbers import Real
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

from tabimg.estimators.base_pretrainer import PhotoPretrainer
from tabimg.estimators.loaded import (
    check_loaded,
    check_network,
    check_prediction,
    fits_codec,
    made_up_rows,
    on_cpu,
)
from tabimg.estimators.saved_columns import check_features
from tabimg.estimators.shared_parameters import FixedColumnsParameters, check_fixed_columns
from tabimg.estimators.training_rows import TrainingRows
from tabimg.inputs.categorical import check_categorical_features, find_categorical
from tabimg.inputs.checks import check_table
from tabimg.inputs.frames import as_column_list, column_names, require_columns
from tabimg.inputs.hints import warn_of_codes, warn_of_unknown_categories
from tabimg.inputs.parameter_checks import (
    check_choice,
    check_flag,
    check_non_negative,
    check_path,
)
from tabimg.inputs.rows import Rows, take_apart
from tabimg.inputs.stacking import stack_tables
from tabimg.inputs.unlabeled import UNLABELED, Unlabeled
from tabimg.messages import warn
from tabimg.objectives.masked_cells import MaskLossForm
from tabimg.serialization import register
from tabimg.serialization.checks import check_type
from tabimg.table import CORRUPTIONS, EncodedTable, TableCodec
from tabimg.training.architectures import (
    ImageArchitecture,
    PretrainingArchitecture,
    TableArchitecture,
)
from tabimg.training.inference import apply_to_table
from tabimg.training.mtcmtm import MTCMTM
from tabimg.training.runtime import resolve_device

MASK_LOSSES = ("l1_ce", "l1")


@register(check=check_loaded)
@dataclass(eq=False, repr=False, kw_only=True)
class MultiModalPretrainer(FixedColumnsParameters, PhotoPretrainer):
    """Pre-train a table encoder with photos; embed tables without them.

    MT-CMTM pre-training (Roy et al., "Code and Pixels", arXiv 2501.07304): a contrastive loss pulls
    the embedding of a row towards that of its photo, and a masked-cell loss asks the encoder to
    restore cells that were replaced at random. Without an image column only the masked-cell loss
    remains.

    Parameters
    ----------
    image_column : column label, list of column labels or None, default=None
        The column, or columns, with the photos. A cell is a str, Path, bytes, PIL image, an
        already computed embedding vector (1-D), a list of these, or missing (None, NaN, ``""``).
        Rows without a photo train the masked-cell loss only.
    image_root : str or Path, default=None
        Folder that relative paths start from; None is the working directory.
    image_loader : callable, default=None
        ``image_loader(path) -> array`` opens formats that Pillow does not;
        :class:`~tabimg.image.ParquetPhotos` reads photos from Parquet files.
    group_column : column label, default=None
        Rows of one group are never negatives of each other and never cross the validation split.
        It is not a feature, and may be absent when transforming.
    categorical_features : None, "from_dtype" or array-like of str, int or bool, default=None
        Categorical columns that hold numbers, such as postal codes: their names, their positions or
        one bool per column, not counting image and group columns. All other columns, and with None
        or "from_dtype" all columns, are what their cells are. Equal numbers, such as 1 and 1.0, are
        one category.
    image_size : int or "auto", default="auto"
        Height and width that photos are seen at, in pixels; at least 32. "auto" is 112 for
        "efficientnet_lite0", 130 for "efficientnet_lite2", and else 64. For a model of another
        library it is the model's own size, to which photos of another size would be resized.
    image_encoder : str or callable, default="efficientnet_lite0"
        "efficientnet_lite0" starts from weights trained on ImageNet, which are installed with
        tabimg, "efficientnet_lite2" from those of the extra ``photos``; "resnet18", the paper's,
        from random ones. "timm/NAME", "hf/NAME", "hf/FOLDER" (transformers) and
        "open_clip/MODEL:PRETRAINED" name models of other libraries, which have to be installed.
        Naming one lets its library download the weights, unless they are in its cache.
        A callable ``factory() -> nn.Module``, such as :class:`tabimg.nn.EfficientNetLite` with
        random weights; its module maps float32 (B, 3, H, W) to (B, d').
    image_weights : str or Path, default=None
        Local file of weights to start from instead (.safetensors, or .pth read without unpickling),
        with the names of torchvision's ResNet or of efficientnet-lite-pytorch. Not for models of
        other libraries.
    image_training : {"auto", "locked", "tuned", "full"}, default="auto"
        "full" trains the image encoder, "tuned" its last part. "locked" keeps its pre-trained
        weights: it sees each photo once, and what it saw is kept for later fits, in memory and in
        ``cache_dir``. "auto" is "locked" if there are pre-trained weights, else "full".
    tabular_encoder : {"resnet1d_cbam", "resnet1d", "mlp"} or callable, default="resnet1d_cbam"
        A callable ``factory() -> nn.Module``; its module maps float32 (B, F), the encoded rows, to
        (B, d); lazy layers infer F.
    embedding_dim : int, default=256
        Width of the table embedding; a factory's module determines its own.
    projection_dim : int, default=128
        Width of the space in which rows and photos are compared.
    lambda_c, lambda_m : float, default=1.0
        Weight of the contrastive and of the masked-cell loss. ``lambda_c=0`` reads no photo.
    mask_rate : float in (0, 1), default=0.1
        Probability that a cell is corrupted; at least one in each row is.
    corruption : {"marginal", "mean", "zero", "token"}, default="marginal"
        What replaces a corrupted cell: a draw from the column's training cells, as in the paper;
        the column's mean or most frequent category; zeros; or the learned token of missing cells.
    mask_loss : {"l1_ce", "l1"}, default="l1_ce"
        L1 on numeric and cross-entropy on categorical cells, or the paper's L1 on both.
    temperature : float, default=0.1
        Temperature of the contrastive loss.
    augmentation : {"default", "none"}, None, dict or Augmentation, default="default"
        Random changes of the photos. A dict changes the defaults, e.g. ``{"flip": False,
        "color_jitter": None}``; see :class:`tabimg.image.Augmentation`.
    max_epochs : int or "auto", default="auto"
        "auto" shows about 40,000 rows in total, in 15 to 100 epochs: 100 for up to 400 rows, 50 for
        800, 15 from 2,667 on. The whole schedule is run; there is no early stopping.
    batch_size : int, default=128
        At least 4. The contrastive loss takes the rest of the batch as negatives. Several
        processes share a batch out among themselves.
    micro_batch_size : int or None, default=None
        Rows, and photos, whose activations are held at once, at least 4; None holds the whole
        batch. Gradients are those of the whole batch (GradCache, Gao et al., arXiv 2101.06983),
        except that batch normalisation takes its statistics from so many rows. It takes about a
        third longer.
    lr : float, default=3e-3
        Peak of the one-cycle schedule, stepped per batch. The paper's 1e-2 is unstable.
    weight_decay : float, default=1e-2
        Of AdamW; biases and norm scales are not decayed.
    validation_fraction : float in (0, 0.5] or None, default=0.1
        Share of the rows, split by group, whose total loss decides which weights are kept. No rows
        are split off if that would give fewer than two batches; None never splits.
    on_bad_image : {"raise", "warn", "skip"}, default="raise"
        What to do with a listed photo that cannot be read: raise an error, or treat it as missing
        with or without a warning.
    max_image_pixels : int, default=100_000_000
        A photo with more pixels counts as unreadable, see ``on_bad_image``: decoding takes up to 20
        bytes of memory per pixel (JPEG 2000, WebP; others up to 7), in each decoding thread.
    keep_image_encoder : bool, default=True
        Keep the image encoder after fitting, for `transform_images` and ``warm_start``.
    passthrough : bool, default=False
        Append the encoded columns to the embedding in `transform`.
    callbacks : list of skorch callbacks, default=None
        Those that cannot work here raise an error that names them.
    device : str, default="auto"
        "auto" uses CUDA if it is available.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Of the image encoder in training; "auto" uses bfloat16 if the hardware supports it.
    compile : bool, default=False
        Use ``torch.compile`` on the image encoder. On a CPU it slows training down.
    n_jobs : int, default=None
        Threads that decode photos; -1 means all processors.
    cache_dir : str or Path, default=None
        Keeps decoded photos for later fits; a changed file is decoded again.
    checkpoint_dir : str or Path, default=None
        A checkpoint is written there after each epoch, from which an interrupted fit resumes when
        it is called again with the same data and parameters; ``random_state=None`` finds its seed
        there. Removed when the outermost fit is complete.
    time_limit : float, default=None
        Seconds of training; the schedule is shortened to fit. At least one batch is trained.
    warm_start : bool, default=False
        Continue from the weights of the last fit, on a table with the same columns and with the
        same networks.
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
        One entry per epoch: both losses, unweighted and weighted, for training and validation rows,
        ``gradient_norm`` and ``lr``. ``pandas.DataFrame(history_)`` makes it a table.
    n_features_in_ : int
        Number of columns, without image and group columns.
    feature_names_in_ : ndarray of str
        Only if all column names are strings.

    See Also
    --------
    MTCMTMClassifier, MTCMTMRegressor : Fine-tune the encoder for a target.

    Notes
    -----
    The codec is learned from all rows, including unlabeled ones. A row's embedding does not depend
    on the other rows: inference runs in float32 blocks of one fixed size.

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

    lambda_c: float = 1.0
    lambda_m: float = 1.0
    mask_rate: float = 0.1
    corruption: str = "marginal"
    mask_loss: MaskLossForm = "l1_ce"
    lr: float = 3e-3
    passthrough: bool = False

    def transform(self, X: Any) -> np.ndarray:
        """Embed rows from the table alone; image and group columns are optional.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_columns)

        Returns
        -------
        float32 array of shape (n_rows, embedding_dim), or with ``passthrough`` followed by the
        encoded columns
        """
        encoded = self._encode(X)
        embedding = self._embed(encoded)
        if not self.passthrough:
            return embedding
        return np.hstack([embedding, self.codec_.to_matrix(encoded)])

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the columns of `transform`: ``multimodalpretrainer0``, ..., then encoded columns."""
        check_is_fitted(self, "network_")
        prefix = type(self).__name__.lower()
        names = [f"{prefix}{i}" for i in range(self._embedding_width)]
        if self.passthrough:
            names += [str(name) for name in self.codec_.matrix_names()]
        return np.asarray(names, dtype=object)

    @property
    def _embedding_width(self) -> int:
        architecture = self.network_.architecture.table
        return architecture.width(self.network_.on(torch.device("cpu")))

    def _labelled_parts(
        self, X: Any, image_paths: Sequence[Any] | None, *, reset: bool
    ) -> list[Rows]:
        if image_paths is None:
            require_columns(X, as_column_list(self.image_column), "image_column")
        if self.group_column is not None:
            require_columns(X, [self.group_column], "group_column")
        rows = take_apart(X, self.image_column, self.group_column, image_paths)
        return [replace(rows, table=check_table(self, rows.table, reset=reset))]

    def _unlabeled_parts(self, unlabeled: Unlabeled) -> list[Rows]:
        special = (self.image_column, self.group_column)
        return [take_apart(unlabeled.frame, *special, unlabeled.image_paths, UNLABELED)]

    def _stack(self, parts: Sequence[Rows]) -> Any:
        return reduce(stack_tables, [part.table for part in parts])

    def _can_learn_from(self, n_photos: Mapping[str | int, int]) -> bool:
        if sum(n_photos.values()) >= 2:
            return True
        if self.lambda_m == 0:
            raise ValueError("fewer than two rows have a photo, and lambda_m is 0")
        warn("fewer than two rows have a photo: only the masked-cell loss is trained")
        return False

    def _learn_columns(self, rows: TrainingRows) -> None:
        (table,) = rows.tables
        categorical = find_categorical(self.categorical_features, column_names(table))
        warn_of_codes(table, categorical)
        self.codec_ = TableCodec().fit(table, categorical)

    def _encode_rows(self, rows: TrainingRows) -> EncodedTable:
        (table,) = rows.tables
        return self.codec_.encode(table)

    def _architecture(self, image: ImageArchitecture | None) -> PretrainingArchitecture:
        table = table_architecture(self.codec_, self.tabular_encoder, self.embedding_dim)
        if self.corruption == "token":
            # A masked cell takes the token of missing ones, so every column needs one.
            table = replace(table, numeric_has_missing=(True,) * table.n_numeric)
        return PretrainingArchitecture(table, image, int(self.projection_dim))

    def _wants_photos(self) -> bool:
        return bool(self.lambda_c > 0)

    def _method(self, has_photos: bool) -> MTCMTM:
        return MTCMTM(
            lambda_c=float(self.lambda_c),
            lambda_m=float(self.lambda_m),
            mask_rate=float(self.mask_rate),
            mask_loss=self.mask_loss,
            temperature=float(self.temperature),
            corruption=self.corruption,
        )

    def _check_parameters(self) -> None:
        check_categorical_features(self.categorical_features)
        check_fixed_columns(self)
        check_non_negative("lambda_c", self.lambda_c)
        check_non_negative("lambda_m", self.lambda_m)
        if self.lambda_c == 0 and self.lambda_m == 0:
            raise ValueError("lambda_c and lambda_m are both 0: there is nothing to learn from")
        check_scalar(
            self.mask_rate, "mask_rate", Real, min_val=0, max_val=1, include_boundaries="neither"
        )
        check_choice("corruption", self.corruption, list(CORRUPTIONS))
        check_choice("mask_loss", self.mask_loss, MASK_LOSSES)
        check_flag("passthrough", self.passthrough)
        check_path("image_root", self.image_root)
        super()._check_parameters()

    def _check_loaded(self) -> None:
        super()._check_loaded()
        check_network(self, PretrainingArchitecture)
        check_type("codec_", self.codec_, TableCodec)
        check_features(self, self.codec_)
        if not fits_codec(self.network_, self.codec_):
            raise ValueError("the networks are for other columns")
        trial = on_cpu(self)
        frame = self.codec_.decode(made_up_rows(self.codec_, n_rows=2, span=0.0))
        for encoded in (made_up_rows(self.codec_), trial._encode(frame)):
            check_prediction(trial._embed(encoded))

    def _embed(self, encoded: EncodedTable) -> np.ndarray:
        device = resolve_device(self.device)
        return apply_to_table(self.network_.on(device), encoded, device=device)

    def _encode(self, X: Any) -> EncodedTable:
        check_is_fitted(self, "network_")
        inputs = take_apart(X, self.image_column, self.group_column)
        encoded = self.codec_.encode(check_table(self, inputs.table, reset=False))
        warn_of_unknown_categories(self.codec_, encoded)
        return encoded


def table_architecture(
    codec: TableCodec, encoder: str | Callable[[], torch.nn.Module], embedding_dim: int
) -> TableArchitecture:
    """Return the architecture of a table encoder for the columns of a codec."""
    return TableArchitecture(
        encoder=encoder,
        n_numeric=len(codec.numeric_names),
        numeric_has_missing=tuple(bool(flag) for flag in codec.numeric_has_missing),
        cardinalities=tuple(codec.cardinalities),
        embedding_dim=int(embedding_dim),
    )
