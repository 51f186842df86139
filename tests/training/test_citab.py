"""CITab's objective: what is compared with what, how terms are weighed, what is watched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch.nn import functional as F

from tabimg.image import Augmentation, RowImages
from tabimg.nn.citab import CITabNet
from tabimg.objectives import InfoNCE
from tabimg.table import CohortTable
from tabimg.training import citab
from tabimg.training.architectures import ImageArchitecture
from tabimg.training.checkpoint_folder import FitFolder
from tabimg.training.citab import CITab, CITabObjective, MaskedCells, expert_use
from tabimg.training.citab_architectures import CITabArchitecture, CohortArchitecture, ColumnVectors
from tabimg.training.optimise import RunOptions
from tabimg.training.pairs import BatchBuilder, PairedRows, TrainingBatches, side_by_side
from tabimg.training.photo_inputs import Vectors
from tabimg.training.pretraining import PretrainingOptions, pretrain

TEXT, DIM, WIDTH = 6, 8, 5
# Numeric and categorical columns of three cohorts.
SHAPES = ((3, (2,)), (1, ()), (0, (3, 2)))
CPU = torch.device("cpu")


def column_vectors(seed: int = 0) -> tuple[ColumnVectors, ...]:
    rng = np.random.default_rng(seed)

    def draw(n: int) -> np.ndarray:
        return rng.standard_normal((n, TEXT)).astype(np.float32)

    return tuple(ColumnVectors(draw(p + len(q)), tuple(draw(n) for n in q)) for p, q in SHAPES)


def make_rows(
    sizes: tuple[int, ...] = (8, 6, 6), without: tuple[int, ...] = (), **changes: Any
) -> PairedRows:
    """Rows of three cohorts whose photos are vectors; no row repeats, some cells are missing."""
    rng = np.random.default_rng(1)
    cohorts = np.repeat(np.arange(3), sizes)
    n_rows = len(cohorts)
    numeric = rng.standard_normal((n_rows, 3)).astype(np.float32)
    codes = np.full((n_rows, 2), 1)
    for number, (p, categories) in enumerate(SHAPES):
        own = cohorts == number
        numeric[own, p:] = np.nan
        for column, n in enumerate(categories):
            codes[own, column] = rng.integers(2, 2 + n, own.sum())
    numeric[0, 1], codes[1, 0] = np.nan, 1
    cells = [None if row in without else rng.standard_normal(WIDTH) for row in range(n_rows)]
    images = RowImages.from_cells([cells])
    rows = PairedRows(
        CohortTable(numeric, codes, cohorts),
        images,
        None if images.vectors is None else Vectors(images.vectors),
        np.arange(n_rows),
        np.full(n_rows, -1),
        np.ones(n_rows, dtype=np.float32),
    )
    return replace(rows, **changes)


def make_net(seed: int = 0, reconstructs: bool = True, vectors: int = 0) -> CITabNet:
    table = CohortArchitecture(column_vectors(vectors), TEXT, DIM, 2, 1, 2, "mlp", "scale")
    architecture = CITabArchitecture(
        table, ImageArchitecture("resnet18", 32, WIDTH), 4, 1, reconstructs
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return architecture.build()


def make_method(**changes: Any) -> CITab:
    params = {"lambda_itc": 0.5, "lambda_itm": 0.5, "lambda_mtr": 0.0, "mask_rate": 0.5}
    return CITab(**{**params, "temperature": 0.1, "negatives": "cohort", **changes})


def make_batch(rows: PairedRows, method: CITab, index: np.ndarray | None = None) -> dict[str, Any]:
    index = np.arange(len(rows)) if index is None else index
    builder = BatchBuilder(rows, method.cell_draw(rows.table), CPU)
    images = rows.first_image_ids()[index]
    batch = builder.table_part(index, np.random.default_rng(2)) | builder.image_part(index, images)
    if "image_rows" in batch:
        batch["pixels"] = Vectors(rows.images.vectors).plain(images[images >= 0], CPU)
    return batch


def terms_of(
    rows: PairedRows, net: CITabNet | None = None, **params: Any
) -> dict[str, torch.Tensor]:
    method = make_method(**params)
    objective = CITabObjective(net or make_net(), method, None).eval()
    return objective(make_batch(rows, method))


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Keep what the drawing of negatives was given and gave."""
    calls: list[dict[str, Any]] = []
    draw = citab.draw_hard_negatives

    def spy(similarity: Any, excluded: Any, generator: Any) -> Any:
        drawn = draw(similarity, excluded, generator)
        calls.append({"similarity": similarity, "excluded": excluded, "drawn": drawn})
        return drawn

    monkeypatch.setattr(citab, "draw_hard_negatives", spy)
    return calls


