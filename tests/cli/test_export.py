"""A trained prompt is handed over from the command line, and what is printed runs as it stands."""

import copy
import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import promptpriors as pp
from promptpriors.files import read_tensors, write_tensors
from promptpriors.prompts import generate
from promptpriors.running.export import FORMATS

MODES = {"kv": ["prompt.mode=kv"], "deep": ["prompt.mode=deep"], "none": ["prompt.mode=none"]}
QUESTION = "Question: What is 17 + 25?\nAnswer:"


@pytest.fixture
def run_in(place, cli):
    """Start a run with one thing changed; its folder."""

    def start(*words):
        status, out, err = cli("run", "run.toml", "--json", *words)
        assert status == 0, err
        return json.loads(out)["folder"]

    return start


def answer(folder, backbone):
    example = pp.Example(id="1", source=(QUESTION,), targets=("",))
    return generate(backbone, pp.load_prompt(folder), [example], max_new_tokens=16)[0]


def printed(code, capsys):
    """What the code prints when it is run as it stands."""
    exec(compile(code, "printed", "exec"), {})
    return capsys.readouterr().out.strip()


def test_embeddings_are_the_prompts_rows_and_say_where_they_come_from(ran, place, cli):
    status, out, _ = cli("export", ran["id"][:6], "--to", "embeddings", "out", "--json")
    assert status == 0
    found = json.loads(out)
    assert (found["folder"], found["files"]) == ("out", ["README.md", "prompt.safetensors"])
    assert (found["run"], found["to"]) == (ran["id"], "embeddings")
    assert set(found["use"]) == {"transformers", "vLLM"}
    prompt = load_file(place / "out" / "prompt.safetensors")["prompt"]
    assert prompt.equal(pp.load_prompt(ran["folder"]).values["embed"])
    with safe_open(place / "out" / "prompt.safetensors", framework="pt") as file:
        (metadata,) = file.metadata().values()
    assert json.loads(metadata) == {
        "export": "embeddings",
        "files": {"README.md": (place / "out" / "README.md").stat().st_size},
        "first_token": False,
        "model": "tiny",
        "revision": "tiny 1",
        "run": ran["id"],
    }


@pytest.mark.parametrize("to", FORMATS)
def test_what_is_printed_runs_and_answers_as_we_do(ran, cli, to, tiny, capsys):
    status, out, _ = cli("export", ran["id"], "--to", to, "out")
    assert status == 0
    ours, _, theirs = out.partition("# vLLM")
    assert printed(ours, capsys) == answer(ran["folder"], tiny)
    assert bool(theirs) == (to == "embeddings")
    if theirs:
        compile(out, "printed", "exec")
        assert "enable_prompt_embeds=True" in theirs


@pytest.mark.parametrize("field", ["source", "text"])
def test_the_printed_code_asks_a_text_of_the_runs_own_task(cli, place, tiny, capsys, field):
    texts = [f"Ticket {i}: 'it' <|end|> fails." for i in range(9)]
    rows = [json.dumps({field: text, "targets": "bad"}) for text in texts]
    (place / "own.jsonl").write_text("\n".join(rows))
    task = f'{{name = "jsonl", path = "own.jsonl", source_field = "{field}"}}'
    (place / "own.toml").write_text(
        f'model = "tiny"\nprior = "gaussian"\ntask = {task}\n[train]\nfrozen = true\n'
    )
    folder = json.loads(cli("run", "own.toml", "--json")[1])["folder"]
    out = cli("export", folder, "--to", "peft", "out")[1]
    assert "Question" not in out
    example = pp.Example("1", (texts[0],), ("",))
    (expected,) = generate(tiny, pp.load_prompt(folder), [example], max_new_tokens=16)
    assert printed(out, capsys) == expected
    (place / "own.jsonl").unlink()
    assert '"a text as the run\'s data has it"' in cli("export", folder, "--to", "peft", "out")[1]


