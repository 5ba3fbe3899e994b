"""The objective of a stage: the losses of the three stages and their weights."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Objective:
    """
    Weights of the losses, ``L = w L_sup + lambda1 L_dist + lambda2 (L_cls_audio + L_cls_text)``.

    As in the AISTAT report (arXiv 2509.16649); ``L_sup`` and ``L_dist`` are each the SUM of both directions. The
    report has ``w = 1`` throughout, ``lambda1 = 1`` from stage 2 on and ``lambda2 = 0.05`` in stage 3.

    Attributes:
        contrastive_weight: ``w``, at least 0; 0 trains without labels.
        distillation_weight: ``lambda1``, at least 0; 0 needs no teachers.
        distillation_temperature: temperature of the teachers' and the student's softmax in ``L_dist``, above 0; None
            takes the model's own, as the report does.
        cluster_weight: ``lambda2``, at least 0; 0 needs neither cluster heads nor labels.
        frame_phrase_weight: weight of the frame-phrase loss, which is not the report's, at least 0; 0 needs no
            events.

    Raises:
        ValueError: for a value outside of these ranges, or if nothing trains the embeddings.
    """

    contrastive_weight: float = 1.0
    distillation_weight: float = 0.0
    distillation_temperature: float | None = None
    cluster_weight: float = 0.0
    frame_phrase_weight: float = 0.0

    def __post_init__(self):
        for name in ("contrastive_weight", "distillation_weight", "cluster_weight", "frame_phrase_weight"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name}={getattr(self, name)} must be a number of at least 0.")
        temperature = self.distillation_temperature
        if temperature is not None and not 0 < temperature < math.inf:
            raise ValueError(f"distillation_temperature={temperature} must be a number above 0, or None.")
        if self.contrastive_weight == self.distillation_weight == 0:
            raise ValueError(
                "contrastive_weight and distillation_weight are both 0: nothing would train the embeddings; give "
                "one of them a value above 0."
            )

    def check_fit(
        self, *, num_clusters: int, learns_temperature: bool, has_teachers: bool, has_clusters: bool
    ) -> None:
        """
        Raises an error if model or data do not fit the losses, or the model has parameters that no loss trains.

        Distributed training stops at a parameter without a gradient.

        Args:
            num_clusters: number of clusters of the model's cluster heads, 0 without.
            learns_temperature: whether the model's temperature is a parameter.
            has_teachers: whether the training rows have teachers' vectors.
            has_clusters: whether the training rows have clusters.

        Raises:
            ValueError: with what is missing, or not trained.
        """
        if self.cluster_weight and not num_clusters:
            raise ValueError(
                f"cluster_weight={self.cluster_weight}, but the model has no cluster heads; call "
                "model.set_num_clusters with the number of clusters."
            )
        if num_clusters and not self.cluster_weight:
            raise ValueError(
                f"the model has heads for {num_clusters} clusters, but cluster_weight is 0; call "
                "model.set_num_clusters(0)."
            )
        if self.cluster_weight and not has_clusters:
            raise ValueError(f"cluster_weight={self.cluster_weight}, but the training rows have no clusters.")
        if self.distillation_weight and not has_teachers:
            raise ValueError(
                f"distillation_weight={self.distillation_weight}, but the training rows have no teachers."
            )
        own_temperature = self.distillation_weight and self.distillation_temperature is None
        if learns_temperature and not (self.contrastive_weight or own_temperature):
            raise ValueError(
                "the temperature is learned, but the only loss that could train it has a "
                f"distillation_temperature={self.distillation_temperature} of its own; make that None."
            )


__all__ = ["Objective"]
