"""TRL's GRPOTrainer for prompts that are made when they are wanted, so that pictures are in memory for one batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import PreTrainedModel
from trl import GRPOTrainer

from agrae_lab.tasks.encoding import map_images


class PromptingTrainer(GRPOTrainer):
    """GRPOTrainer on a dataset with the one column `problem_id`.

    Args:
        prompt_of: a problem's id → its prompt; called once for each problem of a generation batch.
    """

    def __init__(self, *, prompt_of: Callable[[str], Any], **trl_arguments: Any) -> None:
        super().__init__(**trl_arguments)
        self._prompt_of = prompt_of
        self._prompts: list[Any] = []  # of this process's rows of the generation batch at work

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        made = {i: self._prompt_of(i) for i in dict.fromkeys(row["problem_id"] for row in inputs)}
        self._prompts = [made[row["problem_id"]] for row in inputs]
        # TRL copies a batch's prompts, sends them to all processes and keeps them: there they go without pictures
        bare = [map_images(prompt, lambda picture: None) for prompt in self._prompts]
        try:
            return super()._generate_and_score_completions(
                [{**row, "prompt": prompt} for row, prompt in zip(inputs, bare, strict=True)]
            )
        finally:
            self._prompts = []

    def _tokenize_prompts(self, prompts: list) -> tuple:
        return super()._tokenize_prompts(self._prompts)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """transformers 5.17 saves a vision-language model under the names in which its weights are published, and here
        reads them under those of its modules: it would go on, after no more than a warning, from the run's beginning.
        """
        if not self._is_vlm or self.is_fsdp_enabled or not isinstance(self.model, PreTrainedModel):  # LoRA's is none
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        saved = type(self.model).from_pretrained(resume_from_checkpoint, dtype=self.model.dtype)
        self.model.load_state_dict(saved.state_dict())
