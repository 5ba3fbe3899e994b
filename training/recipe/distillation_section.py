"""The recipe's distillation section: teachers, and what they are asked."""

from typing import Any

from pydantic import Field, field_validator, model_validator

from .data_section import Settings


class TeacherEntry(Settings):
    """One teacher of a distillation."""

    source: str = Field(description="An earlier stage, a teacher bank, a model directory or a Hub id.")
    weight: float = Field(1.0, gt=0, description="Weight among the teachers; weights are normalised.")


class DistillationSection(Settings):
    """Learning from the similarities of frozen teachers (AISTAT report, stage 2)."""

    teachers: list[TeacherEntry] = Field(
        default_factory=list,
        description="Stages before, banks written by `auricle embed`, or models; each a name, or a mapping with "
        "source and weight. None switches distillation off.",
    )
    weight: float = Field(1.0, ge=0, description="Weight of the distillation loss (lambda 1).")
    softmax_temperature: float | None = Field(
        None, gt=0, description="Temperature of both softmaxes; none takes the model's."
    )
    cross_fit: int | None = Field(
        None,
        ge=2,
        description="Number of folds: the teachers held one out each (data.hold_out_fold), and each answers only for "
        "the rows of its fold. Default: all teachers answer for all rows, as in the report.",
    )

    @field_validator("teachers", mode="before")
    @classmethod
    def _name_is_a_source(cls, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return [{"source": entry} if isinstance(entry, str) else entry for entry in value]

    @model_validator(mode="after")
    def _refuse_a_teacher_twice(self) -> "DistillationSection":
        names = [entry.source for entry in self.teachers]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"teachers: {name!r} occurs twice; give it a weight instead")
        return self

    @model_validator(mode="after")
    def _has_a_teacher_for_each_fold(self) -> "DistillationSection":
        if self.cross_fit and self.teachers and len(self.teachers) < self.cross_fit:
            raise ValueError(
                f"cross_fit: {self.cross_fit} folds need as many teachers or more, but teachers names "
                f"{len(self.teachers)}"
            )
        return self

    @property
    def is_on(self) -> bool:
        """Whether there is anything to learn from teachers."""
        return bool(self.teachers) and self.weight > 0