# --- terms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, {"contrastive", "matching"}),
        ({"lambda_itm": 0.0}, {"contrastive"}),
        ({"lambda_itc": 0.0}, {"matching"}),
        ({"lambda_mtr": 1.0}, {"contrastive", "matching", "masked"}),
        ({"lambda_itc": 0.0, "lambda_itm": 0.0, "lambda_mtr": 1.0}, {"masked"}),
    ],
)
def test_terms_of_weight_zero_are_not_computed(
    params: dict[str, float], expected: set[str]
) -> None:
    terms = terms_of(make_rows(), **params)
    assert set(terms) == expected
    assert all(torch.isfinite(term) and term > 0 for term in terms.values())
    weights = make_method(**params).term_weights()
    assert weights["contrastive"] == params.get("lambda_itc", 0.5)
    assert weights["matching"] == params.get("lambda_itm", 0.5)
    assert weights["masked"] == params.get("lambda_mtr", 0.0)


def test_contrastive_term_is_the_mean_over_cohorts_of_their_own_losses() -> None:
    rows, net = make_rows(), make_net().eval()
    term = terms_of(rows, net, lambda_itm=0.0)["contrastive"]
    batch = make_batch(rows, make_method())
    tokens, _ = net.encode_rows(batch["numeric"], batch["codes"], batch["cohorts"])
    images = net.project_image(net.embed_image(batch["pixels"]))
    table = net.project_table(tokens[:, 0])
    parts, sizes = [], []
    for number in range(3):
        own = batch["cohorts"] == number
        parts.append(InfoNCE(0.1)(images[own], table[own]))
        sizes.append(int(own.sum()))
    expected = sum(p * n for p, n in zip(parts, sizes, strict=True)) / sum(sizes)
    torch.testing.assert_close(term, expected)
    whole = terms_of(rows, net, lambda_itm=0.0, negatives="batch")["contrastive"]
    torch.testing.assert_close(whole, InfoNCE(0.1)(images, table))
    assert whole > term


def test_matching_term_is_the_cross_entropy_of_right_and_wrong_pairs(
    spied: list[dict[str, Any]],
) -> None:
    rows, net = make_rows(), make_net().eval()
    term = terms_of(rows, net, lambda_itc=0.0)["matching"]
    row_of_image, image_of_row = spied[0]["drawn"]
    batch = make_batch(rows, make_method())
    tokens, present = net.encode_rows(batch["numeric"], batch["codes"], batch["cohorts"])
    photos = net.image_tokens(batch["pixels"])

    def losses(of_rows: Any, of_images: Any, label: int) -> torch.Tensor:
        fused = net.fuse(tokens[of_rows], present[of_rows], photos[of_images])
        target = torch.full((len(fused),), label)
        return F.cross_entropy(net.matching_logits(fused), target, reduction="none")

    itself = torch.arange(len(rows))
    expected = torch.cat(
        [
            losses(itself, itself, 1),
            losses(row_of_image, itself, 0),
            losses(itself, image_of_row, 0),
        ]
    )
    torch.testing.assert_close(term, expected.mean())


# --- negatives -----------------------------------------------------------------------------------


