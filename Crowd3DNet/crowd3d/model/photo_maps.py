"""What the two networks that were trained on photographs are shown, and the maps in which they answer; see `photo_nets`."""

from __future__ import annotations

from crowd3d.model.lowering import Cut

FINDER_STRIDES = (8, 16, 32)
KEYPOINT_STRIDE = 4

FINDER_CUT = Cut(
    start="input_1",
    axes="NCHW",
    size=416,
    outputs=("PartitionedCall/transpose_99", "PartitionedCall/transpose_105", "PartitionedCall/transpose_111"),
)
"""Three maps of 80 class logits (COCO; person is the first) and 4 × 11 distance bins."""

MOVENET_CUT = Cut(
    start="StatefulPartitionedCall/stack",
    axes="NHWC",
    size=256,
    outputs=(
        "StatefulPartitionedCall/Sigmoid_1",
        "StatefulPartitionedCall/Sigmoid",
        "StatefulPartitionedCall/kpt_regress_0/conv2d_6/BiasAdd",
        "StatefulPartitionedCall/kpt_offset_0/conv2d_7/BiasAdd",
    ),
)
"""Centre and keypoint probabilities, then regression and offsets as 17 × (y, x)."""
MOVENET_STEM = "net.steps.6"
"""Weights of the first depthwise convolution nearly cancel each other; rounded to bf16 they cause nine tenths of the network's error."""
