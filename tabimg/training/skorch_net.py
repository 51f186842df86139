"""The skorch net behind every estimator: it optimises an objective over tabimg's batches."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import torch
from skorch import NeuralNet
from torch import Tensor, nn

from tabimg.training.gradients import Batch, CachedGradients, Terms, Total, direct_gradients
from tabimg.training.processes import ONE_PROCESS, Processes
from tabimg.training.schedule import OneCycle

Gradients = Callable[[Any, Batch, Total], tuple[Tensor, Terms]] | CachedGradients


class Batches(Protocol):
    """An iterable of batches; iterating it again gives the next epoch."""

    def __iter__(self) -> Iterator[Batch]: ...

    def __len__(self) -> int: ...


class ObjectiveNet(NeuralNet):
    """A skorch net whose module maps a batch to named loss terms.

    Parameters
    ----------
    module : nn.Module
        ``module(batch) -> dict[str, scalar tensor]``: the unweighted terms.
    weights : mapping of str to float
        The factor of each term in the total loss.
    parameter_groups : list of dict
        AdamW parameter groups, each with ``params`` and ``max_lr``.
    train_batches, valid_batches
        Each iteration over them is one epoch; ``valid_batches`` may be None.
    schedule : OneCycle
        Sets the learning rates; checked after each epoch for whether the time is up.
    gradients : callable
        ``gradients(module, batch, total) -> loss, terms``: how the gradient is computed.
    processes : Processes
        Those that see the other shares of each batch; what is recorded is their mean.

    Notes
    -----
    skorch provides callbacks, history and the optimisation step. Replaced here are the data loader
    (batches are drawn by index arrays, without per-sample collation), the per-batch history (the
    device would be synchronised for every entry), and the swallowing of Ctrl-C, which the caller of
    ``fit`` should see.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        weights: Mapping[str, float],
        parameter_groups: list[dict[str, Any]],
        train_batches: Batches,
        valid_batches: Batches | None,
        schedule: OneCycle,
        gradients: Gradients = direct_gradients,
        processes: Processes = ONE_PROCESS,
        **kwargs: Any,
    ) -> None:
        self.weights = weights
        self.parameter_groups = parameter_groups
        self.train_batches = train_batches
        self.valid_batches = valid_batches
        self.schedule = schedule
        self.gradients = gradients
        self.processes = processes
        # skorch counts batches by the rows of a data set; ours hold whole batches.
        super().__init__(module, criterion=nn.Identity, train_split=None, batch_size=1, **kwargs)

    @property
    def _default_callbacks(self) -> list[Any]:
        return [("one_cycle", self.schedule)]

    def initialize_optimizer(self, triggered_directly: bool | None = None) -> ObjectiveNet:
        groups = [{**group, "lr": group["max_lr"]} for group in self.parameter_groups]
        device = torch.device(self.device)
        # The fused step is five times faster; it exists only for CPU and CUDA.
        self.optimizer_ = torch.optim.AdamW(groups, fused=device.type in ("cpu", "cuda"))
        return self

    def train(
        self,
        first_epoch: int = 0,
        after_epoch: Callable[[ObjectiveNet], None] | None = None,
    ) -> ObjectiveNet:
        """Run the epochs from ``first_epoch`` to ``max_epochs``; a callback may stop earlier.

        ``after_epoch`` is called after each epoch that did not stop the training. It may take long:
        unlike in a callback, Ctrl-C there is not mistaken for early stopping.
        """
        self.notify("on_train_begin", X=None, y=None)
        for _ in range(first_epoch, self.max_epochs):
            if self._run_epoch():
                break
            if after_epoch is not None:
                after_epoch(self)
        self.notify("on_train_end", X=None, y=None)
        return self

    def notify(self, method_name: str, **kwargs: Any) -> None:
        """Notify the callbacks; an error inside one of skorch's names it."""
        getattr(self, method_name)(self, **kwargs)
        for name, callback in self.callbacks_:
            try:
                getattr(callback, method_name)(self, **kwargs)
            except (ImportError, OSError):
                raise
            except Exception as error:
                if not type(callback).__module__.startswith("skorch."):
                    raise
                raise ValueError(
                    f"callbacks: {name} ({type(callback).__name__}) failed: {error}. The history "
                    f"holds {_names_of(self.history)}; it has no entries of single batches"
                ) from error

    def _run_epoch(self) -> bool:
        """Run one epoch; return whether it is the last."""
        # skorch's callbacks may ask for these names.
        data = {"dataset_train": self.train_batches, "dataset_valid": self.valid_batches}
        self.notify("on_epoch_begin", **data)
        self.run_single_epoch(
            self.train_batches, training=True, prefix="train", step_fn=self.train_step
        )
        self.run_single_epoch(
            self.valid_batches, training=False, prefix="valid", step_fn=self.validation_step
        )
        self._record_whether_best()
        try:
            self.notify("on_epoch_end", **data)
        except KeyboardInterrupt:
            # This is how skorch's callbacks, such as EarlyStopping, end the training.
            return True
        return self.schedule.exhausted

    def run_single_epoch(
        self,
        iterator: Iterable[Batch] | None,
        training: bool,
        prefix: str,
        step_fn: Any,
        **fit_params: Any,
    ) -> None:
        """Train on, or validate on, each batch, and record the mean of each term."""
        if iterator is None:
            return
        sums: dict[str, Tensor] = {}
        rows: Counter[str] = Counter()  # a term may be absent from a batch
        for batch in iterator:
            self.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch)
            for name, term in {"loss": step["loss"], **step["y_pred"]}.items():
                sums[name] = sums.get(name, 0.0) + term.detach() * batch["size"]
                rows[name] += batch["size"]
            self.notify("on_batch_end", batch=batch, training=training, **step)
            if training and self.schedule.exhausted:
                break
        for name, total in sums.items():
            mean = self.processes.average_number(float(total) / rows[name])
            self._record_term(prefix, name, mean)

    def _record_whether_best(self) -> None:
        """Record whether a loss is the lowest so far, for skorch's Checkpoint and PrintLog."""
        for name in ("train_loss", "valid_loss"):
            if name in self.history[-1]:
                losses = self.history[:, name]
                self.history.record(f"{name}_best", losses[-1] < min(losses[:-1], default=math.inf))

    def _record_term(self, prefix: str, name: str, mean: float) -> None:
        self.history.record(f"{prefix}_{name}", mean)
        if name in self.weights:
            self.history.record(f"{prefix}_{name}_weighted", mean * self.weights[name])

    def train_step_single(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        self._set_training(True)
        loss, terms = self.gradients(self.module_, batch, self._total)
        self.processes.average_gradients(self.module_.parameters())
        return {"loss": loss, "y_pred": terms}

    def validation_step(self, batch: Batch, **fit_params: Any) -> dict[str, Any]:
        self._set_training(False)
        with torch.no_grad():
            terms = self.module_(batch)
            return {"loss": self._total(terms), "y_pred": terms}

    def validation_loss(self) -> float | None:
        """Mean total loss over the validation batches, or None without a validation split."""
        if self.valid_batches is None:
            return None
        sizes, losses = zip(
            *((batch["size"], self.validation_step(batch)["loss"]) for batch in self.valid_batches),
            strict=True,
        )
        mean = sum(n * float(loss) for n, loss in zip(sizes, losses, strict=True)) / sum(sizes)
        return self.processes.average_number(mean)

    def _total(self, terms: Terms) -> Tensor:
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()


def _names_of(history: Any) -> list[str]:
    return sorted(set(history[-1]) - {"batches"}) if len(history) else []
