"""A model in this process through Hugging Face transformers, for GPU machines: a LangChain chat model.

JSON schemas are not enforced while decoding: the schema is shown to the model, and what is no JSON is bad output, which
the caller repairs or does without. A served model (vLLM) is faster and enforces them; this is for where there is none.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any, cast

from convrec.agent.llm.stopping import raise_if_stopped
from convrec.core.errors import LLMError, LLMTimeout, LLMUnavailable
from convrec.core.extras import require
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, convert_to_openai_messages
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

log = logging.getLogger(__name__)


class TransformersChat(BaseChatModel):
    """``source``: a folder with the weights, or a name on the hub. Understands ``max_tokens``, ``temperature``,
    ``response_format``, ``logprobs``, ``top_logprobs`` and ``timeout`` (seconds). Calls take turns.

    Raises:
        MissingExtraError: transformers or torch is not installed.
        LLMUnavailable: the model cannot be loaded.
    """

    source: str
    context: int = 4096
    timeout_s: float = 60.0
    device: str = "auto"
    """"auto": a GPU when there is one."""
    _model: Any = PrivateAttr()
    _tokens: Any = PrivateAttr()
    _torch: Any = PrivateAttr()
    _turn: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        library = require("transformers", "transformers-llm", "a language model through transformers")
        self._torch = require("torch", "transformers-llm", "a language model through transformers")
        device = self.device
        if device == "auto":
            device = "cuda" if self._torch.cuda.is_available() else "cpu"
        try:
            self._tokens = library.AutoTokenizer.from_pretrained(self.source)
            self._model = library.AutoModelForCausalLM.from_pretrained(self.source, dtype="auto").to(device).eval()
        except (OSError, ValueError, RuntimeError) as error:
            raise LLMUnavailable(
                f"{self.source} could not be loaded: {error}. Give a folder with weights, tokenizer and chat template"
            ) from error

    @property
    def _llm_type(self) -> str:
        return "transformers"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        text, usage = "", None
        metadata: dict[str, Any] = {}
        for chunk in self._stream(messages, stop, **kwargs):
            message = cast("AIMessageChunk", chunk.message)
            text += str(message.text)
            usage = message.usage_metadata or usage
            metadata |= message.response_metadata
        answer = AIMessage(text, usage_metadata=usage, response_metadata=metadata)
        return ChatResult(generations=[ChatGeneration(message=answer)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        """One token at a time, so that closing the iterator or running out of time stops the model at once."""
        torch, model, tokens = self._torch, self._model, self._tokens
        limit = float(kwargs.get("timeout") or self.timeout_s)
        end = time.monotonic() + limit
        ids = self._prompt(messages, kwargs)
        most = min(int(kwargs.get("max_tokens") or self.context), self.context - len(ids))
        if not self._turn.acquire(timeout=limit):
            raise LLMTimeout(f"{self.source} was busy for {limit:.3g} s")
        try:
            step = torch.tensor([ids], device=model.device)
            made: list[int] = []
            past, shown, reason = None, "", "length"
            while len(made) < most:
                raise_if_stopped()
                if time.monotonic() > end:
                    raise LLMTimeout(f"{self.source} was not done after {limit:.3g} s; stopped")
                with torch.inference_mode():
                    out = model(input_ids=step, past_key_values=past, use_cache=True)
                past, logits = out.past_key_values, out.logits[0, -1].float()
                token = self._next(logits, float(kwargs.get("temperature") or 0.0))
                made.append(token)
                if token in self._ends():
                    reason = "stop"
                metadata = self._logprobs(logits, token, kwargs) if len(made) == 1 else {}
                text = tokens.decode(made, skip_special_tokens=True)
                new = "" if text.endswith("\ufffd") and reason != "stop" else text[len(shown) :]
                shown += new
                yield ChatGenerationChunk(message=AIMessageChunk(content=new, response_metadata=metadata))
                if reason == "stop" or any(word in shown for word in stop or ()):
                    reason = "stop"
                    break
                step = torch.tensor([[token]], device=model.device)
            usage = UsageMetadata(input_tokens=len(ids), output_tokens=len(made), total_tokens=len(ids) + len(made))
            done = AIMessageChunk(content="", usage_metadata=usage, response_metadata={"finish_reason": reason})
            yield ChatGenerationChunk(message=done)
        finally:
            self._turn.release()

    def _prompt(self, messages: Sequence[BaseMessage], kwargs: dict[str, Any]) -> list[int]:
        said = list(convert_to_openai_messages(list(messages)))
        schema = (kwargs.get("response_format") or {}).get("json_schema", {}).get("schema")
        if schema is not None and said:
            form = json.dumps(schema, separators=(",", ":"))
            said[-1] = {**said[-1], "content": f"{said[-1]['content']}\nAnswer with JSON of this schema only: {form}"}
        text = self._tokens.apply_chat_template(said, add_generation_prompt=True, tokenize=False)
        ids: list[int] = self._tokens(text, add_special_tokens=False)["input_ids"]
        if len(ids) >= self.context:
            raise LLMError(
                f"the prompt has {len(ids)} tokens, but the model's context holds {self.context}. Shorten it, or set "
                "CONVREC_LLM__CONTEXT higher"
            )
        return ids

    def _next(self, logits: Any, temperature: float) -> int:
        if temperature <= 0:
            return int(logits.argmax())
        return int(self._torch.multinomial((logits / temperature).softmax(-1), 1))

    def _ends(self) -> set[int]:
        found = self._model.generation_config.eos_token_id
        more = found if isinstance(found, list) else [found]
        return {int(token) for token in (*more, self._tokens.eos_token_id) if token is not None}

    def _logprobs(self, logits: Any, token: int, kwargs: dict[str, Any]) -> dict[str, Any]:
        if not kwargs.get("logprobs"):
            return {}
        best = logits.log_softmax(-1).topk(min(int(kwargs.get("top_logprobs") or 1), logits.shape[-1]))
        top = [
            {"token": self._tokens.decode([int(i)]), "logprob": float(value)}
            for value, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
        return {"logprobs": {"content": [{"token": self._tokens.decode([token]), "top_logprobs": top}]}}

    def close(self) -> None:
        """Free the weights."""
        with self._turn:
            self._model = None
