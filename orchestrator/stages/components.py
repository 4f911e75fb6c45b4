"""The principal components of images, which autoencoders are held against."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.images import Images, flat_pixels

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

MOST_COMPONENTS = 64
"""Components of PCA that errors are told of."""
MOST_EXACT = 4096
"""Numbers of an image up to which components are exact; their covariance has the square of it."""


def fit_pca(images: Images, number: int | None = None) -> PCA:
    """So many principal components, or all of them, exact, of the images' whole covariance.

    Of images with more than MOST_EXACT numbers, random projections find the first MOST_COMPONENTS.
    """
    from sklearn.decomposition import PCA  # by whoever fits: workers do without

    rows = flat_pixels(images)
    if rows.shape[1] <= MOST_EXACT:
        return PCA(number, svd_solver="covariance_eigh").fit(rows)
    return PCA(min(number or MOST_COMPONENTS, len(rows)), svd_solver="randomized", random_state=0).fit(rows)
