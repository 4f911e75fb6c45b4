"""What the tables of the GANs' scores hold."""

from orchestrator.engine.tables import schema
from orchestrator.stages.columns import ARM, category, integer, real, text

PIXELS_DISTANCE = real("frechet_distance_pixels", "the same along the first 64 principal components of the pixels")
SCORES = (
    real("frechet_distance", "Frechet distance of as many images as there are test images from these, in features"),
    PIXELS_DISTANCE,
    real("kernel_distance", "squared maximum mean discrepancy in features (KID), unbiased: 0 where nothing differs"),
    real("precision", "share of the images that lie among the test images; grey noise may have 1"),
    real("recall", "share of the test images that lie among the images"),
    real("density", "test images' neighbourhoods that an image lies in, over 5, mean; may exceed 1"),
    real("coverage", "share of test images with any of the images among their five nearest neighbours"),
    real("two_sample_accuracy", "share of images told from test images by the nearest neighbour; 0.5 is ideal"),
)
"""Of images beside the test images, as trainables.gan_scores measures them."""
REFERENCES = schema(
    category("images", "train: the first training images; grey_noise; upside_down: the test images, bottom up"),
    integer("num_images", "how many; as many as there are test images"),
    *SCORES,
)
"""What the scores are of images that are no generator's."""
SECTIONS = schema(
    category("blocks", "sequential: the training images in the files' order; random: in an order drawn at random"),
    integer("partition", "number of the order, from 0, that was cut into six blocks"),
    integer("number", "of the block, from 0"),
    integer("num_images", "images of the block"),
    real("frechet_distance", "of the block from the test images, in the classifier's features"),
    PIXELS_DISTANCE,
)
"""How far sections of the training images are from the test images."""
LAYERS = schema(
    ARM,
    category("network", "generator or discriminator"),
    integer("layer", "number of the layer, from 1"),
    category("kind", "the layer's class in torch.nn"),
    integer("in_channels", "channels that it takes; missing where it is no convolution, like the next four"),
    integer("out_channels", "channels that it gives"),
    integer("kernel", "height and width of its kernel"),
    integer("stride", "its stride"),
    integer("padding", "its padding"),
    text("output_shape", "what one random vector or one image becomes: channels x height x width"),
    integer("num_parameters", "trainable numbers in it"),
)
"""The layers of both networks, of each arm."""
