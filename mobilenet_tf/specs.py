"""The MobileNet tables, as data: one row per row of each paper's table.

The numbers are the printed ones, at width multiplier 1. How they scale with
`alpha`, and which strides a small input keeps, is decided once, in `layout`.

Sources: V1 arXiv:1704.04861, Table 1. V2 arXiv:1801.04381, Table 2. V3
arXiv:1905.02244, Tables 1 and 2. AMC profiles arXiv:1802.03494, with the
channel counts of its authors' released models.

Where paper and common practice differ, `keras.applications` decides, so that
its weights load: V1 uses ReLU6; V3's head has no BatchNorm; V3-Small has no
squeeze-excite after its last convolution; V1's last stride-2 row of the paper
(a misprint) has stride 1.
"""

import dataclasses
from typing import Literal, Union

ActivationName = Literal["relu", "relu6", "hard_swish"]
Version = Literal["v1", "v2", "v3"]
ReducedTail = Literal["torchvision", "slim"]

VERSIONS: tuple[Version, ...] = ("v1", "v2", "v3")
SIZES = ("small", "large")
REDUCED_TAILS: tuple[ReducedTail, ...] = ("torchvision", "slim")


@dataclasses.dataclass(frozen=True)
class Separable:
    """A row of V1's Table 1: a depthwise convolution, then a 1x1 one."""

    filters: int
    stride: int


@dataclasses.dataclass(frozen=True)
class Bottleneck:
    """A row of V2's Table 2, in its columns t, c, n, s."""

    expansion: int
    filters: int
    repeats: int
    stride: int


@dataclasses.dataclass(frozen=True)
class Bneck:
    """A row of V3's Tables 1 and 2: k, exp size, #out, SE, NL, s.

    `exp_size` is the printed width. `exp_size` over the input filters of the
    row at alpha 1 is the expansion ratio that scaled networks keep.
    """

    kernel_size: int
    exp_size: int
    filters: int
    use_se: bool
    activation: ActivationName
    stride: int


Row = Union[Separable, Bottleneck, Bneck]


@dataclasses.dataclass(frozen=True)
class Spec:
    """A whole network at alpha 1.

    Attributes:
        version: decides width rules and layer names.
        name: how files and tables call it, such as "v3_small".
        stem_filters: of the first 3x3 convolution, stride 2.
        stem_activation: also that of V1's and V2's blocks.
        rows: the table.
        last_filters: of the 1x1 convolution after the rows; None for V1.
        head_filters: of V3's 1x1 convolution after pooling; None otherwise.
        last_activation: after `last_filters` and `head_filters`.
        bn_momentum, bn_epsilon: of every BatchNormalization.
        dropout_rate: in front of the classifier.
    """

    version: Version
    name: str
    stem_filters: int
    stem_activation: ActivationName
    rows: tuple[Row, ...]
    last_filters: int | None = None
    head_filters: int | None = None
    last_activation: ActivationName = "relu6"
    bn_momentum: float = 0.999
    bn_epsilon: float = 1e-3
    dropout_rate: float = 0.0


# fmt: off
V1 = Spec(
    version="v1", name="v1", stem_filters=32, stem_activation="relu6",
    bn_momentum=0.99, dropout_rate=0.001,
    rows=(
        #         c    s       output at 224
        Separable(64, 1),    # 112x112  C1
        Separable(128, 2),   # 56x56
        Separable(128, 1),   # 56x56    C2
        Separable(256, 2),   # 28x28
        Separable(256, 1),   # 28x28    C3
        Separable(512, 2),   # 14x14
        Separable(512, 1),   # 14x14    (5x)
        Separable(512, 1),
        Separable(512, 1),
        Separable(512, 1),
        Separable(512, 1),   # 14x14    C4
        Separable(1024, 2),  # 7x7
        Separable(1024, 1),  # 7x7      C5
    ),
)

V2 = Spec(
    version="v2", name="v2", stem_filters=32, stem_activation="relu6",
    last_filters=1280,
    rows=(
        #          t  c    n  s     output at 224
        Bottleneck(1, 16,  1, 1),  # 112x112  C1
        Bottleneck(6, 24,  2, 2),  # 56x56    C2
        Bottleneck(6, 32,  3, 2),  # 28x28    C3
        Bottleneck(6, 64,  4, 2),  # 14x14
        Bottleneck(6, 96,  3, 1),  # 14x14    C4
        Bottleneck(6, 160, 3, 2),  # 7x7
        Bottleneck(6, 320, 1, 1),  # 7x7      C5
    ),
)

