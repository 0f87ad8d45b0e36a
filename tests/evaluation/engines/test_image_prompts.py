"""Evaluation of tiny vision-language models: batches of prompts with images, and what is written of them."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer

from agrae_lab.evaluation.engines.base import Decoding
from agrae_lab.evaluation.engines.transformers import TransformersEngine, _inputs, content_keys, decode_greedily, sample
from agrae_lab.evaluation.engines.vllm import VllmEngine
from agrae_lab.evaluation.sample import evaluate, prompt_length
from agrae_lab.models.load import load_model
from agrae_lab.tasks.encoding import encode
from tests.models.tiny_vision import MODELS, SIDE
from tests.training.toy_tasks.shades import TASK

DECODING = Decoding(num_samples=6, temperature=1.0, top_p=1.0, max_new_tokens=6, batch_size=8, seed=0)
PROBLEMS = [
    {"id": i, "is_bright": i % 2 == 0, "sizes": sizes}
    for i, sizes in enumerate([[[56, 56]], [[56, 112], [56, 56]], [[70, 60]], [[112, 56]]])
]


@pytest.fixture(scope="module", params=MODELS)
def policy(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param)
    MODELS[request.param](path)
    return load_model(str(path), dtype="float32")


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    path = tmp_path_factory.mktemp("llava")
    MODELS["llava"](path)
    return load_model(str(path), dtype="float32")


def image(seed, width=SIDE, height=SIDE):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def ask(text, *images):
    blocks = [{"type": "image", "image": one} for one in images]
    return [{"role": "user", "content": [*blocks, {"type": "text", "text": text}]}]


def test_a_batch_decodes_as_each_prompt_alone(policy):
    """Prompts of no image, one and two, of several sizes, some of them twice."""
    prompts = [ask("how", image(0)), ask("how many", image(1), image(2, 112, 56)), ask("what is it")]
    prompts += [ask("x", image(3, 70, 60)), prompts[1], prompts[2], ask("how", image(0))]
    together = decode_greedily(*policy, prompts, max_new_tokens=8)
    alone = [decode_greedily(*policy, [prompt], max_new_tokens=8) for prompt in prompts]
    assert together.texts == [one.texts[0] for one in alone]
    assert together.mean_entropy == pytest.approx([one.mean_entropy[0] for one in alone], abs=1e-5)
    assert together.num_tokens == [one.num_tokens[0] for one in alone]


def test_what_is_read_once_is_read_as_by_each_sample(policy):
    """Log-probabilities of drawn tokens: prompts of several lengths read once for their samples, and one by one."""
    model, processing = policy
    prompts = [ask("how", image(0)), ask("how many", image(1), image(2, 112, 56)), ask("x", image(3, 70, 60))]
    with torch.no_grad():
        inputs, cache = _inputs(model, processing, [prompts[row] for row in (0, 1, 2, 1, 0)])
        assert cache.get_seq_length() == inputs["input_ids"].shape[1] - 1
        settings = {"do_sample": False, "max_new_tokens": 4, "return_dict_in_generate": True, "output_logits": True}
        together = torch.stack(model.generate(**inputs, past_key_values=cache, **settings).logits)
        for i, row in enumerate((0, 1, 2, 1, 0)):
            alone = torch.stack(model.generate(**encode(processing, prompts[row]), **settings).logits)
            assert torch.allclose(together[:, i], alone[:, 0], atol=1e-4)


def test_the_image_makes_a_difference(policy):
    drawn = decode_greedily(*policy, [ask("how", image(seed)) for seed in range(4)], max_new_tokens=4)
    assert len({round(entropy, 4) for entropy in drawn.mean_entropy}) == 4


def test_no_part_of_a_image_is_drawn(policy):
    """Though the model were sure of it: TRL's rule in training."""
    model, processing = policy
    head = model.get_output_embeddings().weight
    before = head[2].clone()
    with torch.no_grad():
        head[2] = 0
        head[2, 0] = 50
    try:
        drawn = sample(model, processing, [ask("how", image(0))] * 8, DECODING, seeds=range(8))
        sequences = processing.tokenizer(drawn.texts, add_special_tokens=False)["input_ids"]
        assert all(drawn.num_tokens)
        assert sum(map(bool, sequences)) >= 6  # one may end at once; were the image drawn, all would be empty
    finally:
        with torch.no_grad():
            head[2] = before


