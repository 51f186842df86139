"""Photos: which row has which, decoding, the cache, augmentation. Knows nothing of tables."""

from tabimg.image.augment import Augmentation, Augmenter, plain, stored_size
from tabimg.image.cache import ImageCache, build_image_cache, image_fingerprint
from tabimg.image.options import PhotoOptions
from tabimg.image.reader import ImageReadError, read_image
from tabimg.image.refusal import MAX_PIXELS
from tabimg.image.sources import RowImages

__all__ = [
    "MAX_PIXELS",
    "Augmentation",
    "Augmenter",
    "ImageCache",
    "ImageReadError",
    "PhotoOptions",
    "RowImages",
    "build_image_cache",
    "image_fingerprint",
    "plain",
    "read_image",
    "stored_size",
]
