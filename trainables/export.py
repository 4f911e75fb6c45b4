"""Networks as files that other programs run, torch.export's and ONNX, seen to give what the network gives."""

import io
import logging
import warnings
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

RELATIVE, ABSOLUTE = 1e-4, 1e-5
"""How far an exported network's outputs may be from the network's: ABSOLUTE + RELATIVE * |output|; other kernels add
float32 numbers in another order."""
BATCHES = (1, 2, 33)
"""Sizes that are tried: an exported network takes batches of any."""


def as_program(network: nn.Module) -> bytes:
    """What `torch.export.load` reads; ArithmeticError where its outputs are others."""
    content = io.BytesIO()
    torch.export.save(_traced(network), content)
    content.seek(0)
    _check(network, torch.export.load(content).module())
    return content.getvalue()


def as_onnx(network: nn.Module) -> bytes:
    """An ONNX model from `input` to `output`; ArithmeticError where its outputs are others, by onnxruntime.

    ModuleNotFoundError without onnx, onnxscript and onnxruntime (the extra "export").
    """
    import onnxruntime

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own code
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        names: dict[str, Any] = {"input_names": ["input"], "output_names": ["output"]}
        program = torch.onnx.export(_traced(network), dynamo=True, verbose=False, **names)
    assert program is not None
    content: bytes = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    _check(network, lambda inputs: torch.from_numpy(session.run(None, {"input": inputs.numpy()})[0]))
    return content


def _examples(network: nn.Module, number: int) -> Tensor:
    draws = torch.Generator().manual_seed(number)
    return torch.rand(number, *cast(tuple[int, ...], network.input_shape), generator=draws)


def _traced(network: nn.Module) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch")
    return torch.export.export(network.eval(), (_examples(network, 2),), dynamic_shapes=({0: batch},))


def _check(network: nn.Module, exported: Callable[[Tensor], Tensor]) -> None:
    for number in BATCHES:
        inputs = _examples(network, number)
        with torch.inference_mode():
            wanted, got = network(inputs), exported(inputs)
        if got.shape != wanted.shape or not torch.allclose(got, wanted, RELATIVE, ABSOLUTE):
            raise ArithmeticError(f"exported, this {type(network).__name__} gives other outputs for {number} inputs")
