"""The features of a run: what the configured encoder gives, posters added, width checked."""

from __future__ import annotations

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemEncoder, ItemFeatures
from genrec.features.fusion import Concat
from genrec.features.poster_file import PosterFile


def build_features(
    encoder: ItemEncoder,
    items: ItemTable,
    train: Interactions,
    poster_feature_path: str | None = None,
    expected_width: int | None = None,
) -> ItemFeatures:
    """Encode the catalogue.

    Args:
        poster_feature_path: `.npy` of poster features to put beside the encoder's, or None.
        expected_width: the width that the tokenizer is configured for; None accepts any.

    Raises:
        ConfigError: the width differs; the message says what each modality contributes.
    """
    if poster_feature_path is not None:
        encoder = Concat([encoder, PosterFile(poster_feature_path)])
    features = encoder.encode(items, train)
    if expected_width is not None and features.width != expected_width:
        parts = " + ".join(f"{width} {modality}" for modality, width in features.parts)
        raise ConfigError(
            f"train.vae_input_dim is {expected_width} but the item features have {features.width} columns "
            f"({parts}); set it to {features.width} or change train.features"
        )
    return features
