"""Rules between the keys of the section `loss`: a key without effect is refused in one sentence."""

import re
from pathlib import Path

import pytest
import yaml

from agrae_lab.config import CONF_DIR, ConfigError, losses, losses_page
from agrae_lab.config.schema import RULES
from agrae_lab.runs import training_hash
from agrae_lab.training.trl_config import trl_config
from tests.training.conftest import compose_config

FILES = sorted((CONF_DIR / "loss").glob("*.yaml"))


def test_every_loss_has_a_file_and_every_key_a_declaration():
    assert {path.stem for path in FILES} == set(losses.LOSSES)
    declared = {key.removeprefix("loss.") for key in RULES if key.startswith("loss.")}
    assert declared == {"name", "kl_coefficient", *losses.LOSS_KEYS, *losses.MODIFIERS}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_has_the_keys_that_its_loss_needs_and_a_source(path):
    text = path.read_text()
    settings = yaml.safe_load(text)
    assert settings["name"] == path.stem
    assert settings.keys() == {"name", "kl_coefficient", *losses.LOSSES[path.stem].needs}
    assert re.match(r"# \S.*\.\n# Source: ", text)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["loss=sapo", "loss.clip_low=0.1"], r"loss\.clip_low = 0\.1 would have no effect: loss\.name = sapo"),
        (["loss=cispo", "loss.clip_low=0.1"], r"loss\.clip_low = 0\.1 would have no effect: loss\.name = cispo"),
        (["loss=vespo", "loss.delta=4"], r"loss\.delta = 4\.0 would have no effect"),
        (["loss=gspo", "loss.tau_positive=1"], r"loss\.tau_positive .* used by sapo\. Set loss\.tau_positive=null"),
        (["loss.clip_high=null"], r"loss\.clip_high is missing .* grpo needs it"),
        (["loss.name=sapo", "loss.clip_low=null", "loss.clip_high=null"], r"loss\.tau_positive is missing"),
        (["loss.delta=1.2"], r"loss\.delta = 1\.2 must be above 1 \+ loss\.clip_high"),
        (["loss.delta=0.5"], r"loss\.delta must be a number above 1"),
        (["loss.kl_estimator=k3"], r"loss\.kl_estimator = k3 would have no effect"),
        (["loss.entropy_step=0.01"], r"loss\.entropy_step = 0\.01 would have no effect"),
        (["loss.top_entropy_quantile=0.2", "loss.entropy_target=1"], r"loss\.top_entropy_quantile cannot be combined"),
        (["loss.top_entropy_quantile=0"], r"loss\.top_entropy_quantile must be"),
        (["loss=dpo"], "dpo"),
        (["loss.name=dpo"], r"loss\.name must be one of grpo, dapo"),
    ],
)
def test_keys_without_effect_are_refused(overrides, message):
    with pytest.raises(Exception, match=message) as refused:
        compose_config(*overrides)
    if overrides != ["loss=dpo"]:  # a choice that Hydra does not find
        assert isinstance(refused.value, ConfigError)
        assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    "off",
    ["mask_truncated=false", "mask_truncated=null", "top_entropy_quantile=1", "kl_estimator=k3_weighted", "delta=null"],
)
def test_off_has_one_spelling(off):
    plain, other = compose_config(), compose_config(f"loss.{off}")
    assert other["loss"] == plain["loss"] == {"name": "grpo", "clip_low": 0.2, "clip_high": 0.2, "kl_coefficient": 0.0}
    assert training_hash(other) == training_hash(plain)


def test_arms_that_differ_in_a_key_of_the_loss_have_other_names():
    overrides = [[], ["loss=gspo"], ["loss.delta=4"], ["loss=cispo", "loss.mask_truncated=true"]]
    arms = [compose_config(*one)["arm"] for one in overrides]
    assert arms == ["grpo", "grpo+gspo", "grpo+delta=4.0", "grpo+cispo+mask_truncated"]


def test_trl_is_asked_for_the_loss_of_the_config(tmp_path):
    def args(*overrides):
        return trl_config(compose_config("hardware.device=cpu", *overrides), Path(tmp_path))

    gspo, cispo, luspo = args("loss=gspo"), args("loss=cispo"), args("loss=luspo")
    assert (gspo.loss_type, gspo.importance_sampling_level, gspo.epsilon, gspo.epsilon_high) == (
        *("grpo", "sequence", 3e-4, 4e-4),
    )
    assert (cispo.loss_type, cispo.epsilon_high) == ("cispo", 5.0)  # TRL's is the cap itself
    assert (luspo.loss_type, luspo.importance_sampling_level) == ("luspo", "sequence")
    sapo, vespo = args("loss=sapo"), args("loss=vespo")
    assert (sapo.sapo_temperature_pos, sapo.sapo_temperature_neg) == (1.0, 1.05)
    assert (vespo.vespo_k_pos, vespo.vespo_lambda_pos, vespo.vespo_k_neg, vespo.vespo_lambda_neg) == (2, 3, 3, 2)
    assert vespo.vllm_importance_sampling_mode == "token_truncate"
    bonus = args("loss.entropy_target=1.5", "loss.entropy_step=0.01")
    assert (bonus.use_adaptive_entropy, bonus.entropy_coef, bonus.entropy_target, bonus.entropy_coef_delta) == (
        *(True, 0.0, 1.5, 0.01),
    )
    assert not args().use_adaptive_entropy
    assert args("loss.kl_coefficient=1").use_bias_correction_kl
    assert not args("loss.kl_coefficient=1", "loss.kl_estimator=k3").use_bias_correction_kl
    assert not args("loss.mask_truncated=true").mask_truncated_completions  # the trainer masks, after its records


def test_a_quantile_of_entropies_is_refused_where_it_would_depend_on_the_machine(tmp_path):
    divided = "hardware.per_device_batch_size=64"
    with pytest.raises(ValueError, match=r"hardware\.per_device_batch_size = 64: loss\.top_entropy_quantile"):
        trl_config(compose_config("loss.top_entropy_quantile=0.2", divided), tmp_path)
    trl_config(compose_config("loss.top_entropy_quantile=0.2"), tmp_path)


def test_the_committed_page_is_what_the_command_writes():
    written = losses_page.PAGE.read_text(encoding="utf-8")
    assert written == losses_page.markdown(), "run `python -m agrae_lab.config.losses_page`"
    assert all(f"| `{name}` |" in written for name in losses.LOSSES)
    assert all(f"`loss.{key}`" in written for key in losses.MODIFIERS)
