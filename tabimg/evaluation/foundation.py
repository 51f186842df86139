"""What evaluation imports from inside the packages below it: only this file knows their files."""

from __future__ import annotations

from tabimg.estimators.base_finetuned import FineTunedEstimator
from tabimg.estimators.base_pretrainer import MIN_IMAGE_SIZE, PhotoPretrainer
from tabimg.estimators.checkpoints import CIRCUMSTANCES
from tabimg.image.fingerprint import source_key
from tabimg.image.missing import look_for_files
from tabimg.image.paths import open_regular
from tabimg.image.reader import ImageLoader, ImageSource, describe_source
from tabimg.image.refusal import RefusedImage
from tabimg.image.row_names import RowNames
from tabimg.inputs.checks import check_fit_rows
from tabimg.inputs.containers import as_container, as_target
from tabimg.inputs.frames import as_column_list, is_frame, require_columns, without_columns
from tabimg.inputs.hints import warn_of_codes, warn_of_odd_columns
from tabimg.inputs.parameter_checks import (
    check_choice,
    check_folder,
    check_positive_int,
    draw_seed,
)
from tabimg.inputs.rows import Rows, group_ids, take_apart
from tabimg.inputs.stacking import stack_known_columns
from tabimg.inputs.target_types import (
    plain_target,
    refuse_complex_target,
    refuse_large_labels,
    reject_missing_target,
    reject_paths_as_target,
)
from tabimg.table.objects import missing_cells
from tabimg.training.blending import Candidate, Member, Model, blend, predict
from tabimg.training.blocks import COLUMNS, PHOTOS, Blocks, LabelledRows
from tabimg.training.boosting import BoostingCandidate, can_boost
from tabimg.training.distillation import Teacher, students
from tabimg.training.forest import ForestCandidate
from tabimg.training.linear import LinearCandidate
from tabimg.training.members import prior_of
from tabimg.training.photo_embedding import MIN_LABELLED, MIN_PAIRS
from tabimg.training.runtime import (
    derive_seed,
    own_warning_filters,
    resolve_device,
    single_thread,
)
from tabimg.training.schedule import auto_epochs
from tabimg.training.splits import Split, dealt_folds, grouped_folds, labelled_rows, related_rows
from tabimg.training.tasks import Classification, Regression, Task
from tabimg.training.untrained_photos import public_encoder, see_photos

__all__ = [
    "CIRCUMSTANCES",
    "COLUMNS",
    "MIN_IMAGE_SIZE",
    "MIN_LABELLED",
    "MIN_PAIRS",
    "PHOTOS",
    "Blocks",
    "BoostingCandidate",
    "Candidate",
    "Classification",
    "FineTunedEstimator",
    "ForestCandidate",
    "ImageLoader",
    "ImageSource",
    "LabelledRows",
    "LinearCandidate",
    "Member",
    "Model",
    "PhotoPretrainer",
    "RefusedImage",
    "Regression",
    "RowNames",
    "Rows",
    "Split",
    "Task",
    "Teacher",
    "as_column_list",
    "as_container",
    "as_target",
    "auto_epochs",
    "blend",
    "can_boost",
    "check_choice",
    "check_fit_rows",
    "check_folder",
    "check_positive_int",
    "dealt_folds",
    "derive_seed",
    "describe_source",
    "draw_seed",
    "group_ids",
    "grouped_folds",
    "is_frame",
    "labelled_rows",
    "look_for_files",
    "missing_cells",
    "open_regular",
    "own_warning_filters",
    "plain_target",
    "predict",
    "prior_of",
    "public_encoder",
    "refuse_complex_target",
    "refuse_large_labels",
    "reject_missing_target",
    "reject_paths_as_target",
    "related_rows",
    "require_columns",
    "resolve_device",
    "see_photos",
    "single_thread",
    "source_key",
    "stack_known_columns",
    "students",
    "take_apart",
    "warn_of_codes",
    "warn_of_odd_columns",
    "without_columns",
]
