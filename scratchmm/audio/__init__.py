"""From sound to features: reading, spectra, mel bands, a network that classifies sounds."""

from typing import Any

from scratchmm.lazily import find, homes_of

_HOMES = homes_of(
    {
        "waveform": "read_sound write_sound mix_to_mono resample pad_together trim",
        "spectrum": "stft istft decibels",
        "mel": "mel_filters mel_spectrogram log_mel whisper_log_mel mfcc",
        "features": "rms zero_crossing_rate spectral_centroid spectral_rolloff chroma",
        "rhythm": "onset_strength tempo",
        "audio_cnn": "AudioCNNConfig AudioCNN frame_mask class_activation",
    }
)
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    return find(__name__, _HOMES, name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
