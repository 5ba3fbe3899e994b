"""The rows of the study: what the second stage learns from in each."""

from dataclasses import dataclass

TEACHERS = ("none", "self", "seen", "cross_fit", "swapped", "other")


@dataclass(frozen=True)
class StudyRow:
    """
    One row of the table.

    Attributes:
        teachers: Who gives the soft targets:
            "none": nobody, the control.
            "self": the student's own start.
            "seen": models that were trained on all of the student's rows, as in the report.
            "cross_fit": one model a fold; each answers for the rows that it did not see.
            "swapped": the same models; each answers for rows that it did see.
            "other": models that were trained on other scenes, as many as the student's.
        count: How many teachers are averaged; with folds, how many sets of them.
        contrastive_weight: Of the loss on the labels.
        temperature: Of the softmaxes of the distillation; None is the model's, 0.05.
        folds: Of "cross_fit" and "swapped".
        blocks: With folds, compare pairs of one fold alone.
        unlabelled: Share of the true pairs that carry no label, for start, teachers and student alike; None leaves
            the labels as the captions give them.
    """

    teachers: str = "none"
    count: int = 1
    contrastive_weight: float = 1.0
    temperature: float | None = None
    folds: int = 2
    blocks: bool = False
    unlabelled: float | None = None


MAIN = {
    "control": StudyRow(),
    "seen": StudyRow("seen"),
    "cross_fit": StudyRow("cross_fit"),
    "swapped": StudyRow("swapped"),
    "other": StudyRow("other"),
    "seen_alone": StudyRow("seen", contrastive_weight=0.0),
    "cross_fit_alone": StudyRow("cross_fit", contrastive_weight=0.0),
    "swapped_alone": StudyRow("swapped", contrastive_weight=0.0),
    "other_alone": StudyRow("other", contrastive_weight=0.0),
}

FURTHER = {
    "self": StudyRow("self"),
    "self_alone": StudyRow("self", contrastive_weight=0.0),
    "seen_2": StudyRow("seen", count=2),
    "seen_3": StudyRow("seen", count=3),
    "seen_3_alone": StudyRow("seen", count=3, contrastive_weight=0.0),
    "cross_fit_2": StudyRow("cross_fit", count=2),
    "cross_fit_2_alone": StudyRow("cross_fit", count=2, contrastive_weight=0.0),
    "cross_fit_blocks": StudyRow("cross_fit", blocks=True),
    "cross_fit_blocks_alone": StudyRow("cross_fit", contrastive_weight=0.0, blocks=True),
    "cross_fit_4": StudyRow("cross_fit", folds=4),
    "cross_fit_4_alone": StudyRow("cross_fit", folds=4, contrastive_weight=0.0),
    "cross_fit_4_blocks": StudyRow("cross_fit", folds=4, blocks=True),
    "seen_half": StudyRow("seen", contrastive_weight=0.5),
    "cross_fit_half": StudyRow("cross_fit", contrastive_weight=0.5),
    **{
        f"{teachers}_t{round(100 * temperature):03d}": StudyRow(teachers, temperature=temperature)
        for teachers in ("seen", "cross_fit")
        for temperature in (0.02, 0.1)
    },
    **{
        f"{teachers if teachers != 'none' else 'control'}_u{round(100 * share):02d}": StudyRow(
            teachers, unlabelled=share
        )
        for teachers in ("none", "seen", "cross_fit")
        for share in (0.0, 0.5, 0.8)
    },
}

ROWS = MAIN | FURTHER
