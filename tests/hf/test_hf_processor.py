"""transformers' common tests of processors, on ours."""

import unittest

from common_tests import common
from tiny_models import SAMPLING_RATE, tiny_front_end, tiny_vocabulary
from transformers import BertTokenizerFast

from auricle.auto_classes import register_auto_classes
from auricle.processing import AuricleFeatureExtractor, AuricleProcessor

ProcessorTesterMixin = common("test_processing_common").ProcessorTesterMixin


class AuricleProcessorTest(ProcessorTesterMixin, unittest.TestCase):
    processor_class = AuricleProcessor

    @classmethod
    def setUpClass(cls):
        register_auto_classes()
        super().setUpClass()

    @classmethod
    def _setup_feature_extractor(cls):
        return AuricleFeatureExtractor(**tiny_front_end())

    @classmethod
    def _setup_tokenizer(cls):
        return BertTokenizerFast(vocab=tiny_vocabulary(), do_lower_case=True)

    def prepare_audio_inputs(self, batch_size=None):
        """As the mixin's, with the sampling rate, which our processor does not guess."""
        return [
            {"array": array, "sampling_rate": SAMPLING_RATE}
            for array in super().prepare_audio_inputs(batch_size)
        ]
