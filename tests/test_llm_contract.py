"""The contract that every LLM backend keeps, on the scripted model, on SmolLM2 in this process and over HTTP.

For another endpoint: CONVREC_CONTRACT_URL, CONVREC_CONTRACT_MODEL and CONVREC_CONTRACT_KEY name it, and
``CONVREC_CONTRACT_CONTEXT`` says how many tokens it takes; :class:`TestEndpoint` then runs the suite against it.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from convrec.agent.llm.base import LLM, Completion, Message, metered
from convrec.agent.llm.openai_compatible import list_models, served_chat
from convrec.agent.llm.resolve import SERVED_CONCURRENCY, resolve
from convrec.agent.llm.scripted import scripted
from convrec.agent.llm.xllamacpp_chat import XllamacppChat
from convrec.core.errors import LLMBadOutput, LLMError, LLMTimeout, LLMUnavailable
from convrec.core.settings import load_settings
from llm_contract_parts import CONTEXT, HELLO, POEM, QUESTIONS, SCHEMA, SMOL, TIMEOUT_S, smol_file


@pytest.fixture(scope="module")
def smol() -> Iterator[XllamacppChat]:
    """One engine for the module. One thread: two of them starve each other when the machine has other work."""
    chat = XllamacppChat(model_path=smol_file(), threads=1, context=CONTEXT, timeout_s=TIMEOUT_S)
    yield chat
    chat.close()


def say(messages: Sequence[Message], schema: dict[str, Any] | None) -> str | LLMError:
    if sum(len(text.split()) for _, text in messages) > CONTEXT:
        return LLMError(f"the prompt has more than {CONTEXT} tokens. Shorten it")
    if schema is not None:
        return '{"action": "chat", "genres": ["Comedy"]}'
    return "Hello there, dear Ann, how are you today? " * (40 if "poem" in messages[-1][1] else 1)


class LLMContract:
    """What every backend keeps. Subclasses bring the ``llm`` fixture."""

    def test_answers_and_counts(self, llm: LLM) -> None:
        done = llm.complete(HELLO, max_tokens=12)
        assert done.text.strip()
        assert done.prompt_tokens > 5
        assert 0 < done.generated_tokens <= 12
        assert done.finish_reason in ("stop", "length")
        assert done.seconds > 0

    def test_stream_is_the_same_answer_in_pieces(self, llm: LLM) -> None:
        whole = llm.complete(HELLO, max_tokens=12)
        *pieces, last = llm.stream(HELLO, max_tokens=12)
        assert isinstance(last, Completion)
        assert all(isinstance(piece, str) and piece for piece in pieces)
        assert len(pieces) > 1
        assert "".join(str(piece) for piece in pieces) == last.text == whole.text
        assert (last.prompt_tokens, last.generated_tokens) == (whole.prompt_tokens, whole.generated_tokens)
        assert last.finish_reason == whole.finish_reason

    def test_schema_gives_json_of_that_form(self, llm: LLM) -> None:
        done = llm.complete([("user", "I would like a comedy.")], schema=SCHEMA, max_tokens=60)
        answer = json.loads(done.text)
        assert set(answer) == {"action", "genres"}
        assert answer["action"] in ("recommend", "chat")
        assert set(answer["genres"]) <= {"Comedy", "Drama"}
        assert done.finish_reason == "stop"

    def test_cut_off_json_is_bad_output(self, llm: LLM) -> None:
        with pytest.raises(LLMBadOutput, match="cut off"):
            llm.complete([("user", "I would like a comedy.")], schema=SCHEMA, max_tokens=2)

    def test_cut_off_text_says_so(self, llm: LLM) -> None:
        done = llm.complete([("user", "Write a long poem about the sea.")], max_tokens=8)
        assert done.finish_reason == "length"
        assert done.generated_tokens == 8
        *_, last = llm.stream([("user", "Write a long poem about the sea.")], max_tokens=8)
        assert isinstance(last, Completion)
        assert last.finish_reason == "length"

    def test_yes_no_gives_finite_margins_in_order(self, llm: LLM) -> None:
        margins = llm.yes_no(QUESTIONS)
        assert margins is not None
        assert len(margins) == len(QUESTIONS)
        assert all(math.isfinite(value) for value in margins)
        assert len(set(margins)) > 1
        backwards = llm.yes_no(QUESTIONS[::-1])
        assert backwards is not None
        assert backwards[::-1] == pytest.approx(margins, abs=0.3)
        assert llm.yes_no([]) == []

    def test_a_prompt_beyond_the_context_is_a_clear_error(self, llm: LLM) -> None:
        with pytest.raises(LLMError, match=r"(?i)tokens") as caught:
            llm.complete([("user", "x " * (CONTEXT + 200))], max_tokens=2)
        assert str(CONTEXT) in str(caught.value)
        with pytest.raises(LLMError, match=r"(?i)tokens"):
            list(llm.stream([("user", "x " * (CONTEXT + 200))], max_tokens=2))
        assert llm.complete(HELLO, max_tokens=2).text, "it goes on answering"

    def test_a_closed_stream_leaves_the_backend_free(self, llm: LLM) -> None:
        stream = llm.stream([("user", "Write a long poem about the sea.")], max_tokens=300)
        assert isinstance(next(stream), str)
        stream.close()  # type: ignore[attr-defined]
        start = time.monotonic()
        assert llm.complete(HELLO, max_tokens=2).text
        assert time.monotonic() - start < 20

    def test_two_threads_get_their_own_answers(self, llm: LLM) -> None:
        alone = [llm.complete([("user", f"Count from {n}.")], max_tokens=6).text for n in (1, 50)]
        together: dict[int, str] = {}

        def ask(n: int) -> None:
            together[n] = llm.complete([("user", f"Count from {n}.")], max_tokens=6).text

        threads = [threading.Thread(target=ask, args=(n,)) for n in (1, 50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT_S)
        assert [together[1], together[50]] == alone

    def test_warm_can_be_called_from_a_thread_and_twice(self, llm: LLM) -> None:
        thread = threading.Thread(target=llm.warm, args=(HELLO[:1],))
        thread.start()
        llm.warm(HELLO[:1])
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()
        llm.warm([])

    def test_odd_text_is_only_text(self, llm: LLM) -> None:
        odd: list[Message] = [
            ("user", "\u202e<|im_end|> \\u0000 {{7*7}} 'quote\" 😀 é"),
            ("assistant", "Yes?"),
            HELLO[1],
        ]
        assert llm.complete(odd, max_tokens=3).text

    def test_a_call_that_takes_too_long_is_given_up_and_the_next_one_works(self, llm: LLM) -> None:
        start = time.monotonic()
        with pytest.raises(LLMTimeout):
            llm.complete(POEM, max_tokens=800, timeout_s=0.1)
        with pytest.raises(LLMTimeout):
            list(llm.stream(POEM, max_tokens=800, timeout_s=0.1))
        assert time.monotonic() - start < 20
        assert llm.complete(HELLO, max_tokens=2).text

    def test_calls_and_tokens_are_counted(self, llm: LLM) -> None:
        with metered() as cost:
            llm.complete(HELLO, max_tokens=4)
            llm.yes_no(QUESTIONS)
        assert cost.calls == 1 + len(QUESTIONS)
        assert cost.prompt_tokens > len(QUESTIONS)
        assert cost.generated_tokens >= cost.calls
        with metered() as none:
            pass
        assert none.calls == 0

    def test_a_plan_that_is_garbage_is_bad_output_and_nothing_else(self, llm: LLM) -> None:
        """Whatever comes back under a schema is JSON or an error of ours."""
        for text in ("\u0000\u202e", "}{", "Answer with the word no and nothing else."):
            try:
                json.loads(llm.complete([("user", text)], schema=SCHEMA, max_tokens=40).text)
            except LLMBadOutput:
                continue

    def test_a_backend_that_was_closed_is_gone(self, llm: LLM) -> None:
        other = LLM(llm._ready, name="gone", tier=llm.tier)
        other.close()
        for call in (lambda: other.complete(HELLO), lambda: list(other.stream(HELLO)), lambda: other.yes_no(QUESTIONS)):
            with pytest.raises(LLMUnavailable, match="closed"):
                call()


class TestScripted(LLMContract):
    @pytest.fixture
    def llm(self) -> LLM:
        return scripted(say, delay_s=0.002, yes_no=lambda messages: {"d": 2.0, "s": -1.5}.get(messages[-1][1][5], 0.25))


@pytest.mark.models
class TestEmbedded(LLMContract):
    @pytest.fixture
    def llm(self, smol: XllamacppChat) -> LLM:
        return LLM(lambda: smol, name=SMOL, tier="embedded", timeout_s=TIMEOUT_S)

    def test_a_repeated_beginning_is_not_evaluated_again(self, llm: LLM, smol: XllamacppChat) -> None:
        def evaluated(system: str, user: str) -> int:
            answer = smol.invoke([("system", system), ("user", user)], max_tokens=1, temperature=0.0)
            return int(answer.response_metadata["timings"]["prompt_n"])

        first, second = "You plan trips. " * 20, "You write songs. " * 20
        llm.warm([("system", first)])
        llm.warm([("system", second)])
        # Two fixed beginnings in turn, as of the planner and the reply: both stay evaluated.
        assert evaluated(first, "To Rome!") < 30
        assert evaluated(second, "A waltz!") < 30
        assert evaluated(first, "To Oslo!") < 30

    def test_json_has_no_white_space(self, llm: LLM) -> None:
        text = llm.complete([("user", "I would like a comedy.")], schema=SCHEMA, max_tokens=60).text
        assert text == json.dumps(json.loads(text), separators=(",", ":"))

    def test_a_call_that_takes_too_long_is_stopped(self, smol: XllamacppChat) -> None:
        hasty = smol.model_copy(update={"timeout_s": 0.3})
        assert hasty.engine is smol.engine
        llm = LLM(lambda: hasty, name=SMOL, tier="embedded", timeout_s=0.3)
        start = time.monotonic()
        with pytest.raises(LLMTimeout, match=r"0\.3 s"):
            llm.complete([("user", "Write a long poem about the sea.")], max_tokens=900)
        with pytest.raises(LLMTimeout):
            list(llm.stream([("user", "Write a long poem about the moon.")], max_tokens=900))
        assert time.monotonic() - start < 5
        slow = LLM(lambda: smol, name=SMOL, tier="embedded", timeout_s=TIMEOUT_S)
        assert slow.complete(HELLO, max_tokens=2).text
        assert time.monotonic() - start < 60, "the stopped calls did not go on"

    def test_its_http_endpoint_asks_for_a_key(self, smol: XllamacppChat) -> None:
        with pytest.raises(LLMUnavailable, match="the key is refused"):
            list_models(f"{smol.engine.address}/v1", "none")

    def test_a_program_can_end_in_the_middle_of_an_answer(self) -> None:
        code = f"""
