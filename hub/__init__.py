"""Sharing models: cards, licences, publishing, ONNX files. Import the module you need."""