def test_texts_of_any_length_go_through_the_printed_code_together(ran, cli, tiny, capsys):
    out = cli("export", ran["id"], "--to", "embeddings", "out")[1].partition("# vLLM")[0]
    texts = [QUESTION, "2 + 2 =", "Question: 1 + 1? Please think about it first.\nAnswer:"]
    assert f"texts = [{QUESTION!r}]" in out
    examples = [pp.Example(id=text, source=(text,), targets=("",)) for text in texts]
    answers = generate(tiny, pp.load_prompt(ran["folder"]), examples, max_new_tokens=16)
    found = printed(out.replace(f"texts = [{QUESTION!r}]", f"texts = {texts!r}"), capsys)
    assert found == "\n".join(answers)


@pytest.mark.parametrize("to", FORMATS)
def test_the_model_is_written_beside_on_request(ran, cli, place, to, tiny, capsys):
    status, out, err = cli("export", ran["id"], "--to", to, "out", "--with-model")
    assert status == 0, err
    assert "import promptpriors" not in out
    assert "The model is in out/model." in out
    ours, _, theirs = out.partition("# vLLM")
    assert "save_pretrained" not in theirs
    assert printed(ours, capsys) == answer(ran["folder"], tiny)
    assert (place / "out" / "model" / "tokenizer.json").is_file()
    assert cli("export", ran["id"], "--to", "peft", "out")[0] == 0
    assert not (place / "out" / "model").exists()


AUTO = """
import sys
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer
model = AutoPeftModelForCausalLM.from_pretrained("adapter")
text = AutoTokenizer.from_pretrained("adapter/model")(
    sys.argv[1], add_special_tokens=False, return_tensors="pt"
)
ids, mask = text["input_ids"], text["attention_mask"]
written = model.generate(input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=16)
print(written[0, ids.shape[1] :].tolist(), "promptpriors" in sys.modules)
"""


@pytest.mark.slow
@pytest.mark.parametrize("to", ["peft", "peft-prefix"])
def test_peft_alone_loads_an_export_with_its_model(ran, cli, place, to, tiny):
    assert cli("export", ran["id"], "--to", to, "adapter", "--with-model")[0] == 0
    done = subprocess.run(
        [sys.executable, "-c", AUTO, QUESTION],
        cwd=place, env=os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": ""},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    ids, _, foreign = done.stdout.strip().rpartition(" ")
    assert foreign == "False"
    assert tiny.decode(json.loads(ids)).strip() == answer(ran["folder"], tiny)


def test_what_holds_of_an_export_is_said_and_stored(ran, cli, place):
    out = json.loads(cli("export", ran["id"], "--to", "peft", "out", "--json")[1])
    padding, model = out["notes"]
    assert "a left-padded batch gets other answers" in padding
    assert "export with --with-model" in model
    stored = (place / "out" / "README.md").read_text()
    assert all(part in stored for part in (padding, model, *out["use"].values()))
    shown = cli("export", ran["id"], "--to", "peft", "out")[1]
    assert " ".join(shown.replace("\n#", "").split()).count(padding) == 1


@pytest.mark.slow
def test_a_deep_prompt_goes_to_peft_as_its_keys_and_values(run_in, cli, tiny, capsys):
    folder = run_in(*MODES["deep"])
    assert "--to peft-prefix writes others' keys" in cli("export", folder, "--to", "peft", "out")[2]
    status, out, err = cli("export", folder, "--to", "peft-prefix", "out")
    assert status == 0, err
    assert printed(out, capsys) == answer(folder, tiny)


@pytest.mark.slow
def test_a_model_folder_is_loaded_by_transformers_in_the_printed_code(place, cli, tiny, capsys):
    tiny.model.save_pretrained("here")
    tiny.tokenizer.save_pretrained("here")
    status, out, err = cli("run", "run.toml", "--json", "model=./here")
    assert status == 0, err
    folder = json.loads(out)["folder"]
    for to in FORMATS:
        out = cli("export", folder, "--to", to, to)[1]
        assert "from_pretrained('./here', dtype='float32')" in out
        assert "import promptpriors" not in out
        assert printed(out.partition("# vLLM")[0], capsys) == answer(folder, tiny)


@pytest.mark.slow
def test_keys_and_values_go_to_peft(run_in, cli, tiny, capsys):
    folder = run_in(*MODES["kv"])
    status, out, _ = cli("export", folder, "--to", "peft", "out")
    assert status == 0
    written = "README.md, adapter_config.json, adapter_model.safetensors\n"
    assert out.startswith(f"# written to out: {written}")
    assert printed(out, capsys) == answer(folder, tiny)
    assert pp.peft.load("out").mode == "kv"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "to", "message"),
    [
        ("kv", "embeddings", "mode 'kv' is no rows at the input, so there are no embeddings to"),
        ("deep", "embeddings", "Exported can be: mode 'soft' (--to embeddings, --to peft), mode"),
        ("none", "embeddings", "mode 'none' is no rows at the input"),
        ("deep", "peft", "mode 'deep' has no counterpart in PEFT"),
        ("none", "peft", "mode 'none' has no counterpart in PEFT"),
        ("none", "peft-prefix", "mode 'none' at no site is no prefix of PEFT"),
    ],
)
def test_a_prompt_that_a_format_can_not_hold_is_refused(run_in, cli, place, mode, to, message):
    status, out, err = cli("export", run_in(*MODES[mode]), "--to", to, "out")
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 2
    assert not (place / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("RUN", "--to", "pefd", "out"),
            "unknown format 'pefd'. Did you mean 'peft'? Available: emb",
        ),
        (
            ("nope", "--to", "peft", "out"),
            "no run is called 'nope' in runs; see `promptpriors list",
        ),
        (("RUN", "--to", "peft", "run.toml"), "run.toml is a file; expected a folder"),
    ],
)
def test_bad_words_end_with_one_line_and_status_2(ran, cli, words, message):
    status, out, err = cli("export", *(ran["id"] if w == "RUN" else w for w in words))
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_a_first_token_is_exported_as_the_first_row(run_in, cli, place, tiny, capsys):
    tiny.model.save_pretrained("here")
    tokenizer = copy.deepcopy(tiny.tokenizer)
    tokenizer.bos_token = tokenizer.eos_token
    tokenizer.save_pretrained("here")
    folder = run_in("model=./here", "prompt.bos=true")
    status, out, err = cli("export", folder, "--to", "embeddings", "out")
    assert status == 0, err
    backbone = pp.load_model("./here")
    prompt = load_file(place / "out" / "prompt.safetensors")["prompt"]
    assert prompt[0].equal(backbone.embed(torch.tensor(tiny.end)))
    assert prompt[1:].equal(pp.load_prompt(folder).values["embed"])
    assert printed(out.partition("# vLLM")[0], capsys) == answer(folder, backbone)
    assert "bos = true (PEFT puts no first" in cli("export", folder, "--to", "peft", "two")[2]


