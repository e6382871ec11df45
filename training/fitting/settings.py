"""Hyperparameters common to all training runs.

A settings class defines each hyperparameter once: name, type, default, bounds and help text. The
command line derives its options from the fields, so these modules import nothing heavy.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge
from typing_extensions import Doc

# File of a run folder with the values of its settings.
SETTINGS = "settings.json"
# File of a run folder with versions, machine and command line.
ENVIRONMENT = "environment.json"
# File of a run folder that names the command that made the run; runs of `estimator` have none.
KIND = "kind.txt"
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Trainable = Literal["head", "last", "all"]
Accelerator = Literal["auto", "cpu", "gpu"]


@dataclass(frozen=True)
class FitSettings:
    """Optimiser, schedule, crops and hardware of a training run.

    A run ends at `max_epochs` or `max_steps`, whichever comes first, or after `patience`
    validations without a lower loss. Counted in steps, a small set is trained as long as a large
    one.

    With `crop_s` 0 a network trains on whole windows, as in the paper. Otherwise it trains on
    random crops, and a window's features are the mean over segments of that length.
    """

    batch_size: Annotated[int, Doc("Windows per step and device."), Ge(1)] = 16
    learning_rate: Annotated[float, Doc("Initial learning rate."), Ge(0)] = 1e-3
    max_epochs: Annotated[int, Doc("Maximum number of epochs; 0: no limit."), Ge(0)] = 50
    max_steps: Annotated[int, Doc("Maximum number of training steps; 0: no limit."), Ge(0)] = 0
    validation_steps: Annotated[
        int, Doc("Training steps from one validation to the next; 0: validate every epoch."), Ge(0)
    ] = 0
    patience: Annotated[
        int, Doc("Validations without a lower validation loss before stopping."), Ge(1)
    ] = 10
    crop_s: Annotated[
        float, Doc("Length of the random training crops in seconds; 0 trains on whole windows.")
    ] = 0.0
    cosine_schedule: Annotated[
        bool, Doc("Anneal the learning rate to 0 along a cosine over the maximum number of steps.")
    ] = False
    precision: Annotated[Precision, Doc("Arithmetic precision of training (Lightning).")] = (
        "32-true"
    )
    accelerator: Annotated[Accelerator, Doc("Device to train on.")] = "auto"
    devices: Annotated[int, Doc("Number of devices; more than one trains with DDP.")] = 1
    workers: Annotated[int, Doc("Data loader processes per device."), Ge(0)] = 0
    seed: Annotated[int, Doc("Random seed; the same seed gives the same result.")] = 0

    def to_record(self) -> dict[str, Any]:
        """Name → value of each field, as run folders and cards state them.

        A run that is not counted in steps does not state steps, as before there was a choice.
        """
        record = asdict(self)
        for name in ("max_steps", "validation_steps"):
            if not record[name]:
                del record[name]
        return record
