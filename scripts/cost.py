"""Measure the cost of a frame: multiply-accumulates and milliseconds, compared with YOLOv5s in the same run.

Weights are random, since they affect neither. YOLOv5s is a cost model built from the published layer table of
version 6 (depth 0.33, width 0.5, 80 classes) and verified against its number of parameters.
Each network runs as on a hive: batch norms folded, channels last, float32, TorchScript.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from hivewatch.cli.counts import count
from hivewatch.training.export import FrameGraph
from hivewatch.training.model.folding import fold
from hivewatch.training.model.network import HornetNet

WIDTHS_PX = (448, 512, 640, 896)
YOLO_PARAMETERS = 7_235_389
"""Parameters of YOLOv5s 6.x with 80 classes, before fusing, from its own summary."""


class ConvBlock(nn.Module):
    """Convolution, batch norm, SiLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1):
        super().__init__()
        padding = (kernel - 1) // 2
        self.conv: Any = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn: Any = nn.BatchNorm2d(outputs, eps=1e-3)
        self.act = nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the three in order."""
        return self.act(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    """Two convolutions; the input is added if ``shortcut``."""

    def __init__(self, width: int, shortcut: bool):
        super().__init__()
        self.one, self.two = ConvBlock(width, width), ConvBlock(width, width, 3)
        self.shortcut = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Apply both."""
        y = self.two(self.one(x))
        return x + y if self.shortcut else y