from pathlib import Path
from convrec.agent.llm.base import LLM
from convrec.agent.llm.xllamacpp_chat import XllamacppChat
file = Path({str(smol_file())!r})
llm = LLM(lambda: XllamacppChat(model_path=file, threads=1, context=512), name="m", tier="embedded")
stream = llm.stream([("user", "Write a long poem about the sea.")], max_tokens=400)
next(stream)
raise SystemExit(7)
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 7, done.stderr
        assert done.stderr == ""
        assert done.stdout == ""

    def test_closed_is_closed(self) -> None:
        llm = LLM(lambda: XllamacppChat(model_path=smol_file(), threads=1, context=512), name=SMOL, tier="embedded")
        assert llm.complete(HELLO, max_tokens=2).text
        llm.close()
        llm.close()
        with pytest.raises(LLMUnavailable, match="closed"):
            llm.complete(HELLO, max_tokens=2)


@pytest.mark.models
class TestServed(LLMContract):
    @pytest.fixture
    def llm(self, smol: XllamacppChat) -> Iterator[LLM]:
        base_url = f"{smol.engine.address}/v1"
        model = list_models(base_url, smol.engine.key)[0]
        llm = LLM(
            lambda: served_chat(base_url, model, smol.engine.key, TIMEOUT_S),
            name=model,
            tier="served",
            timeout_s=TIMEOUT_S,
            concurrency=SERVED_CONCURRENCY,
        )
        yield llm
        llm.close()

    def test_the_same_model_says_the_same_either_way(self, llm: LLM, smol: XllamacppChat) -> None:
        embedded = LLM(lambda: smol, name=SMOL, tier="embedded")
        assert llm.complete(HELLO, max_tokens=8).text == embedded.complete(HELLO, max_tokens=8).text

    def test_a_wrong_key_is_named(self, smol: XllamacppChat) -> None:
        llm = LLM(lambda: served_chat(f"{smol.engine.address}/v1", "m", "wrong", TIMEOUT_S), name="m", tier="served")
        with pytest.raises(LLMUnavailable, match="refuses the key"):
            llm.complete(HELLO)
        llm.close()

    def test_resolved_from_settings(self, smol: XllamacppChat, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MY_KEY", smol.engine.key)
        options = {"base_url": f"{smol.engine.address}/v1", "api_key_env": "MY_KEY", "timeout_s": TIMEOUT_S}
        found = resolve(load_settings(tier="auto", llm=options))
        assert found.tier == "served"
        assert found.llm is not None
        assert found.llm.complete(HELLO, max_tokens=2).text
        found.llm.close()
        with pytest.raises(LLMUnavailable, match="does not serve 'gpt'"):
            resolve(load_settings(tier="served", llm={**options, "model": "gpt"}))


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama of two layers with random weights and a byte tokenizer: it babbles, but it is a real model."""
    import tokenizers
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("tiny-llama")
    letters = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    words = ["<s>", "</s>", "Yes", "No", *letters]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[], fuse_unk=False)
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    fast.chat_template = "{% for m in messages %}{{ m['role'][0] }}:{{ m['content'] }} {% endfor %}a:"
    fast.save_pretrained(folder)
    torch.manual_seed(3)
    shape = transformers.LlamaConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=4096, eos_token_id=1, bos_token_id=0,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(shape)
    model.lm_head.weight.data[2:4] *= 12  # it has an opinion on yes and no
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny_chat(tiny_folder: Path) -> Iterator[Any]:
    from convrec.agent.llm.transformers_chat import TransformersChat

    chat = TransformersChat(source=str(tiny_folder), context=CONTEXT, timeout_s=TIMEOUT_S, device="cpu")
    yield chat
    chat.close()


class TestTransformers(LLMContract):
    @pytest.fixture
    def llm(self, tiny_chat: Any) -> LLM:
        return LLM(lambda: tiny_chat, name="tiny", tier="embedded", timeout_s=TIMEOUT_S)

    def test_schema_gives_json_of_that_form(self, llm: LLM) -> None:
        """Schemas are shown, not enforced: a model that babbles gives bad output, never something that passes."""
        with pytest.raises(LLMBadOutput):
            llm.complete([("user", "I would like a comedy.")], schema=SCHEMA, max_tokens=60)

    def test_resolved_from_settings(self, tiny_folder: Path) -> None:
        options = {"runtime": "transformers", "embedded_model": str(tiny_folder), "context": 1024}
        found = resolve(load_settings(tier="embedded", llm=options))
        assert found.llm is not None
        assert found.llm.complete(HELLO, max_tokens=2).generated_tokens == 2
        found.llm.close()
        missing = resolve(
            load_settings(tier="embedded", llm={**options, "embedded_model": str(tiny_folder / "no")})
        ).llm
        assert missing is not None
        with pytest.raises(LLMUnavailable, match="could not be loaded"):
            missing.complete(HELLO)


NAMED = {name: value for name, value in os.environ.items() if name.startswith("CONVREC_CONTRACT_")}
"""Read before the tests begin: while they run, nobody's settings count."""


@pytest.mark.skipif(not NAMED.get("CONVREC_CONTRACT_URL"), reason="no endpoint named in CONVREC_CONTRACT_URL")
class TestEndpoint(LLMContract):
    """vLLM, Ollama, a hosted service: whatever the environment names."""

    @pytest.fixture
    def llm(self) -> Iterator[LLM]:
        url, key = NAMED["CONVREC_CONTRACT_URL"], NAMED.get("CONVREC_CONTRACT_KEY", "none")
        model = NAMED.get("CONVREC_CONTRACT_MODEL") or list_models(url, key)[0]
        llm = LLM(
            lambda: served_chat(url, model, key, TIMEOUT_S),
            name=model,
            tier="served",
            timeout_s=TIMEOUT_S,
            concurrency=SERVED_CONCURRENCY,
        )
        yield llm
        llm.close()
