"""The exercises of lesson 17: frames, spectrum, mels, decibels, a few numbers a frame, the beat."""

from scratchmm.exercises.lesson_17_sound_and_its_features import (
    dct_bank,
    decibels_bank,
    frame_bank,
    mel_filters_bank,
    resample_bank,
    spectral_centroid_bank,
    stft_bank,
    tempo_bank,
    zero_crossing_rate_bank,
)

EXERCISES = (
    frame_bank.exercise,
    stft_bank.exercise,
    mel_filters_bank.exercise,
    decibels_bank.exercise,
    dct_bank.exercise,
    spectral_centroid_bank.exercise,
    zero_crossing_rate_bank.exercise,
    tempo_bank.exercise,
    resample_bank.exercise,
)