V3_LARGE = Spec(
    version="v3", name="v3_large", stem_filters=16, stem_activation="hard_swish",
    last_filters=960, head_filters=1280, last_activation="hard_swish",
    dropout_rate=0.2,
    rows=(
        #     k  exp  out  SE     NL            s     output at 224
        Bneck(3, 16,  16,  False, "relu",       1),  # 112x112  C1
        Bneck(3, 64,  24,  False, "relu",       2),  # 56x56
        Bneck(3, 72,  24,  False, "relu",       1),  # 56x56    C2
        Bneck(5, 72,  40,  True,  "relu",       2),  # 28x28
        Bneck(5, 120, 40,  True,  "relu",       1),  # 28x28
        Bneck(5, 120, 40,  True,  "relu",       1),  # 28x28    C3
        Bneck(3, 240, 80,  False, "hard_swish", 2),  # 14x14
        Bneck(3, 200, 80,  False, "hard_swish", 1),  # 14x14
        Bneck(3, 184, 80,  False, "hard_swish", 1),  # 14x14
        Bneck(3, 184, 80,  False, "hard_swish", 1),  # 14x14
        Bneck(3, 480, 112, True,  "hard_swish", 1),  # 14x14
        Bneck(3, 672, 112, True,  "hard_swish", 1),  # 14x14    C4
        Bneck(5, 672, 160, True,  "hard_swish", 2),  # 7x7
        Bneck(5, 960, 160, True,  "hard_swish", 1),  # 7x7
        Bneck(5, 960, 160, True,  "hard_swish", 1),  # 7x7      C5
    ),
)

V3_SMALL = Spec(
    version="v3", name="v3_small", stem_filters=16, stem_activation="hard_swish",
    last_filters=576, head_filters=1024, last_activation="hard_swish",
    dropout_rate=0.2,
    rows=(
        #     k  exp  out  SE     NL            s     output at 224
        Bneck(3, 16,  16,  True,  "relu",       2),  # 56x56    C2
        Bneck(3, 72,  24,  False, "relu",       2),  # 28x28
        Bneck(3, 88,  24,  False, "relu",       1),  # 28x28    C3
        Bneck(5, 96,  40,  True,  "hard_swish", 2),  # 14x14
        Bneck(5, 240, 40,  True,  "hard_swish", 1),  # 14x14
        Bneck(5, 240, 40,  True,  "hard_swish", 1),  # 14x14
        Bneck(5, 120, 48,  True,  "hard_swish", 1),  # 14x14
        Bneck(5, 144, 48,  True,  "hard_swish", 1),  # 14x14    C4
        Bneck(5, 288, 96,  True,  "hard_swish", 2),  # 7x7
        Bneck(5, 576, 96,  True,  "hard_swish", 1),  # 7x7
        Bneck(5, 576, 96,  True,  "hard_swish", 1),  # 7x7      C5
    ),
)

# AMC keeps ReLU, PyTorch's BatchNorm settings and a dropout of 0.2.
AMC_V1 = dataclasses.replace(
    V1, name="v1_amc", stem_activation="relu",
    bn_momentum=0.9, bn_epsilon=1e-5, dropout_rate=0.0,
)
AMC_V1_HALF_FLOPS = dataclasses.replace(
    AMC_V1, name="v1_0.5flops", stem_filters=24, dropout_rate=0.2,
    rows=(
        Separable(48, 1),
        Separable(96, 2), Separable(80, 1),
        Separable(192, 2), Separable(200, 1),
        Separable(328, 2), Separable(352, 1), Separable(368, 1),
        Separable(360, 1), Separable(328, 1), Separable(400, 1),
        Separable(736, 2), Separable(752, 1),
    ),
)
AMC_V1_HALF_TIME = dataclasses.replace(
    AMC_V1, name="v1_0.5time", stem_filters=16, dropout_rate=0.2,
    rows=(
        Separable(48, 1),
        Separable(88, 2), Separable(80, 1),
        Separable(192, 2), Separable(168, 1),
        Separable(336, 2), Separable(360, 1), Separable(360, 1),
        Separable(352, 1), Separable(352, 1), Separable(368, 1),
        Separable(768, 2), Separable(680, 1),
    ),
)
AMC_V2_0_7_FLOPS = dataclasses.replace(
    V2, name="v2_0.7flops", stem_filters=24, last_filters=848,
    bn_momentum=0.9, bn_epsilon=1e-5, dropout_rate=0.2,
    rows=(
        #     k  exp  out  SE     NL       s
        Bneck(3, 24,  16,  False, "relu6", 1),
        Bneck(3, 72,  24,  False, "relu6", 2),
        Bneck(3, 104, 24,  False, "relu6", 1),
        Bneck(3, 104, 32,  False, "relu6", 2),
        Bneck(3, 136, 32,  False, "relu6", 1),
        Bneck(3, 136, 32,  False, "relu6", 1),
        Bneck(3, 136, 64,  False, "relu6", 2),
        Bneck(3, 272, 64,  False, "relu6", 1),
        Bneck(3, 272, 64,  False, "relu6", 1),
        Bneck(3, 272, 64,  False, "relu6", 1),
        Bneck(3, 272, 96,  False, "relu6", 1),
        Bneck(3, 408, 96,  False, "relu6", 1),
        Bneck(3, 400, 96,  False, "relu6", 1),
        Bneck(3, 400, 160, False, "relu6", 2),
        Bneck(3, 712, 160, False, "relu6", 1),
        Bneck(3, 720, 160, False, "relu6", 1),
        Bneck(3, 712, 248, False, "relu6", 1),
    ),
)
# fmt: on

