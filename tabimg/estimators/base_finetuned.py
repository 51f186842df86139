"""What fine-tuned classifiers and regressors share: parameters, fit and prediction."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.utils import _safe_indexing, check_consistent_length, check_scalar
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted, check_memory

from tabimg.estimators.checkpoints import fit_checkpoints
from tabimg.estimators.loaded import check_members, check_prediction, made_up_rows, on_cpu
from tabimg.estimators.photo_predictor import (
    MODALITIES,
    PhotoPredictor,
    photos_to_learn_from,
    with_current_blocks,
)
from tabimg.estimators.pretrained import (
    check_finetune,
    check_pretrainer,
    find_pretrainer,
    pretrained,
)
from tabimg.estimators.saved_columns import check_features
from tabimg.estimators.shared_parameters import ColumnParameters, TrainingParameters, run_options
from tabimg.estimators.table_encoder import TableEncoder
from tabimg.estimators.targets import Target, target_given
from tabimg.estimators.training_blocks import (
    TrainingBlocks,
    can_control,
    learn_from_photos,
    with_shuffled_photos,
)
from tabimg.estimators.unlabeled_rows import (
    check_unlabeled,
    pairs_to_distil,
    warn_of_idle_pairs,
)
from tabimg.estimators.user_members import check_user_members, user_estimators
from tabimg.image import RowImages
from tabimg.inputs.categorical import check_categorical_features
from tabimg.inputs.checks import check_fit_rows, check_table
from tabimg.inputs.containers import as_container, as_image_cells
from tabimg.inputs.declared_columns import DeclaredColumns
from tabimg.inputs.hints import (
    warn_of_odd_columns,
    warn_of_several_cohorts,
    warn_of_unknown_categories,
)
from tabimg.inputs.parameter_checks import (
    check_choice,
    check_flag,
    check_n_jobs,
    check_positive,
    check_positive_int,
    draw_seed,
)
from tabimg.inputs.rows import Rows, group_ids
from tabimg.inputs.stacking import stack_tables
from tabimg.inputs.unlabeled import Unlabeled
from tabimg.inputs.weights import check_weights, refuse_extreme_weights
from tabimg.messages import bounded_errors
from tabimg.serialization.checks import check_items, check_type
from tabimg.table import EncodedTable, TableCodec
from tabimg.training.architectures import TaskArchitecture
from tabimg.training.blending import Member, predict
from tabimg.training.blocks import COLUMNS, Blocks
from tabimg.training.candidates import Candidates
from tabimg.training.finetuning import FinetuningOptions
from tabimg.training.fitted_module import FittedModule
from tabimg.training.imputation import PhotoImputer
from tabimg.training.members import (
    continue_members,
    control_losses,
    fit_members,
    history_of,
    report_of,
    shares_of,
)
from tabimg.training.report import FitReport, Stopwatch
from tabimg.training.runtime import PRECISIONS, resolve_device, threads
from tabimg.training.splits import related_rows

# Bounds the memory of one-hot columns in prediction; a multiple of the inference block.
ROWS_AT_ONCE = 16_384
HEADS = ("embedding", "embedding+columns")


@dataclass(eq=False, repr=False, kw_only=True)
class FineTunedEstimator(ColumnParameters, TrainingParameters, BaseEstimator, ABC):
    """A table encoder, pre-trained or not, fine-tuned with a task head.

    It consists of parts: the target, the table encoder and the photo predictor. A part is made
    from the estimator's parameters and from what `fit` learned, which are plain attributes of the
    estimator.
    """

    pretrainer_class: ClassVar[type[Any]]
    _table_encoder_class: ClassVar[type[TableEncoder]]
    _target_class: ClassVar[type[Target]]

    pretrainer: Any = field(default=None, kw_only=False)
    predict_modality: str = "table"
    finetune: str = "auto"
    head: str = "embedding+columns"
    members: Sequence[tuple[str, Any]] | None = None
    excluded_members: Sequence[str] | None = None
    photo_control: bool = False
    n_members: int = 1
    dropout: float = 0.1
    max_epochs: int = 30
    patience: int = 10
    batch_size: int = 64
    lr: float = 2e-3
    encoder_lr_ratio: float = 0.3
    weight_decay: float = 1e-4
    validation_fraction: float | None = 0.15
    n_jobs: int | None = None
    memory: Any = None

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        image_paths: Sequence[Any] | None = None,
        unlabeled: Unlabeled | None = None,
    ) -> Any:
        """Pre-train on rows and photos unless the pretrainer is already fitted, then fine-tune.

        Parameters
        ----------
        X : DataFrame (pandas, Polars) or array of shape (n_rows, n_columns)
            With the pretrainer's image and group columns if it will be fitted.
        y : array of shape (n_rows,), or (n_rows, n_outputs) in regression
        sample_weight : array of shape (n_rows,), optional
            Non-negative factor of each row in fine-tuning, which leaves out rows of weight 0.
            Pre-training, which uses no target, weights all rows equally, unless metadata routing
            requests the weights.
        image_paths : sequence of length n_rows, optional
            The photos, if they are not a column of ``X``.
        unlabeled : Unlabeled, optional
            Further rows with their photos: for pre-training and, with ``finetune="auto"``, for
            distillation. This also needs photos of labelled rows, and the pretrainer's image
            encoder or, as cells of the image column, the output of its ``transform_images``.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For a parameter out of range, input that cannot be encoded, a fitted pretrainer that
            would lose its weights to a fit without photos, or an unsuitable target.

        Warns
        -----
        UserWarning
            If a fitted pretrainer that is not frozen is refitted and loses its weights, a network
            diverged and was trained again at a lower rate, the checkpoints of an interrupted fit
            cannot be used, or a column has the name of ``y`` or looks like something other than
            what it is used as.
        """
        self._check_parameters()
        X = as_container(X)
        image_paths = as_image_cells(X, image_paths)
        y = target_given(self, X, y, unlabeled)
        check_unlabeled(self, unlabeled)
        routed = self._route(sample_weight, image_paths, unlabeled)
        seed = draw_seed(self.random_state)
        pretrainer = find_pretrainer(self.pretrainer, self.pretrainer_class)
        declared = DeclaredColumns.of(self, pretrainer)
        declared.require(X, image_paths)
        self._table_encoder_class.check_frame(self, X)
        given = declared.rows_of(X, image_paths)
        warn_of_several_cohorts(given.cohort_names())
        continued = self.warm_start and hasattr(self, "members_")
        table = check_table(self, given.table, reset=not continued)
        with bounded_errors():
            check_consistent_length(table, y)
        values = self._target_class.check(self, y)
        weight = check_weights(sample_weight, table) * self._target_class.row_weights(self, values)
        refuse_extreme_weights(weight, "sample_weight times class_weight")
        check_fit_rows(self, int((weight > 0).sum()))
        data = {"X": table, "y": values, "the weights": weight, "the groups": given.groups}
        watch = Stopwatch()
        with fit_checkpoints(self, seed, continued, lambda: data) as seed:
            if not continued:
                if pretrainer is None or pretrainer is not self.pretrainer:
                    warn_of_odd_columns(table)  # the pretrainer's fit warns by itself
                self._table_encoder_class.check_categorical(self, pretrainer, table)
                self._keep(self._target_class.learn(self, values, weight))
                with watch("pre-training"):
                    found = pretrained(self, pretrainer, declared, X, given, routed, seed)
                self.pretrainer_ = found
                seen = _safe_indexing(table, np.flatnonzero(weight > 0))
                self._keep(self._table_encoder_class.learn(self, seen))
                self._sees_embedding = self.pretrainer_ is not None and self.finetune == "auto"
            self._columns.check(table)
            images = None
            if self._columns.learns_from_photos(self.predict_modality):
                images = photos_to_learn_from(self.pretrainer_, given, weight)
            further = None if continued else pairs_to_distil(self, given, unlabeled)
            parts = [replace(given, table=table), *([] if further is None else [further])]
            own = np.flatnonzero(weight > 0)
            unlabelled = np.arange(len(weight), sum(map(len, parts)))
            kept = np.concatenate([own, unlabelled])
            with watch("photos"):
                blocks = self._training_blocks(parts, kept, len(own), seed)
            target = self._target.encode(values)[own]
            with threads(self.n_jobs):
                self._fit_members(blocks, target, weight[own], seed, continued, watch)
            self.photo_members_: dict[str, list[Member]] | None = None
            if images is not None:
                rows = blocks.labelled(target, weight[own])
                self.photo_members_ = self._photo_predictor.fit(rows, images, seed)
        return self

    def get_metadata_routing(self) -> MetadataRouter:
        """Declare that this estimator takes fit metadata and passes it on to its pretrainer.

        Returns
        -------
        sklearn.utils.metadata_routing.MetadataRouter
        """
        router = MetadataRouter(owner=self).add_self_request(self)
        if isinstance(self.pretrainer, self.pretrainer_class):
            router.add(
                pretrainer=self.pretrainer,
                method_mapping=MethodMapping().add(caller="fit", callee="fit"),
            )
        return router

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags

    # --- parts ---------------------------------------------------------------------------------

    @property
    def _target(self) -> Target:
        return self._target_class.of(self)

    @property
    def _columns(self) -> TableEncoder:
        return self._table_encoder_class.of(self)

    @property
    def _photo_predictor(self) -> PhotoPredictor:
        members = getattr(self, "photo_members_", None)  # earlier versions did not always set it
        return PhotoPredictor(self._columns, members, self._target.task, self.device)

    def _keep(self, part: Target | TableEncoder) -> None:
        """Keep what a part has learned."""
        for name, value in part.learned().items():
            setattr(self, name, value)

    # --- fine-tuning ---------------------------------------------------------------------------

    def _route(
        self, sample_weight: Any, image_paths: Any, unlabeled: Unlabeled | None
    ) -> dict[str, Any]:
        """Find the arguments of the pretrainer's fit."""
        given = {"image_paths": image_paths, "unlabeled": unlabeled}
        if (
            isinstance(self.pretrainer, self.pretrainer_class)
            and get_config()["enable_metadata_routing"]
        ):
            given["sample_weight"] = sample_weight
            known = {name: value for name, value in given.items() if value is not None}
            return dict(process_routing(self, "fit", **known).pretrainer.fit)
        return given

    def _training_blocks(
        self, parts: Sequence[Rows], kept: np.ndarray, n_labelled: int, seed: int
    ) -> TrainingBlocks:
        """Encode the rows to learn from: labelled ones, then unlabeled pairs.

        Parameters
        ----------
        parts : sequence of Rows
            With checked tables.
        kept : int array
            Positions of the rows to learn from; ``n_labelled`` of them come first.
        n_labelled, seed : int
        """
        self.imputer_: PhotoImputer | None = None
        encoded = self._columns.encode(reduce(stack_tables, [part.table for part in parts]))
        groups = related_rows(encoded.row_keys(), group_ids(parts))[kept]
        rows = TrainingBlocks(self._blocks(encoded.take(kept)), groups, n_labelled)
        may_teach = len(parts) > 1 or parts[0].has_photos
        if self.pretrainer_ is None or self.finetune != "auto" or not may_teach:
            return rows
        images = RowImages.concat([part.images(self.pretrainer_.image_root) for part in parts])
        embedder = self.pretrainer_._photo_embedder
        rows = learn_from_photos(rows, images.take(kept), embedder, seed)
        if rows.lack is not None and len(parts) > 1:
            warn_of_idle_pairs(self, rows.lack)
        self.imputer_ = rows.imputer
        return rows

    def _fit_members(
        self,
        blocks: TrainingBlocks,
        target: np.ndarray,
        weight: np.ndarray,
        seed: int,
        continued: bool,
        watch: Stopwatch,
    ) -> None:
        """Fit new members, or continue training those of the last fit."""
        rows, pairs = blocks.labelled(target, weight), blocks.pairs()
        task, options = self._target.task, self._options(seed)
        n_columns = rows.columns.shape[1] if "columns" in self.head else 0
        architecture = TaskArchitecture(
            self._columns.architecture(), n_columns, task.n_outputs, float(self.dropout)
        )
        if continued:
            members = continue_members(self.members_, architecture, options, rows, task)
        else:
            network = None if self.pretrainer_ is None else self.pretrainer_.network_
            own = (self.n_members, user_estimators(self), self.excluded_members or ())
            candidates = Candidates(architecture, network, options, *own)
            members, blended = fit_members(candidates, self.finetune, rows, pairs, task, watch)
            controls = {}
            if can_control(self, blended, rows):
                other = with_shuffled_photos(blocks, seed)
                shuffled = (other.labelled(target, weight), other.pairs())
                controls = control_losses(blended, candidates, rows, pairs, shuffled, task)
            found = (network is not None, watch.seconds, controls)
            self.report_ = report_of(blended, rows, pairs, task, *found)
            self.validation_losses_ = self.report_.losses()
        self.members_: list[Member] = members
        self.weights_ = shares_of(self.members_)
        self.history_ = history_of(self.members_)

    def _options(self, seed: int) -> FinetuningOptions:
        # Only on request: table networks are too small to gain from a lower precision.
        autocast = torch.bfloat16 if self.precision == "bfloat16" else None
        ratio, patience = float(self.encoder_lr_ratio), int(self.patience)
        return FinetuningOptions(ratio, patience, autocast, run_options(self, seed))

    def _check_parameters(self) -> None:
        # All of them now: a wrong learning rate should not show only after hours of pre-training.
        run_options(self, seed=0)
        with bounded_errors():
            check_memory(self.memory)
        check_pretrainer(self.pretrainer, self.pretrainer_class)
        check_categorical_features(self.categorical_features)
        check_choice("head", self.head, HEADS)
        check_flag("photo_control", self.photo_control)
        check_n_jobs(self.n_jobs)
        self._check_modality()
        check_choice("precision", self.precision, PRECISIONS)
        check_positive_int("n_members", self.n_members)
        check_positive_int("patience", self.patience)
        check_positive("encoder_lr_ratio", self.encoder_lr_ratio)
        check_scalar(self.dropout, "dropout", Real, min_val=0, max_val=1, include_boundaries="left")
        self._table_encoder_class.check_parameters(self)
        self._target_class.check_parameters(self)
        check_user_members(self)
        check_finetune(self)

    # --- loading -------------------------------------------------------------------------------

    def _check_loaded(self) -> None:
        """Check learned state that was read from a file; its parts have checked themselves."""
        check_type("pretrainer_", self.pretrainer_, self.pretrainer_class, type(None))
        if self.pretrainer_ is not None:
            check_type("network_", getattr(self.pretrainer_, "network_", None), FittedModule)
        check_type("codec_", self.codec_, TableCodec)
        check_type("_sees_embedding", self._sees_embedding, bool)
        check_items("history_", self.history_, list, dict)
        check_type("report_", getattr(self, "report_", None), FitReport, type(None))
        check_type("imputer_", getattr(self, "imputer_", None), PhotoImputer, type(None))
        check_features(self, self.codec_)
        self._check_modality()
        self._columns.check_loaded()
        self._target.check_loaded()
        trial, task = on_cpu(self), self._target.task
        rows = made_up_rows(self.codec_)
        widths = {name: block.shape[1] for name, block in trial._blocks(rows).features.items()}
        check_members(self.members_, task.n_outputs, self.codec_, widths)
        frame = self.codec_.decode(made_up_rows(self.codec_, n_rows=2, span=0.0))
        for encoded in (rows, trial._encode(frame)):
            check_prediction(trial._predict_encoded(encoded))
        members = self._photo_predictor.members
        self.photo_members_ = members and with_current_blocks(members, self._columns.photo_blocks)
        self._photo_predictor.check_loaded()

    # --- prediction ----------------------------------------------------------------------------

    def _predictions(self, X: Any) -> np.ndarray:
        """Predict rows, float64 (n_rows, n_outputs)."""
        check_is_fitted(self, "members_")
        modality = self._check_modality()
        declared = DeclaredColumns.of(self, self.pretrainer_)
        given = declared.rows_of(as_container(X))
        if modality == "table":
            return self._predict_encoded(self._encode(given.table))
        predictor = self._photo_predictor
        if modality == "auto":
            return predictor.predict_each(given, self._encode, self._predict_encoded)
        image_column = declared["image_column"]
        return predictor.predict_with_photos(modality, given, self._encode, image_column)

    def _check_modality(self) -> str:
        """Check which modality predictions use."""
        check_choice("predict_modality", self.predict_modality, MODALITIES)
        return self.predict_modality

    def _encode(self, table: Any) -> EncodedTable:
        """Check and encode a table that was taken apart, and warn of unknown categories."""
        encoded = self._columns.encode(check_table(self, table, reset=False))
        warn_of_unknown_categories(self.codec_, encoded)
        return encoded

    def _blocks(self, encoded: EncodedTable) -> Blocks:
        """Return what members see of rows at prediction: no photos."""
        blocks = Blocks(encoded, {COLUMNS: self.codec_.to_matrix(encoded)})
        imputer = getattr(self, "imputer_", None)  # earlier versions had none
        if imputer is not None:
            blocks = imputer.impute(blocks)
        if not self._sees_embedding or self.pretrainer_ is None:
            return blocks
        return blocks.having(embedding=self._columns.embed(encoded, self.device))

    def _predict_encoded(self, encoded: EncodedTable) -> np.ndarray:
        """Mix the members' predictions, float64 (n_rows, n_outputs)."""
        task, device = self._target.task, resolve_device(self.device)
        parts = []
        for start in range(0, len(encoded), ROWS_AT_ONCE):
            part = encoded.take(np.arange(start, min(start + ROWS_AT_ONCE, len(encoded))))
            parts.append(predict(self.members_, self._blocks(part), task, device))
        return np.concatenate(parts)
