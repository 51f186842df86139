"""What the fine-tuned classifier and regressor share: parameters, fit, and network outputs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils import _safe_indexing, check_consistent_length, check_scalar
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping
from sklearn.utils.validation import check_is_fitted, check_memory

from tabimg.estimators.checkpoints import fit_checkpoints
from tabimg.estimators.loaded import (
    check_members,
    check_prediction,
    made_up_rows,
    on_cpu,
)
from tabimg.estimators.parameters import (
    check_choice,
    check_positive,
    check_positive_int,
    draw_seed,
    run_options,
)
from tabimg.estimators.photo_embedding import photo_features, why_no_teacher
from tabimg.estimators.pretrained import (
    PretrainedEstimator,
    check_pretrainer,
    find_source,
)
from tabimg.estimators.saved_columns import check_features
from tabimg.inputs.categorical import check_categorical_features
from tabimg.inputs.checks import check_fit_rows, check_table
from tabimg.inputs.containers import as_container, as_image_cells, as_target
from tabimg.inputs.hints import (
    warn_of_odd_columns,
    warn_of_target_among_columns,
    warn_of_unknown_categories,
)
from tabimg.inputs.rows import Rows, group_ids
from tabimg.inputs.stacking import stack_tables
from tabimg.inputs.target_types import reject_missing_target, reject_paths_as_target
from tabimg.inputs.unlabeled import UNLABELED, Unlabeled
from tabimg.inputs.weights import check_weights, refuse_extreme_weights
from tabimg.messages import bounded_errors, warn
from tabimg.serialization.checks import check_items, check_type
from tabimg.table import EncodedTable, TableCodec
from tabimg.training.architectures import TaskRecipe
from tabimg.training.blending import N_FOLDS, Member, blend, predict
from tabimg.training.candidates import Candidates
from tabimg.training.finetuning import FinetuningOptions, continue_training
from tabimg.training.fitted_module import FittedModule
from tabimg.training.networks import NetworkModel, reseeded, seen_rows
from tabimg.training.optimise import History
from tabimg.training.runtime import PRECISIONS, derive_seed, resolve_device
from tabimg.training.splits import related_rows
from tabimg.training.tasks import Task
from tabimg.training.views import COLUMNS, EMBEDDING, PHOTOS, LabelledRows, Views

# Bounds the memory of one-hot columns in prediction; a multiple of the inference block.
ROWS_AT_ONCE = 16_384
FINETUNE_MODES = ("auto", "full", "frozen", "gradual")
HEADS = ("embedding", "embedding+columns")


class FineTunedEstimator(PretrainedEstimator):
    """A table encoder, pre-trained or not, fine-tuned with a task head.

    A target of `tabimg.estimators.targets` says what is predicted, in `_check_target`,
    `_learn_target`, `_encode_target`, `_make_task` and, where classes have weights, `_row_weights`.
    A method says which pretrainer it goes with, and how tables are encoded, in `_make_codec`,
    `_check_columns`, `_encode_table`, `_table_recipe` and `_embed`.
    """

    def __init__(
        self,
        *,
        pretrainer: Any,
        image_column: Hashable | Sequence[Hashable] | None,
        group_column: Hashable | None,
        categorical_features: Any,
        finetune: str,
        head: str,
        n_members: int,
        dropout: float,
        max_epochs: int,
        patience: int,
        batch_size: int,
        lr: float,
        encoder_lr_ratio: float,
        weight_decay: float,
        validation_fraction: float | None,
        callbacks: list[Any] | None,
        device: str,
        precision: str,
        memory: Any,
        checkpoint_dir: str | Path | None,
        time_limit: float | None,
        warm_start: bool,
        random_state: int | np.random.RandomState | None,
        verbose: int,
    ) -> None:
        self.pretrainer = pretrainer
        self.image_column = image_column
        self.group_column = group_column
        self.categorical_features = categorical_features
        self.finetune = finetune
        self.head = head
        self.n_members = n_members
        self.dropout = dropout
        self.max_epochs = max_epochs
        self.patience = patience
        self.batch_size = batch_size
        self.lr = lr
        self.encoder_lr_ratio = encoder_lr_ratio
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.callbacks = callbacks
        self.device = device
        self.precision = precision
        self.memory = memory
        self.checkpoint_dir = checkpoint_dir
        self.time_limit = time_limit
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    members_: list[Member]
    history_: History

    @abstractmethod
    def _check_target(self, y: Any) -> np.ndarray:
        """Check the target's type and shape."""

    @abstractmethod
    def _learn_target(self, target: np.ndarray, weight: np.ndarray) -> None:
        """Learn classes, or centre and scale, from the training rows."""

    @abstractmethod
    def _encode_target(self, target: np.ndarray) -> np.ndarray:
        """Turn the target into what networks are trained on, by what was learned."""

    @abstractmethod
    def _make_task(self) -> Task:
        """Give the task of the target that was learned."""

    def _row_weights(self, target: np.ndarray) -> np.ndarray:
        """Weight of each row that follows from its target."""
        return np.ones(len(target))

    @abstractmethod
    def _make_codec(self, table: Any) -> TableCodec:
        """Give the codec of labelled rows; ``pretrainer_`` is set."""

    def _check_categorical(self, source: Any, table: Any) -> None:
        """Check what ``categorical_features`` says, before anything is trained."""

    def _check_given(self, given: Rows) -> None:
        """Check the rows that were taken apart, before anything is trained."""

    @abstractmethod
    def _check_columns(self, table: Any) -> None:
        """Check that ``pretrainer_``, which is not None, can embed the columns of a table."""

    @abstractmethod
    def _encode_table(self, table: Any) -> EncodedTable:
        """Encode a checked table by ``codec_``."""

    @abstractmethod
    def _table_recipe(self) -> Any:
        """Give the recipe of the encoder that is fine-tuned, for the columns of ``codec_``."""

    @abstractmethod
    def _embed(self, encoded: EncodedTable) -> np.ndarray:
        """Embed rows under the fixed encoder of ``pretrainer_``, which is not None."""

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        image_paths: Sequence[Any] | None = None,
        unlabeled: Unlabeled | None = None,
    ) -> Any:
        """Pre-train on rows and photos, unless that is done already, then fine-tune.

        Parameters
        ----------
        X : DataFrame (pandas, Polars) or array of shape (n_rows, n_columns)
            With the pretrainer's image and group columns where it is to be fitted.
        y : array of shape (n_rows,), or (n_rows, n_outputs) in regression
        sample_weight : array of shape (n_rows,), optional
            Non-negative factor of each row in fine-tuning. Rows of weight 0 are left out of it.
            Pre-training, which knows no target, counts all rows alike, unless metadata routing
            asks for the weights.
        image_paths : sequence of length n_rows, optional
            The photos, where they are not a column of ``X``.
        unlabeled : Unlabeled, optional
            Further rows with their photos: for pre-training and, under ``finetune="auto"``, for
            distillation. That needs photos of labelled rows too, and the pretrainer's image encoder
            or, as cells of the image column, what its ``transform_images`` made of the photos.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For a parameter out of range, input that cannot be encoded, a fitted pretrainer that
            would lose its weights to a fit without photos, or a target that does not suit.

        Warns
        -----
        UserWarning
            A fitted pretrainer that is not frozen is fitted anew, and loses its weights. A network
            diverged, and was trained again at a lower rate. Checkpoints that an interrupted fit
            left are of no use. A column has the name of ``y``, or looks like something else than
            it is used for.
        """
        self._check_parameters()
        X = as_container(X)
        image_paths = as_image_cells(X, image_paths)
        y = as_target(y)
        warn_of_target_among_columns(y, X, unlabeled)
        reject_paths_as_target(y)
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        reject_missing_target(y)
        self._check_unlabeled(unlabeled)
        routed = self._route(sample_weight, image_paths, unlabeled)
        seed = draw_seed(self.random_state)
        source = find_source(self.pretrainer, self.pretrainer_class)
        self._require_own_columns(X, source, image_paths)
        given = self._take_apart(X, source, image_paths)
        self._check_given(given)
        continued = self.warm_start and hasattr(self, "members_")
        table = check_table(self, given.table, reset=not continued)
        with bounded_errors():
            check_consistent_length(table, y)
        target = self._check_target(y)
        weight = check_weights(sample_weight, table) * self._row_weights(target)
        refuse_extreme_weights(weight, "sample_weight times class_weight")
        check_fit_rows(self, int((weight > 0).sum()))
        data = {"X": table, "y": target, "the weights": weight, "the groups": given.groups}
        with fit_checkpoints(self, seed, continued, lambda: data) as seed:
            if not continued:
                if source is None or source is not self.pretrainer:  # a fit to come warns by itself
                    warn_of_odd_columns(table)
                self._check_categorical(source, table)
                self._learn_target(target, weight)
                self.pretrainer_ = self._pretrained(source, X, given, routed, seed)
                self.codec_ = self._make_codec(_safe_indexing(table, np.flatnonzero(weight > 0)))
                self._sees_embedding = self.pretrainer_ is not None and self.finetune == "auto"
            if self.pretrainer_ is not None:
                self._check_columns(table)
            further = None if continued else self._pairs_to_distil(given, unlabeled)
            photos, pairs = self._photos(table, given, weight, further)
            rows = self._label(table, given, photos, self._encode_target(target), weight)
            if continued:
                self._continue_members(rows, seed)
            else:
                self._fit_members(rows, pairs, seed)
            self._fit_with_photos(given, rows, weight, seed)
        return self

    def get_metadata_routing(self) -> MetadataRouter:
        """Say that this estimator takes fit metadata and hands it on to its pretrainer.

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

    # --- fine-tuning ---------------------------------------------------------------------------

    def _check_unlabeled(self, unlabeled: Unlabeled | None) -> None:
        """Refuse unlabeled rows that nothing would learn from."""
        if unlabeled is None:
            return
        if not isinstance(unlabeled, Unlabeled):
            raise TypeError(
                f"unlabeled must be tabimg.Unlabeled(frame), got {type(unlabeled).__name__}"
            )
        if self.pretrainer is None:
            raise ValueError("unlabeled rows are for pre-training, and pretrainer is None")
        if not isinstance(self.pretrainer, self.pretrainer_class) and self.finetune != "auto":
            raise ValueError(
                "unlabeled rows are for pre-training, which is done already, and for "
                f"finetune='auto'; pretrainer is frozen and finetune is {self.finetune!r}"
            )

    def _pairs_to_distil(self, given: Rows, unlabeled: Unlabeled | None) -> Rows | None:
        """Take the unlabeled rows apart, where their photos can teach something."""
        if unlabeled is None or self.pretrainer_ is None or self.finetune != "auto":
            return None
        paths = unlabeled.image_paths
        return self._take_apart(unlabeled.frame, self.pretrainer_, paths, UNLABELED)

    def _photos(
        self, table: Any, given: Rows, weight: np.ndarray, further: Rows | None
    ) -> tuple[np.ndarray, Views | None]:
        """Give the photos of labelled rows as features, and the unlabelled pairs to distil from."""
        nothing = np.zeros((len(given), 0), dtype=np.float32), None
        if further is None:
            return nothing
        source = self.pretrainer_
        images = [part.images(source.image_root) for part in (given, further)]
        lack = why_no_teacher(source, images[0].take(np.flatnonzero(weight > 0)), images[1])
        if lack is not None:
            # A pretrainer that was fitted here has learned from them at least.
            if not isinstance(self.pretrainer, self.pretrainer_class):
                warn(f"the unlabeled rows are not used: {lack}")
            return nothing
        own, photos = photo_features(source, images)
        encoded = self._encode_table(stack_tables(table, further.table))
        pairs = self._views(encoded.take(np.arange(len(own), len(encoded))))
        pairs = replace(pairs, photos=photos)
        return own, pairs.take(np.flatnonzero(pairs.has_photo()))

    def _fit_with_photos(
        self, given: Rows, rows: LabelledRows, weight: np.ndarray, seed: int
    ) -> None:
        """Fit what predicts with photos, where the method has such; ``rows`` have a weight."""

    def _label(
        self,
        table: Any,
        given: Rows,
        photos: np.ndarray,
        target: np.ndarray,
        weight: np.ndarray,
    ) -> LabelledRows:
        """Encode the rows that have a weight, with their target."""
        encoded = self._encode_table(table)
        groups = related_rows(encoded.row_keys(), group_ids([given]))
        views = replace(self._views(encoded), photos=photos)
        rows = LabelledRows(views, target, weight.astype(np.float32), groups)
        return rows if (weight > 0).all() else rows.take(np.flatnonzero(weight > 0))

    def _fit_members(self, rows: LabelledRows, pairs: Views | None, seed: int) -> None:
        """Fit the members of a new estimator: networks alone, or all that is blended."""
        task = self._make_task()
        pretrained = None if self.pretrainer_ is None else self.pretrainer_.network_
        n_runs = self.n_members * (N_FOLDS if self.finetune == "auto" else 1)
        options = self._options(seed, n_runs)
        candidates = Candidates(self._recipe(task, rows), pretrained, options, self.n_members)
        self.validation_losses_: dict[str, float] = {}
        if self.finetune == "auto":
            self.members_, self.validation_losses_ = blend(candidates.all(pairs), rows, task, seed)
        else:
            models = candidates.network(self.finetune).fit_members(rows, task)
            self.members_ = [Member(self.finetune, 1.0 / len(models), model) for model in models]
        self._note_members()

    def _continue_members(self, rows: LabelledRows, seed: int) -> None:
        """Train the networks of the last fit further."""
        task = self._make_task()
        options = self._options(seed, len(self.members_))
        recipe = self._recipe(task, rows)
        if not all(isinstance(member.model, NetworkModel) for member in self.members_):
            raise ValueError(
                "warm_start goes on with networks, and the last fit made a blend "
                "(finetune='auto'): set warm_start=False"
            )
        if any(recipe != member.model.module.recipe for member in self.members_):
            raise ValueError(
                "warm_start goes on with the networks of the last fit, but head, dropout or the "
                "encoder's parameters have changed since: set them back, or set warm_start=False"
            )
        seen = seen_rows(rows, recipe)
        members = []
        for number, member in enumerate(self.members_):
            net = member.model.module.build()
            own = reseeded(options, derive_seed(seed, number))
            history = continue_training(net, seen, task, own)
            model = NetworkModel(FittedModule.from_module(recipe, net), history)
            members.append(replace(member, model=model))
        self.members_ = members
        self._note_members()

    def _note_members(self) -> None:
        """Set the attributes that describe the members."""
        self.weights_: dict[str, float] = {}
        self.history_ = []
        for number, member in enumerate(self.members_):
            self.weights_[member.name] = self.weights_.get(member.name, 0.0) + member.weight
            history = getattr(member.model, "history", [])
            self.history_ += [{"member": number, **epoch} for epoch in history]

    def _recipe(self, task: Task, rows: LabelledRows) -> TaskRecipe:
        return TaskRecipe(
            self._table_recipe(),
            rows.columns.shape[1] if "columns" in self.head else 0,
            task.n_outputs,
            float(self.dropout),
        )

    def _options(self, seed: int, n_runs: int) -> FinetuningOptions:
        run = run_options(self, seed)
        if run.time_limit is not None:
            run = replace(run, time_limit=run.time_limit / n_runs)
        # Only on demand: table networks are too small to gain from a lower precision.
        autocast = torch.bfloat16 if self.precision == "bfloat16" else None
        return FinetuningOptions(float(self.encoder_lr_ratio), int(self.patience), autocast, run)

    def _check_parameters(self) -> None:
        # All of them now: a wrong learning rate is not to be found after hours of pre-training.
        run_options(self, seed=0)
        with bounded_errors():
            check_memory(self.memory)
        check_pretrainer(self.pretrainer, self.pretrainer_class)
        check_categorical_features(self.categorical_features)
        check_choice("finetune", self.finetune, FINETUNE_MODES)
        check_choice("head", self.head, HEADS)
        check_choice("precision", self.precision, PRECISIONS)
        check_positive_int("n_members", self.n_members)
        check_positive_int("patience", self.patience)
        check_positive("encoder_lr_ratio", self.encoder_lr_ratio)
        check_scalar(self.dropout, "dropout", Real, min_val=0, max_val=1, include_boundaries="left")
        if self.warm_start and self.finetune == "auto":
            raise ValueError(
                "warm_start goes on with networks, and finetune='auto' blends them with other "
                "models: set finetune='full', or warm_start=False"
            )
        if self.pretrainer is None and self.finetune in ("frozen", "gradual"):
            raise ValueError(
                f"finetune={self.finetune!r} needs a pre-trained encoder, and pretrainer is None"
            )

    # --- loading -------------------------------------------------------------------------------

    def _check_loaded(self) -> None:
        """Check what was learned, as it was read from a file; parts have checked themselves."""
        source = self.pretrainer_
        check_type("pretrainer_", source, self.pretrainer_class, type(None))
        if source is not None:
            check_type("network_", getattr(source, "network_", None), FittedModule)
        check_type("codec_", self.codec_, TableCodec)
        check_type("_sees_embedding", self._sees_embedding, bool)
        check_items("history_", self.history_, list, dict)
        check_features(self, self.codec_)
        self._check_loaded_target()
        trial, task = on_cpu(self), self._make_task()
        rows = made_up_rows(self.codec_)
        views = trial._views(rows)
        widths = {COLUMNS: views.columns.shape[1], EMBEDDING: views.embedding.shape[1], PHOTOS: 0}
        check_members(self.members_, task.n_outputs, self.codec_, widths)
        frame = self.codec_.decode(made_up_rows(self.codec_, n_rows=2, span=0.0))
        for encoded in (rows, trial._encode_features(frame)):
            check_prediction(trial._predict_encoded(encoded))

    @abstractmethod
    def _check_loaded_target(self) -> None:
        """Check what was learned of the target, as it was read from a file."""

    # --- prediction ----------------------------------------------------------------------------

    def _encode(self, X: Any) -> EncodedTable:
        check_is_fitted(self, "members_")
        return self._encode_features(self._take_apart(X, self.pretrainer_).table)

    def _encode_features(self, table: Any) -> EncodedTable:
        """Check and encode what was taken apart, and tell what of it is not known."""
        encoded = self._encode_table(check_table(self, table, reset=False))
        warn_of_unknown_categories(self.codec_, encoded)
        return encoded

    def _views(self, encoded: EncodedTable) -> Views:
        """Give what members see of rows at prediction: no photos."""
        nothing = np.zeros((len(encoded), 0), dtype=np.float32)
        embedding = nothing
        if self.pretrainer_ is not None and self._sees_embedding:
            embedding = self._embed(encoded)
        return Views(encoded, self.codec_.to_matrix(encoded), embedding, nothing)

    def _predictions(self, X: Any) -> np.ndarray:
        """Predict rows from their table, float64 (n_rows, n_outputs)."""
        return self._predict_encoded(self._encode(as_container(X)))

    def _predict_encoded(self, encoded: EncodedTable) -> np.ndarray:
        """Mix the members' predictions, float64 (n_rows, n_outputs)."""
        task, device = self._make_task(), resolve_device(self.device)
        parts = []
        for start in range(0, len(encoded), ROWS_AT_ONCE):
            part = encoded.take(np.arange(start, min(start + ROWS_AT_ONCE, len(encoded))))
            parts.append(predict(self.members_, self._views(part), task, device))
        return np.concatenate(parts)