def test_prompts_are_told_apart_by_their_pixels():
    same = [ask("how", image(0)), ask("how", image(0))]
    others = [ask("how", image(1)), ask("who", image(0)), ask("how", image(0), image(0)), ask("how")]
    others += [ask("how", image(0).resize((SIDE, SIDE + 1))), "how"]
    keys = content_keys([*same, *others])
    assert keys[0] == keys[1]
    assert len(set(keys)) == 7


def test_an_evaluation_is_written_as_any_other(llava, tmp_path):
    evaluate(TransformersEngine(*llava), TASK, PROBLEMS, DECODING, tmp_path / "whole", benchmark="test")
    frame = pd.read_parquet(tmp_path / "whole" / "samples.parquet")
    assert frame.groupby("decoding").size().to_dict() == {"greedy": 4, "sample": 24}
    problems = {str(p["id"]): p for p in PROBLEMS}
    judged = [
        TASK.verify(c, problems[i]).correct for c, i in zip(frame["completion"], frame["problem_id"], strict=True)
    ]
    assert frame["correct"].tolist() == judged
    assert frame.query("decoding == 'sample'")["completion"].nunique() > 12


def test_an_interrupted_evaluation_ends_with_the_same_samples(llava, tmp_path, monkeypatch):
    monkeypatch.setattr("agrae_lab.evaluation.sample.PROBLEMS_PER_CHUNK", 1)

    class Stop(Exception):
        pass

    def stop_after_two(done, total):
        if done == 2:
            raise Stop

    evaluate(TransformersEngine(*llava), TASK, PROBLEMS, DECODING, tmp_path / "whole", benchmark="test")
    with pytest.raises(Stop):
        evaluate(
            TransformersEngine(*llava),
            TASK,
            PROBLEMS,
            DECODING,
            tmp_path / "cut",
            benchmark="test",
            on_progress=stop_after_two,
        )
    evaluate(TransformersEngine(*llava), TASK, PROBLEMS, DECODING, tmp_path / "cut", benchmark="test")
    whole, cut = (pd.read_parquet(tmp_path / name / "samples.parquet") for name in ("whole", "cut"))
    pd.testing.assert_frame_equal(whole.drop(columns="benchmark"), cut.drop(columns="benchmark"))


def test_seeds_draw_apart_and_repeat(llava):
    engine, prompts = TransformersEngine(*llava), [TASK.prompt(p) for p in PROBLEMS for _ in range(4)]
    seeds = list(range(len(prompts)))
    first = engine.sample(prompts, DECODING, seeds=seeds)
    assert engine.sample(prompts, DECODING, seeds=seeds) == first
    assert engine.sample(prompts, DECODING, seeds=[seed + 1000 for seed in seeds]).texts != first.texts


def test_a_prompts_length_is_that_of_its_words_and_images():
    """Whatever a image's address in memory is, since processes that share an evaluation plan it apart."""
    plain = prompt_length(ask("how"))
    assert prompt_length(ask("how", image(0), image(1, 112, 56))) > prompt_length(ask("how", image(0))) > plain
    assert len({prompt_length(ask("how", image(seed))) for seed in range(50)}) == 1
    assert prompt_length("how") == 3


def test_what_vllm_is_given(llava):
    """Of vLLM itself this says nothing."""
    engine, one = VllmEngine.__new__(VllmEngine), image(0)
    engine._tokenizer = AutoTokenizer.from_pretrained(llava[0].name_or_path)
    assert engine._vllm_prompt(ask("how", one)) == {"prompt": "<image>how=", "multi_modal_data": {"image": [one]}}
    assert engine._vllm_prompt("how=") == {"prompt_token_ids": engine._tokenizer("how=")["input_ids"]}
