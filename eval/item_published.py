"""Published figures that stand beside ours, as printed. None of them was measured here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from convrec.eval.protocols import Protocol

_STANDARD = "Kostric & Balog, SIGIR 2026 (their re-runs, trained on all 10,006 training dialogues)"
_ZERO_SHOT = "He et al., CIKM 2023 (zero-shot, titles outside the catalogue dropped)"
_UNICRS = "the systems' own papers (repeats counted; each with its own preparation of the data)"
PUBLISHED_SOURCE: Mapping[Protocol, str] = {
    "full": _STANDARD,
    "novel": _STANDARD,
    "cikm": _ZERO_SHOT,
    "unicrs": _UNICRS,
}


class Published(NamedTuple):
    """recall@k by k; success rate and reward per dialogue length where given."""

    recall: Mapping[int, float]
    sr: float | None = None
    rdl: float | None = None


def _standard(r1: float, r10: float, r50: float, sr: float, rdl: float) -> Published:
    return Published({1: r1, 10: r10, 50: r50}, sr, rdl)


PUBLISHED: Mapping[tuple[str, str, Protocol], Mapping[str, Published]] = {
    ("redial", "test", "full"): {
        "KBRD": _standard(0.033, 0.177, 0.332, 0.103, 0.049),
        "KGSF": _standard(0.032, 0.177, 0.369, 0.093, 0.048),
        "UniCRS": _standard(0.049, 0.213, 0.421, 0.101, 0.041),
        "ECR": _standard(0.049, 0.220, 0.428, 0.104, 0.041),
        "MESE": _standard(0.032, 0.178, 0.381, 0.113, 0.051),
        "PECRS": _standard(0.044, 0.189, 0.383, 0.121, 0.053),
        "ReFICR (7B LLM)": _standard(0.049, 0.270, 0.507, 0.151, 0.074),
        "naive echo": _standard(0.043, 0.090, 0.090, 0.100, 0.009),
    },
    ("redial", "test", "novel"): {
        "KBRD": _standard(0.017, 0.148, 0.300, 0.046, 0.036),
        "KGSF": _standard(0.016, 0.147, 0.327, 0.036, 0.036),
        "UniCRS": _standard(0.024, 0.180, 0.335, 0.048, 0.030),
        "ECR": _standard(0.026, 0.181, 0.337, 0.063, 0.033),
        "MESE": _standard(0.025, 0.159, 0.361, 0.051, 0.043),
        "PECRS": _standard(0.022, 0.143, 0.341, 0.052, 0.047),
        "ReFICR (7B LLM)": _standard(0.018, 0.213, 0.465, 0.053, 0.053),
        "naive echo": _standard(0.0, 0.0, 0.0, 0.0, 0.0),
    },
    ("redial", "test", "cikm"): {
        "GPT-4": Published({1: 0.0504, 5: 0.1397, 10: 0.2008, 20: 0.2675}),
        "GPT-3.5": Published({1: 0.0431, 5: 0.1264, 10: 0.1831, 20: 0.2241}),
    },
    ("inspired", "test", "cikm"): {
        "GPT-4": Published({1: 0.0664, 5: 0.1327, 10: 0.1848, 20: 0.2180}),
    },
    ("redial", "test", "unicrs"): {
        "GCRS (Qwen2.5-7B)": Published({1: 0.069, 10: 0.243}),
        "ReFICR, lowest printed": Published({1: 0.049, 10: 0.280, 50: 0.522}),
        "ReFICR, highest printed": Published({1: 0.061, 10: 0.305, 50: 0.532}),
        "MSCRS": Published({1: 0.057, 10: 0.230}),
    },
    ("inspired", "test", "unicrs"): {
        "UniCRS": Published({1: 0.098, 10: 0.238}),
        "MSCRS": Published({1: 0.102, 10: 0.277}),
        "GCRS (n = 309)": Published({1: 0.146, 10: 0.295}),
        "Llama2 + FNSCRS (n not stated)": Published({1: 0.093, 10: 0.283, 50: 0.509}),
    },
}
"""By data set, split and protocol."""
