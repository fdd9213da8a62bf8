"""SAM 2 (https://arxiv.org/abs/2408.00714) as five methods on tensors, with no memory of its own.

Parameter names are those of the published checkpoints: they are a file format.
"""
