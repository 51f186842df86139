"""Photos: which row has which, decoding, the cache, augmentation. Knows nothing of tables."""

from tabimg.image.augment import (
    Augmentation,
    Augmenter,
    fixed_views,
    n_fixed_views,
    plain,
    stored_size,
)
from tabimg.image.cache import ImageCache, build_image_cache, hold, image_fingerprint
from tabimg.image.decoding import Decoder
from tabimg.image.fingerprint import source_key
from tabimg.image.options import PhotoOptions
from tabimg.image.parquet import ParquetPhotos, check_parquet_photos
from tabimg.image.reader import ImageReadError, read_image
from tabimg.image.refusal import MAX_PIXELS
from tabimg.image.sources import RowImages

__all__ = [
    "MAX_PIXELS",
    "Augmentation",
    "Augmenter",
    "Decoder",
    "ImageCache",
    "ImageReadError",
    "ParquetPhotos",
    "PhotoOptions",
    "RowImages",
    "build_image_cache",
    "check_parquet_photos",
    "fixed_views",
    "hold",
    "image_fingerprint",
    "n_fixed_views",
    "plain",
    "read_image",
    "source_key",
    "stored_size",
]
