"""The model code that checkpoints carry: configs, towers and the dual encoder.

Every checkpoint carries these files next to its weights, so nothing here imports the rest of the package. Only this
file is not copied; importing it registers our classes with transformers' Auto classes.
"""

from ..auto_classes import register_auto_classes
from .auricle_output import AuricleOutput
from .cluster_heads import ClusterHead
from .configuration_auricle import AUDIO_CONFIGS, AuricleConfig
from .configuration_beats import BeatsConfig
from .configuration_eat import EatConfig
from .configuration_moment import AuricleMomentConfig
from .configuration_passt import PasstConfig
from .contrastive_loss import contrastive_loss, positive_cross_entropy
from .modeling_auricle import AUDIO_MODELS, AuricleModel, AuriclePreTrainedModel
from .modeling_beats import BeatsModel, BeatsPreTrainedModel
from .modeling_eat import EatModel, EatPreTrainedModel
from .modeling_moment import AuricleForMomentRetrieval, MomentOutput
from .modeling_passt import PasstModel, PasstPreTrainedModel
from .structured_patchout import PatchSelection

MODEL_OF_CONFIG = {
    AuricleConfig: AuricleModel,
    **{config: AUDIO_MODELS[kind] for kind, config in AUDIO_CONFIGS.items()},
}

__all__ = [
    "AUDIO_CONFIGS",
    "AUDIO_MODELS",
    "MODEL_OF_CONFIG",
    "AuricleConfig",
    "AuricleForMomentRetrieval",
    "AuricleModel",
    "AuricleMomentConfig",
    "AuricleOutput",
    "AuriclePreTrainedModel",
    "BeatsConfig",
    "BeatsModel",
    "BeatsPreTrainedModel",
    "ClusterHead",
    "EatConfig",
    "EatModel",
    "EatPreTrainedModel",
    "MomentOutput",
    "PasstConfig",
    "PasstModel",
    "PasstPreTrainedModel",
    "PatchSelection",
    "contrastive_loss",
    "positive_cross_entropy",
]

register_auto_classes()