@pytest.mark.parametrize("negatives", ["cohort", "batch"])
def test_no_negative_comes_from_another_cohort_unless_asked_for(
    negatives: str, spied: list[dict[str, Any]]
) -> None:
    rows = make_rows((12, 9, 9))
    cohorts = rows.table.cohorts
    across = 0
    for seed in range(5):
        terms_of(rows, make_net(seed), negatives=negatives)
        for drawn in spied[-1]["drawn"]:
            assert (drawn >= 0).all() and (drawn.numpy() != np.arange(len(rows))).all()
            across += int((cohorts[drawn.numpy()] != cohorts).sum())
    assert (across == 0) is (negatives == "cohort")


def test_positives_of_a_pair_are_no_negatives_of_it(spied: list[dict[str, Any]]) -> None:
    groups = np.repeat(np.arange(10), 2)
    terms_of(make_rows(group_ids=groups))
    for drawn in spied[0]["drawn"]:
        assert (groups[drawn.numpy()] != groups).all()
    # All of one group: there is nobody left.
    terms = terms_of(make_rows(group_ids=np.zeros(20, dtype=np.int64)))
    assert (spied[1]["drawn"][0] == -1).all() and (spied[1]["drawn"][1] == -1).all()
    assert terms["matching"] == 0.0


def test_negatives_follow_the_seed_of_the_batch(spied: list[dict[str, Any]]) -> None:
    rows, net, method = make_rows(), make_net(), make_method()
    batch = make_batch(rows, method)
    objective = CITabObjective(net, method, None).eval()
    first, second = objective(batch), objective(batch)
    assert torch.equal(first["matching"], second["matching"])
    torch.manual_seed(123)
    objective({**batch, "negative_seed": batch["negative_seed"] + 1})
    draws = [call["drawn"][0].tolist() for call in spied]
    assert draws[0] == draws[1] != draws[2]


def test_pair_that_is_alone_with_its_cohort_teaches_nothing(spied: list[dict[str, Any]]) -> None:
    rows, net = make_rows((8, 1, 8)), make_net().eval()
    index = np.flatnonzero(rows.table.cohorts != 1)
    method = make_method()
    objective = CITabObjective(net, method, None).eval()
    with_lone = objective(make_batch(rows, method))["matching"]
    assert spied[0]["drawn"][0][8] == -1
    assert torch.isfinite(with_lone)
    only_lone = objective(make_batch(make_rows((1, 1, 1)), method))
    assert only_lone["matching"] == 0.0
    weight = torch.autograd.grad(with_lone, net.matching_head.bias)[0]
    assert len(index) == 16 and torch.isfinite(weight).all()


