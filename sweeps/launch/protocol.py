"""Confirmatory study: tune the arms, freeze the design, confirm on fresh seeds and problems.

    <root>/tuning/               a root of its own for the tuning runs, with a search for each arm
    <root>/protocols/<name>/     the frozen file and the looks (agrae_lab/runs/protocols.py)
    <root>/                      the runs of the confirmation, as the study <name>

Each part starts from the files of the part before, so that the command can be killed and run again at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from agrae_lab import runs
from analysis.io.parquet import FrameError
from analysis.statistics.sequential import decided, describe_look
from sweeps.inspect.trials import failed_runs
from sweeps.launch.cells import ALL_DONE, INTERRUPTED, SOME_NOT_DONE, load_freeze
from sweeps.launch.freezing import check_code_and_configs, check_declaration, check_design, freeze_protocol
from sweeps.launch.looks import Look, Question, open_comparisons, run_looks
from sweeps.launch.study import LaunchOptions, check_engine, check_options, launch_study
from sweeps.launch.tuning import Choice, choose_settings, num_trials_to_run, tuning_directory
from sweeps.planning.factors import warning_of_settings
from sweeps.planning.study_directory import StudyDirectory
from sweeps.spec import protocol_rules
from sweeps.spec.study import Study


def launch_protocol(study: Study, directory: StudyDirectory, options: LaunchOptions) -> int:
    """Run or resume the protocol of a study; inside sweeps.spec.compose.config_dir.

    Returns:
        the exit code: 0 every comparison is decided, or the budget has ended; 1 some runs have failed or are not done,
        and the same command resumes; 130 stopped on request.

    Raises:
        PlanError: nothing was started: the protocol cannot run, differs from the frozen one, or code or configuration
            have drifted since the freeze.
        RunError: another process runs this protocol, or a file of it cannot be used.
    """
    check_engine(study)
    check_options(study, options)
    folder = runs.protocol_dir(directory.root, study.name)
    frozen = runs.read_frozen(folder)
    if frozen is None:
        check_design(study, directory, load_freeze(options.train_module))
    else:
        check_declaration(study, frozen)
    if options.warns and (sentence := _warning(study)):
        print(sentence, flush=True)
    with runs.lock(folder):
        frozen = runs.read_frozen(folder)  # another process may have written it meanwhile
        if frozen is None:
            choices, code = _tune(study, directory, options)
            if code != ALL_DONE:
                return code
            frozen = freeze_protocol(study, directory, options, choices)
            print(f"frozen: {folder / ('frozen-' + frozen['frozen'] + '.json')}", flush=True)
        question = frozen_question(study, frozen)
        looks = runs.read_looks(folder, frozen["digest"])
        if open_comparisons(question, looks):
            check_declaration(study, frozen)
            check_code_and_configs(study, frozen, directory, options)
            try:
                looks, code = run_looks(question, study, directory, options, folder=folder, identity=frozen["digest"])
            except FrameError as error:
                raise runs.RunError(str(error)) from error
            if code != ALL_DONE:
                return code
        _print_end(study, directory, frozen, looks)
    return ALL_DONE


def frozen_question(study: Study, frozen: Mapping[str, Any]) -> Question:
    """Return the comparisons of a frozen protocol, with the settings that were frozen."""
    assert study.protocol is not None
    arms = {arm: entry["settings"] for arm, entry in frozen["arms"].items()}
    protocol = study.protocol
    return Question(
        arms, protocol.reference, protocol.metrics, protocol_rules.stopping_rule(protocol), protocol.first_seed
    )


def print_plan(study: Study, directory: StudyDirectory, *, train_module: str) -> None:
    """Print the parts of a protocol, their numbers of runs, and where it stands.

    Raises:
        PlanError: the protocol cannot run, or differs from the frozen one.
    """
    protocol = study.protocol
    assert protocol is not None
    folder = runs.protocol_dir(directory.root, study.name)
    frozen = runs.read_frozen(folder)
    if frozen is None:
        check_design(study, directory, load_freeze(train_module))
    else:
        check_declaration(study, frozen)
    for sentence in _plan_sentences(study, frozen):
        print(sentence)
    for look in [] if frozen is None else runs.read_looks(folder, frozen["digest"]):
        for sentence in describe_look(look, protocol.reference):
            print(sentence)


def _warning(study: Study) -> str | None:
    """Return the warning of arms that differ from the reference in several factors; tuned arms do by design."""
    protocol = study.protocol
    assert protocol is not None
    if protocol.tune is not None:
        return None
    found = warning_of_settings(protocol.arms, protocol.reference)
    return None if found is None else f"warning: {found}"


def _plan_sentences(study: Study, frozen: Mapping[str, Any] | None) -> Iterator[str]:
    protocol = study.protocol
    assert protocol is not None
    if protocol.tune is not None:
        search, num_seeds = protocol.tune.search, len(protocol.tune.seeds)
        total = len(protocol.arms) * search.num_trials * num_seeds
        yield (
            f"tune: {len(protocol.arms)} arms × {search.num_trials} trials × {num_seeds} seeds = {total} runs at most, "
            f"for {protocol.tune.metric}"
        )
    if sentence := _warning(study):
        yield sentence
    yield f"freeze: {'not yet' if frozen is None else frozen['frozen']}"
    numbers = [str(len(protocol.arms) * looked) for looked in dict.fromkeys((protocol.looks[0], protocol.looks[-1]))]
    yield (
        f"confirm: {len(protocol.arms)} arms, looks at {', '.join(map(str, protocol.looks))} seeds from seed "
        f"{protocol.first_seed}: {' to '.join(numbers)} runs"
    )


def _tune(study: Study, directory: StudyDirectory, options: LaunchOptions) -> tuple[dict[str, Choice], int]:
    """Run the search of every arm and return the choices, {} without tuning, and the exit code."""
    protocol = study.protocol
    assert protocol is not None
    if protocol.tune is None:
        return {}, ALL_DONE
    choices: dict[str, Choice] = {}
    for arm in protocol.arms:
        tuning, place = protocol_rules.tuning_study(study, arm), tuning_directory(study, directory, arm)
        failed = failed_runs(place)
        if failed or num_trials_to_run(tuning, place):
            code = launch_study(tuning, place, options, retry=failed)
            if code == INTERRUPTED:
                return choices, INTERRUPTED
        if failed := failed_runs(place):
            print(f"the tuning of {arm}: {failed[0].key} failed. Mend the cause, and run the same command again")
            return choices, SOME_NOT_DONE
        if num_left := num_trials_to_run(tuning, place):
            print(f"the tuning of {arm}: {num_left} trials are not done. Run the same command again")
            return choices, SOME_NOT_DONE
        choices[arm] = choose_settings(tuning, place, arm)
    return choices, ALL_DONE


def _print_end(study: Study, directory: StudyDirectory, frozen: Mapping[str, Any], looks: list[Look]) -> None:
    """Print the decision of every comparison, at the look that decided it."""
    protocol = study.protocol
    assert protocol is not None
    print(f"\n{study.question or study.name} (frozen {frozen['frozen']})")
    for look in looks:
        for sentence in describe_look(decided(look), protocol.reference):
            print(sentence)
    print(f"report: python -m analysis runs={directory.root} experiment={study.name}", flush=True)
