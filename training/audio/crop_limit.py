"""Maximum length of a training crop: a patch of the audio input, or the window without patches."""

from __future__ import annotations

from models.card import AudioInput
from training.errors import BadCrop


def check_crop_length(crop_s: float, audio: AudioInput) -> None:
    """Refuse a crop that is longer than a patch, since patches are of different times.

    Raises
    ------
    BadCrop
    """
    if crop_s > (audio.patches.seconds if audio.patches else audio.window_s):
        raise bad_crop(crop_s, audio)


def bad_crop(crop_s: float, audio: AudioInput, segment_s: float = 0) -> BadCrop:
    """The error of a crop that does not fit; `segment_s` of a teacher whose segments count."""
    if audio.patches is None:
        return BadCrop(crop_s, audio.window_s, segment_s)
    return BadCrop(crop_s, audio.patches.seconds, segment_s, of="patches")