@pytest.mark.parametrize("sizes", [(2000, 10, 100), (40, 40, 40), (1, 1, 1), (5, 0, 0), (0, 0, 0)])
def test_rows_of_a_cohort_come_side_by_side(sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    cohorts = rng.permutation(np.repeat(np.arange(3), sizes))
    order = side_by_side(cohorts, rng)
    assert sorted(order.tolist()) == list(range(len(cohorts)))
    ends = np.flatnonzero(np.diff(cohorts[order])) + 1
    for piece in np.split(cohorts[order], ends):
        if len(piece):
            assert len(piece) >= min(16, sizes[piece[0]])
    assert len(cohorts) < 100 or not np.array_equal(order, side_by_side(cohorts, rng))


def test_small_cohort_meets_itself_in_every_epoch() -> None:
    rows, method = make_rows((400, 10, 6)), make_method()
    builder = BatchBuilder(rows, method.cell_draw(rows.table), CPU)
    batches = TrainingBatches(builder, np.arange(416), 32, seed=0)
    for _ in range(3):
        epoch = list(batches)
        assert sum(batch["size"] for batch in epoch) == 416
        for cohort in (1, 2):
            most = max(int((batch["cohorts"] == cohort).sum()) for batch in epoch)
            assert most >= 3


# --- rows without photos, weights ----------------------------------------------------------------


def test_rows_without_photo_are_left_out_of_the_paired_terms() -> None:
    some, net = make_rows(without=(0, 9, 19)), make_net().eval()
    whole = make_rows()
    kept = np.setdiff1d(np.arange(20), [0, 9, 19])
    method = make_method(lambda_itm=0.0)
    objective = CITabObjective(net, method, None).eval()
    expected = objective(make_batch(whole, method, kept))["contrastive"]
    images = RowImages(
        whole.images.sources, whole.images.vectors, whole.images.offsets, whole.images.ids
    ).take(np.arange(20))
    offsets = np.concatenate([[0], np.cumsum(np.isin(np.arange(20), kept))])
    images = RowImages(images.sources, images.vectors, offsets, images.ids[kept])
    given = objective(make_batch(replace(some, images=images), method))["contrastive"]
    torch.testing.assert_close(given, expected)


@pytest.mark.parametrize("lambda_mtr", [0.0, 1.0])
def test_batch_without_photos_has_a_gradient_all_the_same(lambda_mtr: float) -> None:
    rows = make_rows(without=tuple(range(1, 20)))
    net = make_net()
    terms = terms_of(rows, net, lambda_mtr=lambda_mtr)
    total = sum(terms.values())
    total.backward()
    assert torch.isfinite(total)
    assert bool(total > 0) is bool(lambda_mtr)
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_rows_of_weight_zero_are_as_good_as_absent(spied: list[dict[str, Any]]) -> None:
    weight = np.ones(20, dtype=np.float32)
    weight[[1, 4, 10, 15]] = 0.0
    kept = np.flatnonzero(weight)
    rows, net = make_rows(weight=weight), make_net().eval()
    terms = terms_of(rows, net, lambda_mtr=1.0)
    row_of_image, image_of_row = (drawn.numpy() for drawn in spied[0]["drawn"])
    assert (weight[row_of_image[kept]] > 0).all() and (weight[image_of_row[kept]] > 0).all()
    method = make_method(lambda_mtr=1.0)
    objective = CITabObjective(net, method, None).eval()
    batch = make_batch(rows, method)
    part = {k: v[kept] for k, v in batch.items() if isinstance(v, torch.Tensor) and len(v) == 20}
    part["positives"] = batch["positives"][kept][:, kept]
    part |= {"image_rows": torch.arange(len(kept)), "negative_seed": batch["negative_seed"]}
    removed = objective(part)
    for name in ("contrastive", "masked"):
        torch.testing.assert_close(terms[name], removed[name])
    nothing = terms_of(make_rows(weight=np.zeros(20, dtype=np.float32)), net, lambda_mtr=1.0)
    assert all(term == 0.0 for term in nothing.values())


def test_common_factor_of_the_weights_changes_neither_matching_nor_masked_term() -> None:
    net = make_net().eval()
    ones = terms_of(make_rows(), net, lambda_mtr=1.0)
    tiny = terms_of(make_rows(weight=np.full(20, 1e-3, np.float32)), net, lambda_mtr=1.0)
    for name in ("matching", "masked"):
        torch.testing.assert_close(tiny[name], ones[name])


# --- masked cells --------------------------------------------------------------------------------


def test_masked_term_is_the_mean_over_the_masked_cells_of_all_cohorts() -> None:
    rows, net = make_rows(), make_net().eval()
    term = terms_of(rows, net, lambda_itc=0.0, lambda_itm=0.0, lambda_mtr=1.0)["masked"]
    batch = make_batch(rows, make_method(lambda_mtr=1.0))
    tokens, _ = net.encode_rows(batch["numeric"], batch["codes"], batch["cohorts"])
    losses = []
    for row in range(len(rows)):
        cohort = int(batch["cohorts"][row])
        numeric, logits = net.predict_cells(tokens[row : row + 1], cohort)
        for column in range(numeric.shape[1]):
            if batch["numeric_mask"][row, column]:
                losses.append((numeric[0, column] - batch["numeric_target"][row, column]).abs())
        for column, each in enumerate(logits):
            if batch["code_mask"][row, column]:
                losses.append(F.cross_entropy(each, batch["codes_target"][row, [column]] - 2))
    assert len(losses) > 10
    torch.testing.assert_close(term, torch.stack(losses).mean())


def test_masks_hit_observed_cells_alone_at_their_rate() -> None:
    rows = make_rows((4000, 2000, 2000))
    drawn = MaskedCells(0.3)(rows.table, np.random.default_rng(0))
    numeric, codes = rows.table.numeric, rows.table.codes
    for mask, observed in (
        (drawn["numeric_mask"], ~np.isnan(numeric)),
        (drawn["code_mask"], codes >= 2),
    ):
        assert not (mask & ~observed).any()
        assert mask[observed].mean() == pytest.approx(0.3, abs=0.015)
    assert np.isnan(drawn["numeric"][drawn["numeric_mask"]]).all()
    assert (drawn["codes"][drawn["code_mask"]] == 1).all()
    kept = ~drawn["numeric_mask"]
    np.testing.assert_array_equal(drawn["numeric"][kept], numeric[kept])
    np.testing.assert_array_equal(drawn["numeric_target"], numeric)
    np.testing.assert_array_equal(drawn["codes_target"], codes)


def test_nothing_is_masked_where_nothing_restores_it() -> None:
    table = make_rows().table
    assert make_method().cell_draw(table) == MaskedCells(0.0)
    assert make_method(lambda_mtr=0.1).cell_draw(table) == MaskedCells(0.5)


def test_gradients_are_finite_and_reach_every_parameter() -> None:
    net = make_net().train()
    method = make_method(lambda_mtr=1.0)
    terms = CITabObjective(net, method, None)(make_batch(make_rows(without=(2, 12)), method))
    sum(terms.values()).backward()
    without = [name for name, p in net.named_parameters() if p.grad is None]
    assert without == []
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


# --- the whole run -------------------------------------------------------------------------------


@pytest.fixture
def options(run_options: Callable[..., RunOptions]) -> Callable[..., PretrainingOptions]:
    def make(method: CITab | None = None, **of_run: Any) -> PretrainingOptions:
        return PretrainingOptions(
            method=method or make_method(),
            augmentation=Augmentation.from_param("none"),
            image_size=32,
            precision="float32",
            compile=False,
            run=run_options(**{"validation_fraction": None, **of_run}),
        )

    return make


def informed_rows() -> PairedRows:
    """Vectors that say what the row's first cell says, in all cohorts."""
    rows = make_rows((40, 40, 40))
    table = rows.table
    said = np.where(table.cohorts == 2, table.codes[:, 0] - 3, np.nan_to_num(table.numeric[:, 0]))
    noise = 0.1 * np.random.default_rng(5).standard_normal((120, WIDTH))
    vectors = list(said[:, None] * np.arange(1, WIDTH + 1) + noise)
    return replace(rows, images=RowImages.from_cells([vectors]))


def test_pretraining_lowers_the_losses_of_pairs(options: Callable[..., PretrainingOptions]) -> None:
    method = make_method(lambda_mtr=0.5)
    history = pretrain(
        make_net(), informed_rows(), options(method, max_epochs=25, batch_size=30, lr=1e-2)
    )
    # Its cells are independent of each other, so that masked ones cannot be restored.
    assert history[-1]["train_matching"] < history[0]["train_matching"]
    assert history[-1]["train_contrastive"] < 0.8 * history[0]["train_contrastive"]
    last = history[-1]
    assert last["train_loss"] == pytest.approx(
        0.5 * (last["train_contrastive"] + last["train_matching"] + last["train_masked"]), rel=1e-4
    )


def test_validation_draws_the_same_negatives_each_epoch(
    options: Callable[..., PretrainingOptions], spied: list[dict[str, Any]]
) -> None:
    run = options(max_epochs=2, batch_size=8, validation_fraction=0.4, lr=1e-12)
    history = pretrain(make_net().eval(), make_rows((20, 20, 20)), run)
    assert history[0]["valid_matching"] == pytest.approx(history[1]["valid_matching"], rel=1e-2)


class PowerCut(Callback):
    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if net.history[-1]["epoch"] == 2:
            raise RuntimeError("power cut")


def test_resumed_run_ends_bit_equal(
    claim: Callable[[], FitFolder], options: Callable[..., PretrainingOptions]
) -> None:
    method = make_method(lambda_mtr=0.5)
    rows, params = make_rows((20, 20, 20)), {"max_epochs": 4, "validation_fraction": 0.4}
    whole = make_net()
    expected = pretrain(whole, rows, options(method, **params))
    interrupted = options(method, checkpoints=claim(), callbacks=(PowerCut(),), **params)
    with pytest.raises(RuntimeError, match="power cut"):
        pretrain(make_net(), rows, interrupted)
    resumed = make_net()
    history = pretrain(resumed, rows, options(method, checkpoints=claim(), **params))
    assert [e["train_loss"] for e in history] == [e["train_loss"] for e in expected]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_checkpoint_of_other_headers_is_not_taken_up(
    claim: Callable[[], FitFolder], options: Callable[..., PretrainingOptions]
) -> None:
    rows, params = make_rows((20, 20, 20)), {"max_epochs": 4}
    interrupted = options(checkpoints=claim(), callbacks=(PowerCut(),), **params)
    with pytest.raises(RuntimeError, match="power cut"):
        pretrain(make_net(), rows, interrupted)
    other, alone = make_net(vectors=1), make_net(vectors=1)
    with pytest.warns(UserWarning, match="of no stage of this fit"):
        pretrain(other, rows, options(checkpoints=claim(), **params))
    pretrain(alone, rows, options(**params))
    for name, tensor in alone.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


# --- experts -------------------------------------------------------------------------------------


def test_expert_use_counts_cls_and_observed_cells_alone() -> None:
    rows, net = make_rows(), make_net().eval()
    (found,) = expert_use(net, rows.table)
    gates = []
    hook = net.transformer.blocks[0].feed_forward.register_forward_hook(
        lambda module, inputs, output: gates.append(module.gates(*inputs))
    )
    with torch.no_grad():
        _, present = net.encode_rows(*map(torch.from_numpy, rows.table.arrays()))
    hook.remove()
    counted = F.pad(present, (1, 0), value=True)
    assert int(counted.sum()) == 20 + 8 * 4 - 2 + 6 + 12
    chosen = gates[0][counted].double().numpy()
    np.testing.assert_allclose(found["share"], chosen.mean(axis=0), rtol=1e-5)
    entropy = -(chosen * np.log(chosen)).sum(axis=1).mean() / np.log(2)
    assert found["relative_entropy"] == pytest.approx(entropy, rel=1e-5)
    assert sum(found["share"]) == pytest.approx(1.0)


def test_expert_use_does_not_depend_on_blocks_and_looks_at_some_rows_of_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, net = make_rows((30, 30, 30)).table, make_net().eval()
    whole = expert_use(net, table)
    monkeypatch.setattr(citab, "BLOCK_WATCHED", 7)
    assert expert_use(net, table)[0]["share"] == pytest.approx(whole[0]["share"], rel=1e-5)
    monkeypatch.setattr(citab, "ROWS_WATCHED", 10)
    spread = table.take(np.linspace(0, 89, 10).astype(np.int64))
    assert expert_use(net, table) == expert_use(net, spread)


def test_collapsed_mixture_is_visible() -> None:
    net = make_net().eval()
    mixture = net.transformer.blocks[0].feed_forward
    with torch.no_grad():
        mixture.prototypes.mul_(0.0)
    even = expert_use(net, make_rows().table)[0]
    assert even["relative_entropy"] == pytest.approx(1.0)
    assert even["share"] == pytest.approx([0.5, 0.5])
