"""transformers' common tests of sequence feature extractors, on every front end of ours."""

import unittest

import numpy as np
from common_tests import common
from tiny_models import tiny_front_end

from auricle.processing import AuricleFeatureExtractor

SequenceFeatureExtractionTestMixin = common(
    "test_sequence_feature_extraction_common"
).SequenceFeatureExtractionTestMixin


class ExtractorTester:
    """Settings of a small extractor and random sequences for the mixin's tests of ``pad``."""

    batch_size = 7
    min_seq_length = 400
    max_seq_length = 2000
    seq_length_diff = (max_seq_length - min_seq_length) // (batch_size - 1)
    feature_size = 32

    def __init__(self, front_end):
        self.settings = tiny_front_end(front_end=front_end)

    def prepare_feat_extract_dict(self):
        return dict(self.settings)

    def prepare_inputs_for_common(self, equal_length=False, numpify=False):
        rng = np.random.default_rng(0)
        if equal_length:
            lengths = [self.max_seq_length] * self.batch_size
        else:
            lengths = range(self.min_seq_length, self.max_seq_length, self.seq_length_diff)
        sequences = [rng.random((length, self.feature_size)) for length in lengths]
        return sequences if numpify else [sequence.tolist() for sequence in sequences]


class CommonExtractorTests(SequenceFeatureExtractionTestMixin):
    feature_extraction_class = AuricleFeatureExtractor
    front_end = ""

    def setUp(self):
        self.feat_extract_tester = ExtractorTester(self.front_end)


class PasstFeatureExtractionTest(CommonExtractorTests, unittest.TestCase):
    front_end = "passt"


class BeatsFeatureExtractionTest(CommonExtractorTests, unittest.TestCase):
    front_end = "beats"


class EatFeatureExtractionTest(CommonExtractorTests, unittest.TestCase):
    front_end = "eat"
