"""
The installed classes in transformers' Auto classes, instead of the copies in checkpoints.

Either of the two travelling rooms calls this when its classes are imported, and neither may import the other. So
the rooms are named here, as transformers' own tables name modules, and not imported until they are needed.
"""

import importlib


def register_auto_classes() -> None:
    """
    Makes transformers' Auto classes use this package for our checkpoints, with or without `trust_remote_code`.

    transformers prefers a class that was registered and is not its own to the code in a checkpoint. It finds
    configurations by `model_type`, models by the class of their configuration, and processors and feature
    extractors by the class name in `processor_config.json`, or else by the class of the configuration.

    Importing `auricle.modeling`, or a class of `auricle.processing`, calls it. Another call changes nothing.
    """
    from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoProcessor

    modeling = importlib.import_module(".modeling", __package__)
    processing = importlib.import_module(".processing", __package__)
    for config_class, model_class in modeling.MODEL_OF_CONFIG.items():
        AutoConfig.register(config_class.model_type, config_class, exist_ok=True)
        AutoModel.register(config_class, model_class, exist_ok=True)
        AutoFeatureExtractor.register(config_class, processing.AuricleFeatureExtractor, exist_ok=True)
    # A moment head sees vectors: no feature extractor and no processor goes with it.
    AutoConfig.register(modeling.AuricleMomentConfig.model_type, modeling.AuricleMomentConfig, exist_ok=True)
    AutoModel.register(modeling.AuricleMomentConfig, modeling.AuricleForMomentRetrieval, exist_ok=True)
    AutoProcessor.register(modeling.AuricleConfig, processing.AuricleProcessor, exist_ok=True)


__all__ = ["register_auto_classes"]