class C3(nn.Module):
    """A cross-stage-partial block of ``depth`` bottlenecks."""

    def __init__(self, inputs: int, outputs: int, depth: int, shortcut: bool = True):
        super().__init__()
        half = outputs // 2
        self.main, self.side = ConvBlock(inputs, half), ConvBlock(inputs, half)
        self.blocks = nn.Sequential(*(Bottleneck(half, shortcut) for _ in range(depth)))
        self.out = ConvBlock(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Concatenate the deep and the plain half."""
        return self.out(torch.cat((self.blocks(self.main(x)), self.side(x)), 1))


class SPPF(nn.Module):
    """Three successive poolings, concatenated."""

    def __init__(self, width: int):
        super().__init__()
        self.one, self.two = ConvBlock(width, width // 2), ConvBlock(width * 2, width)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Concatenate the input with its three poolings."""
        x = self.one(x)
        a = self.pool(x)
        b = self.pool(a)
        return self.two(torch.cat((x, a, b, self.pool(b)), 1))


class YoloV5s(nn.Module):
    """Backbone, neck and head; without box decoding, whose cost is negligible."""

    def __init__(self, classes: int = 80):
        super().__init__()
        self.p3 = nn.Sequential(
            *(ConvBlock(3, 32, 6, 2), ConvBlock(32, 64, 3, 2), C3(64, 64, 1)),
            *(ConvBlock(64, 128, 3, 2), C3(128, 128, 2)),
        )
        self.p4 = nn.Sequential(ConvBlock(128, 256, 3, 2), C3(256, 256, 3))
        self.p5 = nn.Sequential(ConvBlock(256, 512, 3, 2), C3(512, 512, 1), SPPF(512))
        self.up = nn.Upsample(scale_factor=2.0)
        self.lateral5, self.top4 = ConvBlock(512, 256), C3(512, 256, 1, shortcut=False)
        self.lateral4, self.top3 = ConvBlock(256, 128), C3(256, 128, 1, shortcut=False)
        self.down3, self.out4 = ConvBlock(128, 128, 3, 2), C3(256, 256, 1, shortcut=False)
        self.down4, self.out5 = ConvBlock(256, 256, 3, 2), C3(512, 512, 1, shortcut=False)
        self.heads = nn.ModuleList(nn.Conv2d(width, 3 * (5 + classes), 1) for width in (128, 256, 512))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the three prediction maps."""
        p3 = self.p3(x)
        p4 = self.p4(p3)
        lateral5 = self.lateral5(self.p5(p4))
        lateral4 = self.lateral4(self.top4(torch.cat((self.up(lateral5), p4), 1)))
        out3 = self.top3(torch.cat((self.up(lateral4), p3), 1))
        out4 = self.out4(torch.cat((self.down3(out3), lateral4), 1))
        out5 = self.out5(torch.cat((self.down4(out4), lateral5), 1))
        return [head(out) for head, out in zip(self.heads, (out3, out4, out5), strict=True)]


@dataclass(frozen=True)
class Case:
    """A network and its input frame."""

    name: str
    net: nn.Module
    frame: Tensor


def cases() -> list[Case]:
    """Return the network on whole 16:9 frames, and YOLOv5s on 640 x 384 and on its usual 640 x 640."""
    found = []
    for stride in (1, 2):
        graph = FrameGraph(fold(HornetNet("topk", stride))).eval().to(memory_format=torch.channels_last)
        for width in WIDTHS_PX:
            height = round(width * 9 / 16 / 32) * 32
            frame = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8)
            found.append(Case(f"ResNet18, layer4 stride {stride}, {width} x {height}", graph, frame))
    yolo = YoloV5s().eval()
    parameters = sum(p.numel() for p in yolo.parameters())
    if parameters != YOLO_PARAMETERS:
        raise SystemExit(f"the cost model has {parameters} parameters, but YOLOv5s has {YOLO_PARAMETERS}")
    for block in yolo.modules():
        if isinstance(block, ConvBlock):
            block.conv, block.bn = fuse_conv_bn_eval(block.conv, block.bn), nn.Identity()
    yolo = yolo.to(memory_format=torch.channels_last)
    for height in (384, 640):
        x = torch.rand(1, 3, height, 640).contiguous(memory_format=torch.channels_last)
        found.append(Case(f"YOLOv5s, 640 x {height}", yolo, x))
    return found


def gmac(case: Case) -> float:
    """Return the multiply-accumulates of all convolutions, in billions."""
    total = 0

    def count(conv: nn.Conv2d, _inputs: object, output: Tensor) -> None:
        nonlocal total
        total += output.numel() * conv.weight[0].numel()

    net = copy.deepcopy(case.net)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.inference_mode():
        net(case.frame)
    return total / 1e9


def milliseconds(case: Case, graph: torch.jit.ScriptModule, threads: int, runs: int) -> float:
    """Return the median time of a forward pass in milliseconds, after three warm-up passes."""
    torch.set_num_threads(threads)
    times_s = []
    with torch.inference_mode():
        for run in range(runs + 3):
            started_s = time.perf_counter()
            graph(case.frame)
            if run >= 3:
                times_s.append(time.perf_counter() - started_s)
    return statistics.median(times_s) * 1000


def main() -> None:
    """Measure and print the table; its last columns are ratios to YOLOv5s at 640 x 640."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=count, default=15, help="passes per network (default: %(default)s)")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated")
    torch.manual_seed(0)
    rows = []
    for case in cases():
        graph = torch.jit.script(case.net)
        times = [milliseconds(case, graph, threads, arguments.runs) for threads in (1, 2)]
        rows.append((case.name, gmac(case), *times))
    base = rows[-1]
    print(f"torch {torch.__version__}, median of {arguments.runs}; cheaper: factor compared with {base[0]}")
    heads = f"{'':40}{'GMAC':>8}{'ms, 1 thread':>14}{'ms, 2 threads':>15}"
    print(f"{heads}{'cheaper: GMAC':>15}{'1 thr.':>8}{'2 thr.':>8}")
    for name, macs, one, two in rows:
        cheaper = f"{base[1] / macs:>15.1f}{base[2] / one:>8.1f}{base[3] / two:>8.1f}"
        print(f"{name:40}{macs:>8.2f}{one:>14.0f}{two:>15.0f}{cheaper}")


if __name__ == "__main__":
    main()
