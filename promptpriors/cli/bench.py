"""The command `bench`: speed and memory against PEFT."""

from typing import Annotated, Any

import typer

from promptpriors.cli.options import Data, Json
from promptpriors.cli.output import print_json, print_table, progress_bar, say, use_threads


def bench(
    task: Annotated[
        str, typer.Argument(metavar="[arithmetic|squad]", help="Whose examples.")
    ] = "arithmetic",
    mode: Annotated[
        str, typer.Option(metavar="soft|kv", help="soft: PromptTuning; kv: PrefixTuning.")
    ] = "soft",
    model: Annotated[str, typer.Option(help="A model of ours, a hub id or a folder.")] = "smollm2",
    batch: Annotated[int, typer.Option(min=1, help="Examples an update.")] = 16,
    alternations: Annotated[int, typer.Option(min=1, help="Turns of the contenders.")] = 5,
    threads: Annotated[int | None, typer.Option(min=1, help="Of torch; else all cores.")] = None,
    memory: Annotated[bool, typer.Option(help="Measure peak memory as well.")] = True,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Speed and memory against PEFT: same model, same data, same loss, in alternation.

    Needs PEFT (pip install peft). On two cores: SQuAD about 15 minutes, arithmetic a few.

    Example: promptpriors bench squad --data ../data
    """
    from promptpriors.bench import benchmark
    from promptpriors.running.workspace import Workspace

    use_threads(threads)
    config = benchmark.bench_config(task, mode, model, batch)
    with progress_bar() as on_progress:
        found = benchmark.bench(
            config,
            Workspace(data),
            alternations=alternations,
            memory=memory,
            on_progress=on_progress,
        )
    found = {"task": task, "mode": mode, "model": model, "batch": batch, **found}
    if as_json:
        print_json(found)
        return
    print_table(_rows(found), ["contender", "examples/s", "tokens/s", "tokens/example", "MiB"])
    say("", *_sentences(found))


def _rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    peaks = found.get("peak_memory_mib", {})
    return [
        {
            "contender": name,
            "examples/s": _shown(rate),
            "tokens/s": _shown(found["tokens_per_second"][name]),
            "tokens/example": found["pooled"][name]["tokens_each"],
            "MiB": peaks.get(name),
        }
        for name, rate in found["examples_per_second"].items()
    ]


def _shown(rate: dict[str, float]) -> str:
    return f"{rate['median']:.3g} ({rate['least']:.3g}–{rate['most']:.3g})"


def _sentences(found: dict[str, Any]) -> list[str]:
    ratios, machine, agreement = (found[key] for key in ("ratios", "machine", "agreement"))
    lines = [
        f"{ratios['speed']:.2f} times PEFT's examples per second "
        f"(by turn {_shown(ratios['speed_by_turn'])}), {ratios['speed_sorted']:.2f} times with "
        f"its batches sorted by length (by turn {_shown(ratios['speed_sorted_by_turn'])})",
        f"{ratios['of_limit']:.0%} of the limit of {ratios['limit']:.2f} "
        f"(PEFT computes {ratios['tokens']:.2f} times as many tokens an example)",
        f"{machine['share']:.0%} of the machine's matrix products: "
        f"{_shown(machine['reached_gflops'])} of {_shown(machine['product_gflops'])} GFLOP/s",
        f"same examples: loss off by {agreement['loss_off']:.1e}, gradient by "
        f"{agreement['gradient_off']:.1e} (relative)",
    ]
    if "memory" in ratios:
        lines.append(f"peak memory {ratios['memory']:.0%} of PEFT's at an equal batch")
    return lines
