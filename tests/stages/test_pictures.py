"""Images in figures: what models made stands beside what is real, and a title says which model it was."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from orchestrator.engine.stage import Picture
from orchestrator.stages.gan.pictures import pictures
from tests.stages.drawings import gan_epochs
from tests.stages.games import NO_SEARCH, book_with_a_classifier
from tests.stages.known import grey, with_models
from tests.stages.made_up import recorded
from trainables.images import unit_pixels


def rows_of(picture: Picture, columns: int) -> tuple[list[NDArray[np.float64]], str]:
    """The rows of images of a figure, each of shape (columns, 28, 28), and its title."""
    figure = picture.draw()
    assert isinstance(figure, Figure)
    rows = [np.asarray(image.get_array()).reshape(30, columns, 30) for image in figure.axes[0].images]
    return [row.swapaxes(0, 1)[:, 1:-1, 1:-1] for row in rows], figure.get_suptitle()


def test_generated_images_stand_below_held_out_real_ones_and_the_title_says_which_gan(tmp_path: Path) -> None:
    made = book_with_a_classifier(tmp_path, **NO_SEARCH)
    recorded(made, "gan", lambda trial: ([], {}))
    drawn = {}
    for number, trial in enumerate(made.study("gan").trials):
        drawn[trial.key] = np.full((10, 28, 28), 10 * number, np.uint8)
        made.records("gan").save_arrays(trial.address, {"epoch-001.images": drawn[trial.key]})
    tables = {"gan_epochs": gan_epochs(1), "gans": pd.DataFrame({"floor_distance": [1.0]})}
    context = made.context("gan")
    by_name = {picture.name: picture for picture in pictures(context, tables)}
    for record in context.own_records:
        gan = record.config.gan.loss
        (real, generated), title = rows_of(by_name[f"gan_samples_{record.config.arm}_{gan}"], columns=10)
        np.testing.assert_allclose(real, made.data.train_images[-10:] / 255)
        np.testing.assert_allclose(generated, drawn[record.key] / 255)
        recipe = {"paper": "the paper's recipe", "tuned": "tuned recipe"}[record.config.arm]
        assert title.startswith(f"{gan.replace('_', '-').capitalize()} GAN, {recipe}, seed {record.seed}\n")
    assert "whose d was 0.21 to 0.21" in by_name["gan_gradients"].caption


def test_pictures_of_a_decoder_have_real_images_in_them_and_titles_say_how_good_the_model_is(tmp_path: Path) -> None:
    images = grey(120, 20)
    book = with_models(tmp_path, images)
    by_name = {picture.name: picture for picture in book.stages["refit"].figures(book.context("refit"), {})}
    test = unit_pixels(images.test_images)
    between, title = rows_of(by_name["refit_interpolations"], columns=11)
    np.testing.assert_allclose([row[0] for row in between], test[0:16:2])
    np.testing.assert_allclose([row[-1] for row in between], test[1:16:2])
    samples, of_samples = rows_of(by_name["refit_samples"], columns=10)
    np.testing.assert_allclose(samples[0], test[:10])
    _, of_best = rows_of(by_name["refit_best"], columns=10)
    _, of_table1 = rows_of(by_name["refit_paper_table1"], columns=10)
    for said in (title, of_samples, of_best):
        assert said.startswith(f"The search's best: latent size 2, test MSE 0.2500, seed {book.settings.seed}\n")
    assert of_table1.startswith("Table 1: latent size 2, test MSE 0.2500")
