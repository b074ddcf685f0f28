"""The HTTP service: BentoML and onnxruntime, without torch."""
