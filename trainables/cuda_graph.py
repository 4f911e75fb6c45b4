"""A step of a training that a GPU is told once and then repeats: telling it anew takes longer than the step itself.

Table 1's step is some two hundred kernels of a few microseconds each. Python needs about ten for every one of them; a
CUDA graph starts them all at once. The kernels are the same ones, so that the numbers are too.
"""

from collections import Counter
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

NUM_BEFORE = 3
"""Steps with inputs of a shape that are taken as they come, in which torch and its libraries make what they keep."""
Step = Callable[..., Tensor]


class Captured:
    """A step, called with tensors, that reads and writes nothing else but tensors that stay where they are.

    Elsewhere than on a GPU it is called as it is. There, after a few calls with inputs of the same shapes, it is
    captured as a CUDA graph, and from then on the graph is replayed on copies of the inputs: what Python does in it
    happens no more. So it must not depend on numbers that Python has; nor wait for the GPU.
    """

    def __init__(self, step: Step, device: torch.device, generators: Sequence[torch.Generator] = ()) -> None:
        """`generators` are those that it draws from, beside torch's own."""
        self._step, self._generators = step, generators
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._num_calls: Counter[tuple[torch.Size, ...]] = Counter()
        self._graphs: dict[tuple[torch.Size, ...], tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor]] = {}

    def __call__(self, *inputs: Tensor) -> Tensor:
        """What the step gives; on a GPU, only until it is called again."""
        if self._stream is None:
            return self._step(*inputs)
        shapes = tuple(given.shape for given in inputs)
        self._num_calls[shapes] += 1
        if self._num_calls[shapes] <= NUM_BEFORE:
            return self._beside(self._stream, inputs)
        if shapes not in self._graphs:
            self._graphs[shapes] = self._capture(self._stream, inputs)
        graph, own, outcome = self._graphs[shapes]
        for there, given in zip(own, inputs, strict=True):
            there.copy_(given)
        graph.replay()
        return outcome

    def _beside(self, stream: torch.cuda.Stream, inputs: Sequence[Tensor]) -> Tensor:
        """Call the step on the stream on which it will be captured, as torch wants it."""
        current = torch.cuda.current_stream(stream.device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            outcome = self._step(*inputs)
        current.wait_stream(stream)
        return outcome

    def _capture(
        self, stream: torch.cuda.Stream, inputs: Sequence[Tensor]
    ) -> tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor]:
        own, graph = [given.clone() for given in inputs], torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        with torch.cuda.graph(graph, stream=stream):
            outcome = self._step(*own)
        return graph, own, outcome
