"""Networks as members: fitted on each fold, kept, averaged."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax

from tabimg.nn.task import TaskNet
from tabimg.serialization import read_directory, write_directory
from tabimg.training.architectures import TableArchitecture, TaskArchitecture
from tabimg.training.blocks import LabelledRows
from tabimg.training.finetuning import FinetuningOptions
from tabimg.training.inference import apply_to_table
from tabimg.training.networks import NetworkCandidate, seen_rows
from tabimg.training.splits import grouped_folds
from tabimg.training.tasks import Classification, Regression

CPU = torch.device("cpu")
Rows = Callable[..., LabelledRows]
Options = Callable[..., FinetuningOptions]
MakeCandidate = Callable[..., NetworkCandidate]


@pytest.fixture
def make_candidate(
    table_architecture: TableArchitecture, finetuning_options: Options
) -> MakeCandidate:
    """Make a candidate for `labelled` rows that starts at random."""

    def make(mode: str = "full", n_outputs: int = 1, n_members: int = 1, **changes: Any) -> Any:
        architecture = TaskArchitecture(
            table_architecture, changes.pop("n_columns", 3), n_outputs, 0.1
        )

        def start(seed: int) -> TaskNet:
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                return architecture.build()

        options = finetuning_options(**changes)
        return NetworkCandidate(mode, architecture, start, options, n_members)

    return make


def test_prediction_is_that_of_the_network(labelled: Rows, make_candidate: MakeCandidate) -> None:
    for kind, task in (("classes", Classification(2)), ("numbers", Regression(1, "mse"))):
        rows = labelled(70, kind)
        model = make_candidate(n_outputs=task.n_outputs).fit_members(rows, task)[0]
        net = model.module.build()
        outputs = apply_to_table(net, rows.table, rows.columns, device=CPU)
        expected = softmax(outputs, axis=1) if kind == "classes" else outputs
        got = model.predict(rows.blocks, task, CPU)
        assert got.dtype == np.float64
        assert np.allclose(got, expected, atol=1e-5)
        assert [epoch["epoch"] for epoch in model.history] == [1, 2, 3]


def test_head_without_columns_does_not_see_them(
    labelled: Rows, make_candidate: MakeCandidate
) -> None:
    rows, task = labelled(40, "numbers"), Regression(1, "mse")
    candidate = make_candidate(n_columns=0)
    assert seen_rows(rows, candidate.architecture).columns.shape == (40, 0)
    model = candidate.fit_members(rows, task)[0]
    other = replace(rows, blocks=rows.blocks.having(columns=rows.columns + 9.0))
    expected = model.predict(rows.blocks, task, CPU)
    assert np.array_equal(model.predict(other.blocks, task, CPU), expected)


def test_members_start_from_different_seeds_and_the_first_from_one_of_its_own(
    labelled: Rows, make_candidate: MakeCandidate
) -> None:
    rows, task = labelled(40, "numbers"), Regression(1, "mse")
    one = make_candidate(n_members=1).fit_members(rows, task)
    three = make_candidate(n_members=3).fit_members(rows, task)
    predictions = [model.predict(rows.blocks, task, CPU) for model in (*one, *three)]
    assert len(predictions) == 4
    assert np.array_equal(predictions[0], predictions[1])
    assert not np.allclose(predictions[1], predictions[2], atol=1e-3)
    assert not np.allclose(predictions[2], predictions[3], atol=1e-3)


@pytest.mark.parametrize("n_members", [1, 2])
def test_networks_of_all_folds_are_kept_and_predict_what_they_did_not_see(
    n_members: int, labelled: Rows, make_candidate: MakeCandidate
) -> None:
    rows, task = labelled(60, "numbers"), Regression(1, "mse")
    folds = grouped_folds(rows.groups, 3, 0)
    candidate = make_candidate(n_members=n_members)
    held_out, models = candidate.cross_fit(rows, folds, task)
    assert len(models) == 3 * n_members
    for number, (_, valid) in enumerate(folds):
        of_fold = models[number * n_members : (number + 1) * n_members]
        blocks = rows.blocks.take(valid)
        expected = np.mean([model.predict(blocks, task, CPU) for model in of_fold], axis=0)
        assert np.array_equal(held_out[valid], expected)
    starts = [model.predict(rows.blocks, task, CPU) for model in models]
    assert all(not np.allclose(starts[0], other, atol=1e-3) for other in starts[1:])
    # What is held out is not learned from, neither by the head nor by early stopping.
    target = rows.target.copy()
    target[folds[0][1]] += 100.0
    spoilt, _ = candidate.cross_fit(replace(rows, target=target), folds, task)
    assert np.array_equal(spoilt[folds[0][1]], held_out[folds[0][1]])
    assert not np.isclose(spoilt[folds[1][1]], held_out[folds[1][1]]).all()


@pytest.mark.parametrize("n_folds", [0, 1])
def test_without_two_folds_networks_are_fitted_on_all_rows(
    n_folds: int, labelled: Rows, make_candidate: MakeCandidate
) -> None:
    rows, task = labelled(60, "numbers"), Regression(1, "mse")
    folds = grouped_folds(rows.groups, 3, 0)[:n_folds]
    candidate = make_candidate(n_members=2)
    held_out, models = candidate.cross_fit(rows, folds, task)
    is_known = np.isfinite(held_out[:, 0])
    assert np.array_equal(np.flatnonzero(is_known), folds[0][1] if folds else [])
    assert len(models) == 2
    for model, expected in zip(models, candidate.fit_members(rows, task), strict=True):
        ours, theirs = (m.predict(rows.blocks, task, CPU) for m in (model, expected))
        assert np.array_equal(ours, theirs)


def test_ruined_encoder_predicts_the_mean_and_a_sound_one_better(
    labelled: Rows, make_candidate: MakeCandidate
) -> None:
    rows, task = labelled(60, "numbers"), Regression(1, "mse")
    folds = grouped_folds(rows.groups, 3, 0)
    good = make_candidate("frozen", n_columns=0)

    def ruined_start(seed: int) -> TaskNet:
        net = good.start(seed)
        with torch.no_grad():
            for parameter in net.encoder.parameters():
                parameter.zero_()
        return net

    losses = []
    for candidate in (good, replace(good, start=ruined_start)):
        held_out, _ = candidate.cross_fit(rows, folds, task)
        losses.append(task.losses(held_out, rows.target).mean())
    assert losses[0] < 0.5 * losses[1]
    # A constant feature predicts the mean: the loss is the variance.
    assert losses[1] == pytest.approx(rows.target.var(), rel=0.2)


def test_row_alone_is_predicted_as_in_a_batch(
    labelled: Rows, make_candidate: MakeCandidate
) -> None:
    rows, task = labelled(150), Classification(2)
    model = make_candidate(n_outputs=2).fit_members(rows, task)[0]
    together = model.predict(rows.blocks, task, CPU)
    for row in (0, 63, 64, 149):
        alone = model.predict(rows.blocks.take(np.array([row])), task, CPU)
        assert np.array_equal(alone[0], together[row])


def test_model_survives_pickle_and_a_directory(
    labelled: Rows, make_candidate: MakeCandidate, tmp_path: Path
) -> None:
    rows, task = labelled(40, "numbers"), Regression(1, "mse")
    candidate = make_candidate()
    table = replace(candidate.architecture.table, encoder="mlp")
    architecture = replace(candidate.architecture, table=table)
    candidate = replace(
        candidate, architecture=architecture, start=lambda seed: architecture.build()
    )
    model = candidate.fit_members(rows, task)[0]
    write_directory(tmp_path / "model", model)
    for back in (pickle.loads(pickle.dumps(model)), read_directory(tmp_path / "model")):
        expected = model.predict(rows.blocks, task, CPU)
        assert np.array_equal(back.predict(rows.blocks, task, CPU), expected)
        assert back.history == model.history
