"""Scores speech: reads lines "REFERENCE SEGMENTS HEARD" (files), answers each with a line of JSON.

REFERENCE and HEARD are signed 16-bit samples at 8 kHz, SEGMENTS are lines "first count" of samples.

delay_ms: the mean over all places with speech in them of how far HEARD is behind REFERENCE, by the
cross-correlation of windows of 240 ms, each 100 ms; places that are not found again do not count.
pesq: the mean of ITU-T P.862.1 over the segments, each at its own median delay.
"""

import json
import sys

import numpy as np
from pesq import PesqError, pesq

RATE = 8000
WINDOW, STEP, LAGS = int(0.24 * RATE), int(0.1 * RATE), RATE
ALIKE = 0.75


def lag(reference, heard):
    """By how many samples `heard` is behind, or None if it is something else."""
    size = 1 << int(np.ceil(np.log2(len(heard) + len(reference))))
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(reference, size)), size)[:LAGS]
    energy = np.concatenate([[0.0], np.cumsum(heard * heard)])
    energy = energy[WINDOW:WINDOW + LAGS] - energy[:LAGS]
    alike = product / np.sqrt(energy * (reference @ reference) + 1e3)
    best = int(np.argmax(alike))
    return best if alike[best] > ALIKE else None


def lags(reference, heard):
    reference = reference.astype(float)
    heard = np.concatenate([heard.astype(float), np.zeros(WINDOW + LAGS)])
    loud = 0.25 * np.mean(reference ** 2)
    found = []
    for at in range(0, len(reference) - WINDOW, STEP):
        piece = reference[at:at + WINDOW]
        if np.mean(piece ** 2) >= loud and at + WINDOW + LAGS <= len(heard):
            by = lag(piece, heard[at:at + WINDOW + LAGS])
            if by is not None:
                found.append((at, by))
    return np.array(found if found else [(0, 0)])


def segment_score(reference, heard):
    heard = np.concatenate([heard, np.zeros(max(0, len(reference) - len(heard)), np.int16)])
    try:
        return pesq(RATE, reference, heard, "nb")
    except (PesqError, ValueError):  # No voice in it, or nothing at all.
        return 1.0


for line in sys.stdin:
    reference, segments, heard = line.split()
    reference, heard = np.fromfile(reference, np.int16), np.fromfile(heard, np.int16)
    found = lags(reference, heard)
    scores = []
    for first, count in np.loadtxt(segments, dtype=int, ndmin=2):
        here = found[(found[:, 0] >= first) & (found[:, 0] < first + count)]
        by = int(np.median((here if len(here) else found)[:, 1]))
        scores.append(segment_score(reference[first:first + count], heard[first + by:first + count + by]))
    answer = {"pesq": float(np.mean(scores)), "delay_ms": float(np.mean(found[:, 1])) * 1000 / RATE}
    print(json.dumps(answer), flush=True)