# What `--profile` and the constructors' `profile` argument name.
PROFILES: dict[Version, dict[str, Spec]] = {
    "v1": {
        "amc": AMC_V1,
        "0.5flops": AMC_V1_HALF_FLOPS,
        "0.5time": AMC_V1_HALF_TIME,
    },
    "v2": {"0.7flops": AMC_V2_0_7_FLOPS},
    "v3": {},
}


def minimalistic(spec: Spec) -> Spec:
    """V3 without its costly parts: 3x3 kernels, ReLU, no squeeze-excite.

    Args:
        spec: `V3_SMALL` or `V3_LARGE`.

    Returns:
        The `Spec` of the minimalistic network.
    """
    rows = tuple(
        dataclasses.replace(row, kernel_size=3, use_se=False, activation="relu")
        for row in spec.rows
        if isinstance(row, Bneck)
    )
    return dataclasses.replace(
        spec,
        name=f"{spec.name}_minimalistic",
        stem_activation="relu",
        last_activation="relu",
        rows=rows,
    )


# The networks of the papers, in the order of tables.
NETWORKS = (V1, V2, V3_LARGE, V3_SMALL, minimalistic(V3_LARGE), minimalistic(V3_SMALL))


def with_reduced_tail(spec: Spec, convention: ReducedTail) -> Spec:
    """V3 with half the channels from the last stride on, for small label sets.

    MobileNetV3, section 6.3, halves the channels between C4 and C5 for
    detection. Two conventions are in use, and they differ in the head:

    Args:
        spec: `V3_SMALL` or `V3_LARGE`, minimalistic or not.
        convention: "torchvision" halves the head's convolution as well;
            "slim" (TF-slim's detection backbones) keeps it.

    Returns:
        The `Spec` of the reduced network.
    """
    first = max(i for i, row in enumerate(spec.rows) if row.stride == 2)
    rows = list(spec.rows)
    for i, row in enumerate(rows[first:], start=first):
        if not isinstance(row, Bneck) or not spec.last_filters or not spec.head_filters:
            raise ValueError(
                "only V3 has a reduced tail; use version v3. " f"Received: spec={spec.name}"
            )
        # The first row's expansion belongs to the C4 side and stays whole.
        exp_size = row.exp_size if i == first else row.exp_size // 2
        rows[i] = dataclasses.replace(row, exp_size=exp_size, filters=row.filters // 2)
    assert spec.last_filters and spec.head_filters
    head_filters = spec.head_filters // 2 if convention == "torchvision" else spec.head_filters
    return dataclasses.replace(
        spec,
        name=f"{spec.name}_{convention}_tail",
        rows=tuple(rows),
        last_filters=spec.last_filters // 2,
        head_filters=head_filters,
    )


def get_spec(
    version: Version,
    size: str | None = None,
    use_minimalistic: bool = False,
    profile: str | None = None,
    reduced_tail: ReducedTail | None = None,
) -> Spec:
    """Looks a network up by the names the command line uses.

    Args:
        version: "v1", "v2" or "v3".
        size: "small" or "large"; V3 only, where None means "small".
        use_minimalistic: V3 only, see `minimalistic`.
        profile: an AMC profile of V1 or V2, see `PROFILES`.
        reduced_tail: V3 only, see `with_reduced_tail`.

    Returns:
        A `Spec`.

    Raises:
        ValueError: an option that the version does not have.
    """
    if version not in VERSIONS:
        raise ValueError(
            f"version must be one of {', '.join(VERSIONS)}. Received: version={version}"
        )
    if version != "v3":
        for option, value in (
            ("size", size),
            ("minimalistic", use_minimalistic),
            ("reduced-tail", reduced_tail),
        ):
            if value:
                raise ValueError(
                    f"only version v3 has {option}; leave it out or use version v3. "
                    f"Received: version={version}, {option}={value}"
                )
    if profile is not None:
        return _profile_spec(version, profile)
    if version == "v1":
        return V1
    if version == "v2":
        return V2
    if size not in (None, *SIZES):
        raise ValueError(f"size must be one of {', '.join(SIZES)}. Received: size={size}")
    spec = V3_LARGE if size == "large" else V3_SMALL
    if use_minimalistic:
        spec = minimalistic(spec)
    return with_reduced_tail(spec, reduced_tail) if reduced_tail else spec


def _profile_spec(version: Version, profile: str) -> Spec:
    if profile not in PROFILES[version]:
        known = ", ".join(f"{v}: {' '.join(p) or 'none'}" for v, p in PROFILES.items())
        raise ValueError(
            f"profile must be one that the version has ({known}). "
            f"Received: version={version}, profile={profile}"
        )
    return PROFILES[version][profile]
