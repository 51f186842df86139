"""Pre-training learns what it should from tiny data, and touches nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skorch.callbacks import Callback
from torch.nn import functional as F

from tabimg.nn import MultiModalNet
from tabimg.table import EncodedTable
from tabimg.training.optimise import RunOptions
from tabimg.training.pairs import BatchBuilder, PairedRows, TrainingBatches
from tabimg.training.pretraining import PretrainingOptions, _split, pretrain

IMAGE_SIZE = 16
Options = Callable[..., PretrainingOptions]


@pytest.fixture
def with_photos(
    pair_up: Callable[..., PairedRows],
    encoded: Callable[[int], EncodedTable],
    colours: Callable[[EncodedTable], list[Image.Image]],
) -> PairedRows:
    table = encoded(64)
    return pair_up(colours(table), table)


@pytest.fixture
def with_vectors(
    pair_up: Callable[..., PairedRows], encoded: Callable[[int], EncodedTable]
) -> PairedRows:
    """Vectors that say what the row says, turned; every fifth row has none."""
    table = encoded(64)
    turn = np.linalg.qr(np.random.default_rng(3).standard_normal((3, 3)))[0]
    vectors = 40 + 10 * np.nan_to_num(table.numeric) @ turn
    return pair_up([None if row % 5 == 4 else v for row, v in enumerate(vectors)], table)


def share_matched(net: MultiModalNet, rows: PairedRows) -> float:
    """Share of the photos whose nearest row, among all, is their own."""
    index = np.flatnonzero(rows.has_image)
    pixels = rows.photos.plain(rows.images.first(index), torch.device("cpu"))
    table = rows.table.take(index)
    with torch.no_grad():
        images = net.project_image(net.embed_image(pixels))
        embedding = net(torch.from_numpy(table.numeric), torch.from_numpy(table.codes))
        similarity = F.normalize(images) @ F.normalize(net.project_table(embedding)).T
    return float((similarity.argmax(dim=1) == torch.arange(len(index))).float().mean())


@pytest.mark.parametrize("kind", ["with_photos", "with_vectors"])
def test_pretraining_lowers_both_losses_and_matches_photos_to_rows(
    kind: str,
    request: pytest.FixtureRequest,
    build_net: Callable[..., MultiModalNet],
    pretraining_options: Options,
) -> None:
    rows = request.getfixturevalue(kind)
    net = build_net(rows)
    options = pretraining_options(max_epochs=40, batch_size=16, validation_fraction=None)
    options = replace(options, augmentation=replace(options.augmentation, color_jitter=None))
    history = pretrain(net, rows, options)
    assert history[-1]["train_contrastive"] < 0.8 * history[0]["train_contrastive"]
    # The columns are independent: their cells cannot be told from one another, only their spread.
    assert history[-1]["train_masked"] < 0.95 * history[0]["train_masked"]
    assert share_matched(build_net(rows), rows) < 0.1
    assert share_matched(net, rows) > 0.15


def test_history_holds_both_terms_weighted_and_not_for_training_and_validation(
    with_photos: PairedRows, build_net: Callable[..., MultiModalNet], pretraining_options: Options
) -> None:
    options = pretraining_options(lambda_c=0.5, lambda_m=3.0)
    history = pretrain(build_net(with_photos), with_photos, options)
    assert len(history) == 3
    for epoch in history:
        for part in ("train", "valid"):
            contrastive = epoch[f"{part}_contrastive_weighted"]
            masked = epoch[f"{part}_masked_weighted"]
            assert contrastive == pytest.approx(0.5 * epoch[f"{part}_contrastive"])
            assert masked == pytest.approx(3.0 * epoch[f"{part}_masked"])
            assert epoch[f"{part}_loss"] == pytest.approx(contrastive + masked, rel=1e-5)
        assert epoch["lr"] >= 0 and epoch["gradient_norm"] > 0


def test_contrastive_loss_starts_near_the_logarithm_of_the_batch(
    with_photos: PairedRows, build_net: Callable[..., MultiModalNet], pretraining_options: Options
) -> None:
    options = pretraining_options(
        max_epochs=1, batch_size=64, validation_fraction=None, lr=1e-8, temperature=10.0
    )
    history = pretrain(build_net(with_photos), with_photos, options)
    assert history[0]["train_contrastive"] == pytest.approx(np.log(64), rel=0.05)


@pytest.mark.parametrize("term", ["contrastive", "masked"])
def test_table_encoder_gets_gradients_from_each_term(
    with_photos: PairedRows,
    build_net: Callable[..., MultiModalNet],
    pretraining_options: Options,
    term: str,
) -> None:
    options = pretraining_options()
    net = build_net(with_photos)
    batch = first_batch(with_photos, options)
    terms = options.method.objective(net, None)(batch)
    assert set(terms) == {"contrastive", "masked"}
    terms[term].backward()
    for part in (net.row_embedding, net.tabular_encoder):
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
    reached = [p.grad is not None for p in net.image_encoder.parameters()]
    assert all(reached) if term == "contrastive" else not any(reached)


def first_batch(rows: PairedRows, options: PretrainingOptions) -> dict[str, Any]:
    draw_cells = options.method.cell_draw(rows.table)
    builder = BatchBuilder(rows, draw_cells, torch.device("cpu"))
    return next(iter(TrainingBatches(builder, np.arange(len(rows)), 32, 0)))


def test_objective_takes_the_terms_that_have_a_weight(
    with_photos: PairedRows, build_net: Callable[..., MultiModalNet], pretraining_options: Options
) -> None:
    net = build_net(with_photos)
    batch = first_batch(with_photos, pretraining_options())
    without_photos = {k: v for k, v in batch.items() if k not in ("pixels", "image_rows")}
    cases = {
        (1.0, 0.0): {"contrastive"},
        (0.0, 1.0): {"masked"},
        (1.0, 1.0): {"contrastive", "masked"},
    }
    for (lambda_c, lambda_m), expected in cases.items():
        options = pretraining_options(lambda_c=lambda_c, lambda_m=lambda_m)
        objective = options.method.objective(net, None)
        assert set(objective(batch)) == expected
        # A batch always has a gradient, even where its weight is zero.
        assert set(objective(without_photos)) == {"masked"}


def test_contrastive_term_in_bfloat16_is_close_and_float32(
    with_photos: PairedRows, build_net: Callable[..., MultiModalNet], pretraining_options: Options
) -> None:
    net, options = build_net(with_photos).eval(), pretraining_options()
    batch = first_batch(with_photos, options)
    full = options.method.objective(net, None)(batch)["contrastive"]
    half = options.method.objective(net, torch.bfloat16)(batch)["contrastive"]
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(full.item(), rel=0.05)


def test_without_photos_only_the_masked_term_is_trained(
    with_photos: PairedRows, build_net: Callable[..., MultiModalNet], pretraining_options: Options
) -> None:
    rows = replace(with_photos, images=None, photos=None)
    net = build_net(rows)
    history = pretrain(net, rows, pretraining_options())
    assert net.image_encoder is None
    assert not any("contrastive" in name for epoch in history for name in epoch)


def test_same_seed_gives_bit_equal_weights_and_global_streams_stay(
    with_photos: PairedRows, build_net: Callable[..., MultiModalNet], pretraining_options: Options
) -> None:
    states = []
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    for seed in (5, 5, 6):
        net = build_net(with_photos)
        pretrain(net, with_photos, pretraining_options(seed=seed))
        assert not net.training
        states.append(torch.cat([t.flatten().float() for t in net.state_dict().values()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_last_weights_are_kept_without_validation_split(
    with_vectors: PairedRows, build_net: Callable[..., MultiModalNet], pretraining_options: Options
) -> None:
    seen: list[torch.Tensor] = []

    class Record(Callback):
        def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
            weight = net.module_.net.tabular_encoder.out.weight
            seen.append(weight.detach().clone())

    for fraction in (None, 0.2):  # a fifth of 64 rows would not fill two batches
        net = build_net(with_vectors)
        options = pretraining_options(validation_fraction=fraction, callbacks=[Record()])
        history = pretrain(net, with_vectors, options)
        assert not any(name.startswith("valid") for epoch in history for name in epoch)
        assert torch.equal(net.tabular_encoder.out.weight, seen[-1])


def test_validation_keeps_rows_that_share_any_photo_on_one_side(
    pair_up: Callable[..., PairedRows], encoded: Callable[[int], EncodedTable]
) -> None:
    # Row 2k and 2k + 1 share their second photo.
    cells = [[np.array([row, 0.0]), np.array([row // 2, 1.0])] for row in range(64)]
    rows = pair_up(cells)
    options = RunOptions(1, 8, 1e-3, 0.0, 0.3, torch.device("cpu"), 0)
    train, valid = _split(rows, options)
    assert valid is not None and len(valid) >= 16
    assert not set(train // 2) & set(valid // 2)