def test_only_an_earlier_export_is_replaced(ran, place, cli):
    for to in ("peft", "embeddings", "peft"):
        assert cli("export", ran["id"], "--to", to, "out")[0] == 0
    assert {p.name for p in place.iterdir()} == {"out", "runs", "run.toml"}
    (place / "out" / "mine.txt").write_text("x")
    for folder in ("out", ran["folder"]):
        before = {p: p.read_bytes() for p in (place / folder).iterdir()}
        status, _, err = cli("export", ran["id"], "--to", "embeddings", folder)
        assert status == 2
        assert "is no earlier export of ours: it holds " in err
        assert "Nothing was written; name a new or an empty folder" in err
        assert {p: p.read_bytes() for p in (place / folder).iterdir()} == before


def test_export_says_when_the_model_is_another_one(ran, cli, place):
    path = place / ran["folder"] / "prompt.safetensors"
    tensors, metadata = read_tensors(path)
    write_tensors(path, tensors, metadata | {"model": "another"})
    _, _, err = cli("export", ran["id"], "--to", "embeddings", "out")
    assert "note: model 'tiny' is at tiny 1, the prompt was trained at another" in err


WITHOUT_PEFT = """
import sys
sys.modules["peft"] = None
from promptpriors.cli import main
run = sys.argv[1]
for to in ("peft", "embeddings"):
    sys.argv = ["promptpriors", "export", run, "--to", to, "out"]
    try:
        main()
    except SystemExit as end:
        print(end.code or 0, file=sys.stderr)
"""


@pytest.mark.slow
def test_the_command_needs_no_peft_for_embeddings(ran, place):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PEFT, ran["id"]],
        cwd=place, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr.splitlines() == [
        "error: this needs the library peft: pip install promptpriors[peft]", "2", "0"
    ]  # fmt: skip
