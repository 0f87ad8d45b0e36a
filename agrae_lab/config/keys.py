"""Keys of a config, each declared once: type, bounds, default and a sentence.

To add a key, add a field here and its default in conf/. Not here: `advantage`, whose keys are the settings of its
links, and the names of `evaluation.benchmarks`.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from agrae_lab.advantages.settings import Bound, above, at_least, at_most
from agrae_lab.runs.comparison import is_name

OPTIONAL = object()  # mark of a key that a config may leave out


def _name(*reserved: str) -> Bound:
    """Return the bound of a name that becomes part of a path, except `reserved` words, which have a meaning there."""
    words = f", other than {' and '.join(map(repr, reserved))}" if reserved else ""
    return Bound(
        f"1 to 60 letters, digits or any of . _ + = -, beginning with a letter or digit{words}, as text or a whole "
        "number, since it names a file or directory",
        lambda x: (
            type(x) in (str, int)
            and re.fullmatch(r"[A-Za-z0-9][\w.+=-]{0,59}", str(x), flags=re.ASCII) is not None
            and str(x).lower() not in reserved
        ),
    )


def _are_steps(value: Any) -> bool:
    if isinstance(value, list):
        return all(step == "last" or (type(step) is int and step >= 0) for step in value)
    return value is None or (type(value) is int and value > 0)


ARM_NAME = _name("base")  # "base" is reserved: it means the model that training starts from
BENCHMARK_NAME = _name("train")  # "train" is reserved: it means the training problems
EXPERIMENT_NAME = _name()
ADDRESS = Bound(
    "an address such as http://host:8000",
    lambda x: isinstance(x, str) and re.fullmatch(r"https?://[\w.-]+(:\d+)?", x, flags=re.ASCII) is not None,
)
NAME = Bound("text or a whole number", is_name)  # of an arm or a benchmark, as another key refers to it
NAMES = Bound("a list of names, or null", lambda x: x is None or (isinstance(x, list) and all(map(is_name, x))))
STEPS = Bound("a number of steps (every so many), a list of steps and 'last', or null", _are_steps)

Count = Annotated[int, at_least(1)]
Positive = Annotated[float, above(0)]
FromZero = Annotated[float, at_least(0)]
Share = Annotated[float, above(0), at_most(1)]


@dataclass
class Experiment:
    name: Annotated[str | None, EXPERIMENT_NAME, "Experiment that the run belongs to; conf/experiment sets it."] = None
    question: Annotated[str | None, "Question of the experiment, for its report."] = None
    reference: Annotated[str | None, NAME, OPTIONAL, "Arm that the others are compared with; null: grpo."] = None
    candidates: Annotated[Any, NAMES, OPTIONAL, "Arms to compare with it; null: all others."] = None
    metrics: Annotated[Any, NAMES, OPTIONAL, "Compared metrics, as [pass@1, pass@64]; null: k = 1, 16, 256."] = None
    smallest_effect: Annotated[str | None, OPTIONAL, "Smallest difference that matters; null: 1pp."] = None


@dataclass
class Vllm:
    server: Annotated[str | None, ADDRESS, "Server of `trl vllm-serve`; null: vLLM on the trainer's own GPUs."] = None
    gpu_memory: Annotated[Share, "Share of each GPU's memory that vLLM takes during training."] = 0.3
    tensor_parallel: Annotated[Count, "GPUs for one copy of the model."] = 1


@dataclass
class Hardware:
    device: Annotated[Literal["auto", "cpu", "cuda"], "Device; auto takes a GPU if there is one."] = "auto"
    data_dir: Annotated[
        str | None, "Folder with math_train.jsonl, amc23.jsonl, …; null: $AGRAE_DATA, else the Hugging Face hub."
    ] = None
    per_device_batch_size: Annotated[
        Count | None, "Completions in one forward and backward pass; null: a whole mini-batch."
    ] = None
    gradient_checkpointing: Annotated[
        bool | None, "Recompute layers in the backward pass, to save memory; null: on a GPU."
    ] = None
    processes: Annotated[Count, OPTIONAL, "Processes of a run, each with a GPU if there is one."] = 1
    nodes: Annotated[Count, OPTIONAL, "Machines over which the processes are divided; Slurm and Ray alone."] = 1
    launcher: Annotated[
        Literal["torchrun", "accelerate"] | None, OPTIONAL, "Program that starts several processes; null: as needed."
    ] = None
    strategy: Annotated[
        Literal["ddp", "fsdp", "deepspeed"],
        OPTIONAL,
        "Several processes: each with the whole model (ddp), or parameters, gradients and optimiser spread over them.",
    ] = "ddp"
    vllm: Vllm = dataclasses.field(default_factory=Vllm)


@dataclass
class Tracking:
    name: Annotated[Literal["none", "wandb", "tensorboard"], "Mirror of the run's metrics."] = "none"
    project: Annotated[str, OPTIONAL, "Project in Weights & Biases."] = "agrae_lab"
    mode: Annotated[Literal["offline", "online"], OPTIONAL, "Send at once, or later by `wandb sync`."] = "offline"


@dataclass
class Lora:
    rank: Annotated[Count, "Rank of the LoRA adapters; without model.lora all weights are trained."]
    alpha: Annotated[Positive, "Scale of the LoRA adapters."]


@dataclass
class Model:
    path: Annotated[str, "Shipped model (nano, nano_vl), a directory, or a Hugging Face model name."]
    dtype: Annotated[
        Literal["float32", "bfloat16"],
        "Precision of the arithmetic in training (trained weights stay float32), and of the weights in evaluation.",
    ]
    lora: Annotated[Lora | None, OPTIONAL] = None


@dataclass
class Task:
    name: Annotated[str, "Task of the training problems."]
    train_file: Annotated[str | None, "Training problems, JSONL or Parquet; null: the file that ships with the task."]
    held_out: Annotated[
        float | None,
        above(0),
        at_most(0.5),
        OPTIONAL,
        "Share of the training problems that are not trained on, and are the benchmark held_out, the only "
        "one; null: none.",
    ] = None
    prompt_template: Annotated[
        str | None, OPTIONAL, "Prompt of a mathematics task: chat, plain, qwen_boxed, llama or deepseek."
    ] = None
    verifier: Annotated[str | None, OPTIONAL, "Verifier of a mathematics task: math_verify or official."] = None
    reward: Annotated[
        str | None,
        OPTIONAL,
        "Reward: accuracy, or a mixture of accuracy and format: code (the authors' 0.9 and 0.1) or paper (its text's "
        "0.1 and 0.9), or a control: random, constant, format or inverted (docs/controls.md); null: code for an image "
        "task, else accuracy.",
    ] = None
    max_pixels: Annotated[
        Count | None, OPTIONAL, "Larger images of an image task are scaled down to it; null: no limit."
    ] = None
    on_bad_row: Annotated[str | None, OPTIONAL, "Row of an image task that cannot be used: refuse (null) or skip."] = (
        None
    )
    _target_: Annotated[str | None, OPTIONAL, "Task in a file of yours, my_task:TASK, in place of name."] = None


@dataclass
class Train:
    num_steps: Annotated[Count, "Generation batches."]
    num_prompts: Annotated[Count, "P, prompts in a generation batch."]
    num_generations: Annotated[Count, "G, completions of each prompt."]
    num_minibatches: Annotated[Count, "Optimizer updates on a generation batch."]
    learning_rate: Annotated[Positive, "Learning rate of AdamW."]
    learning_rate_schedule: Annotated[Literal["constant", "linear"], "Constant, or linear to 0 at the last step."]
    weight_decay: Annotated[FromZero, "Weight decay of AdamW."]
    max_grad_norm: Annotated[Positive, "Gradients are clipped to this norm."]
    temperature: Annotated[Positive, "Sampling temperature of rollouts."]
    top_p: Annotated[Share, "Nucleus of rollouts; 1 is the whole distribution."]
    max_completion_length: Annotated[Count, "Tokens of a completion at most."]
    checkpoint_every: Annotated[Count, "Steps between checkpoints."]
    validate_every: Annotated[
        int, at_least(0), "Steps between validations by greedy decoding, one more at the end; 0: never."
    ]
    max_prompt_length: Annotated[
        Count | None, OPTIONAL, "Training problems with more prompt tokens are left out; null: none."
    ] = None
    prompt_order: Annotated[
        Literal["listed"] | None,
        OPTIONAL,
        "Order of the training problems: listed, as in their file, which is a curriculum if it is sorted; null: "
        "shuffled.",
    ] = None
    sampling_rounds: Annotated[
        int | None,
        at_least(2),
        OPTIONAL,
        "Rounds of dynamic sampling in a step at most: groups that are all correct or all incorrect are dropped, and "
        "other problems drawn, until num_prompts groups are mixed (DAPO); null: none are.",
    ] = None
    skip_window: Annotated[
        Count | None,
        OPTIONAL,
        "Steps for which a problem is skipped, and another takes its place, after a group of it that was all "
        "correct or all incorrect; null: none is.",
    ] = None
    overlong_share: Annotated[
        Share | None,
        OPTIONAL,
        "Share of max_completion_length, its last tokens, over which the soft overlong penalty falls from 0 to −1 "
        "(DAPO takes a share of 0.2); null: no penalty.",
    ] = None
    overlong_weight: Annotated[Positive | None, OPTIONAL, "Weight of the soft overlong penalty; null: 1."] = None
    validate_on: Annotated[str | None, NAME, OPTIONAL, "Benchmark of validation; null: the only one."] = None
    validate_samples: Annotated[
        int, at_least(0), OPTIONAL, "Samples of each problem of validation, for avg@n and Pass@k."
    ] = 0


@dataclass
class Loss:
    name: Annotated[
        Literal["grpo", "dapo", "dr_grpo", "bnpo", "gspo", "luspo", "cispo", "sapo", "vespo"],
        "Ratio and average of the loss; docs/losses.md says how each differs from GRPO.",
    ]
    kl_coefficient: Annotated[FromZero, "Weight of the KL penalty to the first policy."]
    clip_low: Annotated[FromZero | None, OPTIONAL, "Lower clip of the probability ratio, 1 − clip_low."] = None
    clip_high: Annotated[FromZero | None, OPTIONAL, "Upper clip of the probability ratio, 1 + clip_high."] = None
    delta: Annotated[
        float | None,
        above(1),
        OPTIONAL,
        "Two-sided clip: upper bound of the ratio where the advantage is negative, above 1 + clip_high; null: none.",
    ] = None
    tau_positive: Annotated[Positive | None, OPTIONAL, "Temperature of SAPO's gate, positive advantages."] = None
    tau_negative: Annotated[Positive | None, OPTIONAL, "Temperature of SAPO's gate, other advantages."] = None
    k_positive: Annotated[FromZero | None, OPTIONAL, "Power in VESPO's weight, advantages from 0 on."] = None
    lambda_positive: Annotated[Positive | None, OPTIONAL, "Decay in VESPO's weight, advantages from 0 on."] = None
    k_negative: Annotated[FromZero | None, OPTIONAL, "Power in VESPO's weight, negative advantages."] = None
    lambda_negative: Annotated[Positive | None, OPTIONAL, "Decay in VESPO's weight, negative advantages."] = None
    kl_estimator: Annotated[
        Literal["k3", "k3_weighted"] | None,
        OPTIONAL,
        "Estimator of the KL penalty: k3 (GRPO's paper), or k3 times the probability ratio, whose gradient is unbiased "
        "(DeepSeek-V3.2); null: k3_weighted.",
    ] = None
    mask_truncated: Annotated[
        bool | None, OPTIONAL, "Leave completions without an end token out of the loss (DAPO's overlong filter)."
    ] = None
    top_entropy_quantile: Annotated[
        Share | None, OPTIONAL, "Share of tokens, those of highest entropy, that the policy's loss keeps; null: all."
    ] = None
    entropy_coefficient: Annotated[
        Positive | None,
        OPTIONAL,
        "Weight of an entropy bonus, mean over an update's tokens; with entropy_target its first value; null: 0.",
    ] = None
    entropy_target: Annotated[
        Positive | None,
        OPTIONAL,
        "Entropy, nats a token, at or below which an adaptive bonus applies and its weight grows, up to 1.",
    ] = None
    entropy_step: Annotated[
        Positive | None, OPTIONAL, "Change of the adaptive bonus's weight after each update; null: 0.005."
    ] = None


@dataclass
class Evaluation:
    num_samples: Annotated[Count, "n, samples of each problem; at least twice the largest k of Pass@k."]
    temperature: Annotated[Positive, "Sampling temperature of evaluations."]
    top_p: Annotated[Share, "Nucleus of evaluations; 1 is the whole distribution."]
    max_new_tokens: Annotated[Count, "Tokens of a sample at most."]
    batch_size: Annotated[Count, "Completions sampled at once."]
    seed: Annotated[int, at_least(0), "Seed of the samples; each training seed draws its own from it."]
    at_steps: Annotated[
        Any,
        STEPS,
        OPTIONAL,
        "Policies of training to evaluate as well: [0, 20, last], or 20 for every 20th and the last.",
    ] = None
    keep_policies: Annotated[bool, OPTIONAL, "Keep the weights of these policies after their evaluation."] = False


@dataclass
class Benchmark:
    task: Annotated[str, "Task of the benchmark."]
    file: Annotated[str | None, "Problems; null: the test file that ships with the task."] = None
    limit: Annotated[Count | None, "The first so many problems; null: all."] = None
    domain: Annotated[
        Literal["in", "out"], OPTIONAL, "In or out of the training problems' domain; tables set them apart."
    ] = "in"


@dataclass
class Config:
    schema_version: Annotated[Count, "Version of this schema, set by the program."]
    world: Annotated[str, "Name of the world: a model with its task."]
    model: Model
    task: Task
    train: Train
    loss: Loss
    evaluation: Evaluation
    root: Annotated[str, "Folder of run directories."] = "runs"
    arm: Annotated[str | None, ARM_NAME, "Name of this variant in figures; null: made from advantage and loss."] = None
    seed: Annotated[int, at_least(0), at_most(2**32 - 1), "Seed of training."] = 0
    engine: Annotated[Literal["transformers", "vllm"], "Sampler of completions, in training and evaluation."] = (
        "transformers"
    )
    experiment: Experiment = dataclasses.field(default_factory=Experiment)
    hardware: Hardware = dataclasses.field(default_factory=Hardware)
    tracking: Tracking = dataclasses.field(default_factory=Tracking)
