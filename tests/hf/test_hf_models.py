"""transformers' common tests of models and configs, on our towers and the dual encoder."""

import unittest

import torch
from common_tests import common
from tiny_models import tiny_text_config

from auricle.modeling import (
    AuricleConfig,
    AuricleModel,
    BeatsConfig,
    BeatsModel,
    EatConfig,
    EatModel,
    PasstConfig,
    PasstModel,
)

ConfigTester = common("test_configuration_common").ConfigTester
ModelTesterMixin = common("test_modeling_common").ModelTesterMixin
TOWER = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "num_mel_bins": 32,
    "num_frames": 64,
    "patchout_time": 0,
    "patchout_frequency": 0,
}


class TowerTester:
    """A tiny tower and a batch of segments for it."""

    batch_size = 3
    num_hidden_layers = 2
    num_attention_heads = 4
    hidden_size = 32
    is_training = False  # a bare encoder has no loss

    def __init__(self, config_class, special_tokens, **settings):
        self.config_class = config_class
        self.settings = {**TOWER, **settings}
        self.seq_length = special_tokens + 2 * 4  # patches of 16 x 16
        self.encoder_seq_length = self.key_length = self.seq_length

    def get_config(self):
        return self.config_class(**self.settings)

    def prepare_config_and_inputs_for_common(self):
        return self.get_config(), {"input_features": torch.randn(self.batch_size, 64, 32)}


class CommonModelTests(ModelTesterMixin):
    config_class = None
    config_arguments: dict = {}  # noqa: RUF012

    def make_tester(self):
        raise NotImplementedError

    def setUp(self):
        self.model_tester = self.make_tester()
        self.config_tester = ConfigTester(
            self, config_class=self.config_class, has_text_modality=False, **self.config_arguments
        )

    def test_config(self):
        self.config_tester.run_common_tests()


class PasstModelTest(CommonModelTests, unittest.TestCase):
    all_model_classes = (PasstModel,)
    config_class = PasstConfig
    config_arguments = {"hidden_size": 37, "num_attention_heads": 37}  # noqa: RUF012
    test_resize_embeddings = False

    def make_tester(self):
        return TowerTester(PasstConfig, special_tokens=2)


class BeatsModelTest(CommonModelTests, unittest.TestCase):
    all_model_classes = (BeatsModel,)
    config_class = BeatsConfig
    config_arguments = {"hidden_size": 64, "num_attention_heads": 4}  # noqa: RUF012
    test_resize_embeddings = False

    def make_tester(self):
        return TowerTester(BeatsConfig, special_tokens=0, patch_embed_dim=32)


class EatModelTest(CommonModelTests, unittest.TestCase):
    all_model_classes = (EatModel,)
    config_class = EatConfig
    config_arguments = {"hidden_size": 64, "num_attention_heads": 4}  # noqa: RUF012
    test_resize_embeddings = False

    def make_tester(self):
        return TowerTester(EatConfig, special_tokens=1)


class DualEncoderTester:
    """A tiny dual encoder with as many captions as clips of one segment."""

    batch_size = 3
    seq_length = 6
    num_hidden_layers = 2
    num_attention_heads = 2
    is_training = True

    def get_config(self):
        text_config = tiny_text_config()
        text_config.initializer_range = 0.02  # the usual one; the mixin's tolerances are made for it
        return AuricleConfig(
            audio_config={"model_type": "auricle_passt", **TOWER}, text_config=text_config, projection_dim=12
        )

    def prepare_config_and_inputs_for_common(self):
        inputs = {
            "input_features": torch.randn(self.batch_size, 64, 32),
            "input_ids": torch.randint(5, 90, (self.batch_size, self.seq_length)),
            "attention_mask": torch.ones(self.batch_size, self.seq_length, dtype=torch.int64),
            "return_loss": True,
        }
        return self.get_config(), inputs


class AuricleModelTest(CommonModelTests, unittest.TestCase):
    all_model_classes = (AuricleModel,)
    config_class = AuricleConfig
    config_arguments = {"projection_dim": 37}  # noqa: RUF012
    _is_composite = True
    additional_model_inputs = ("input_ids",)

    def make_tester(self):
        return DualEncoderTester()
