"""The table of layers is the paper's Table 1, and its parameters are all of the model's."""

from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.stages.refit.layers import layer_table
from trainables.autoencoder import build
from trainables.autoencoder_settings import PAPER_TABLE1, AutoencoderSettings


@given(
    filters=st.tuples(*[st.integers(1, 20)] * 3),
    neurons=st.integers(1, 50),
    latent_dim=st.integers(1, 20),
    kernel_size=st.sampled_from([3, 5]),
    batch_norm=st.booleans(),
    relu=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_layers_have_all_parameters_of_the_model(
    filters: tuple[int, int, int],
    neurons: int,
    latent_dim: int,
    kernel_size: Literal[3, 5],
    batch_norm: bool,
    relu: bool,
) -> None:
    sizes = AutoencoderSettings(
        filters=filters,
        neurons=neurons,
        latent_dim=latent_dim,
        kernel_size=kernel_size,
        batch_norm=batch_norm,
        relu=relu,
    )
    assert sizes.num_parameters == sum(row["num_parameters"] for row in layer_table(build(sizes, seed=0)))


def test_layer_table_is_the_paper_s_table_1() -> None:
    """Channels are those going out of a convolution and those going into a transposed one, as in the paper."""
    rows = [
        (
            row["layer"],
            row["in_channels" if row["layer"].startswith("deconv") else "out_channels"],
            (row["kernel"], row["stride"], row["padding"]),
            row["activation"],
            row["batch_norm"],
        )
        for row in layer_table(build(PAPER_TABLE1, seed=0))
        if row["layer"] not in {"lin3", "output"}  # Table 1 leaves them out
    ]
    without = (None, None, None)
    assert rows == [
        ("conv1", 7, (3, 2, 1), "ReLU", True),
        ("conv2", 10, (3, 2, 1), "ReLU", True),
        ("conv3", 16, (3, 2, 0), "ReLU", True),
        ("lin1", 32, without, "ReLU", False),
        ("latent", 3, without, None, False),
        ("lin2", 32, without, "ReLU", False),
        ("deconv1", 16, (3, 2, 0), "ReLU", True),
        ("deconv2", 10, (3, 2, 1), "ReLU", True),
        ("deconv3", 7, (3, 2, 1), "ReLU", True),
    ]


def test_layer_table_says_what_stands_between_the_paper_s_rows() -> None:
    rows = {row["layer"]: row for row in layer_table(build(PAPER_TABLE1, seed=0))}
    assert sum(row["num_parameters"] for row in rows.values()) == 14_068
    assert (rows["lin3"]["out_channels"], rows["lin3"]["activation"]) == (144, None)
    assert (rows["output"]["output_shape"], rows["output"]["activation"]) == ("1x28x28", "Sigmoid")
    assert [rows[f"deconv{n}"]["output_padding"] for n in (1, 2, 3)] == [0, 1, 1]
    assert {rows[f"conv{n}"]["acts_on"] for n in (1, 2, 3)} == {"output"}
    assert {rows[f"deconv{n}"]["acts_on"] for n in (1, 2, 3)} == {"input"}
