"""A person who may write everything, but has no private key, changes a store and its reports: each change is found."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from airflow_provider_secoda.signing import PrivateKeySigner, generate_key, key_id
from airflow_provider_secoda.verify import verify
from airflow_provider_secoda.verify._reports import chain
from airflow_provider_secoda.verify._reports import write as reports
from tests.verify.output_files import DAY, UNTIL, log, logs_of, manifest_of, write

KEY, OTHER_KEY = (PrivateKeySigner.from_pem(generate_key()) for _ in range(2))
KEYS = {key_id(KEY.public_key): KEY.public_key}
REPORTS = 4
LAST = "000004.json"


class Store:
    """The current folder: a store, ``logs``, and reports on it."""

    logs, reports = Path("logs"), Path("reports")

    def day(self, number):
        """Return the path of a file, in the order of their names, from 1; the second is a supplement."""
        return sorted(self.logs.glob("*.jsonl"))[number - 1]

    def report(self, number, end="json"):
        return self.reports / f"{number:06}.{end}"

    def sign(self, path, key):
        path.with_name(f"{path.name}.sig").write_bytes(key.sign(path.read_bytes()))

    def write_report(self):
        return reports.write_report(verify(["logs"]), "reports/{sequence}.html", command="verify", signer=KEY)

    def alter(self, number, change, key=None):
        """Change what a report says; sign it with another key, if one is given."""
        path = self.report(number)
        report = json.loads(path.read_text())
        change(report)
        path.write_text(json.dumps(report))
        if key is not None:
            self.sign(path, key)

    def swap(self, one, other):
        aside = Path("aside")
        one.rename(aside)
        other.rename(one)
        aside.rename(other)

    def check(self, last=LAST, keys=KEYS, stores=()):
        result = chain.check_chain(str(self.reports / last), stores, public_keys=keys)
        assert result.errors == []
        assert result.exit_code == (1 if result.finding_count else 0)
        return result

    def kinds(self, last=LAST, keys=KEYS, stores=()):
        """Return the kinds of what is found in the chain."""
        result = self.check(last, keys, stores)
        return sorted({kind for each in (result, *result.reports) for kind in each.findings.counts})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a folder with a store of six days and one supplement; each report covers one day more than the last."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for number in range(6, 0, -1):
            day = UNTIL - number * DAY
            write(Store.logs / f"{day:%Y-%m-%d}.jsonl", day, day + DAY)
            if number == 6:
                write(Store.logs / f"{day:%Y-%m-%d}.late-1.jsonl", day, day + DAY, [])
            if number <= REPORTS:
                Store().write_report()
    return folder


@pytest.fixture
def store(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return Store()


def drop(*paths):
    for path in paths:
        path.unlink()


def drop_day(store, number):
    drop(store.day(number), manifest_of(store.day(number)))


def drop_report(store, number):
    drop(*(store.report(number, end) for end in ("json", "json.sig", "html")))


def replace_day(store, records=()):
    """Write the file of a day again, with a manifest that describes it."""
    write(Path("logs/2026-02-26.jsonl"), UNTIL - 3 * DAY, UNTIL - 2 * DAY, list(records))


def forge_last(store, key):
    """Write a report that follows the last one, and covers nothing."""
    report = json.loads(store.report(REPORTS).read_text())
    digest = hashlib.sha256(store.report(REPORTS).read_bytes()).hexdigest()
    previous = {"name": LAST, "sequence": REPORTS, "sha256": digest}
    report |= {"sequence": REPORTS + 1, "previous": previous, "covers": []}
    if key is not None:
        report["signing_key"] = key_id(key.public_key)
    path = store.report(REPORTS + 1)
    path.write_text(json.dumps(report))
    if key is not None:
        store.sign(path, key)


def edit(path, old, new):
    text = path.read_bytes()
    assert old in text
    path.write_bytes(text.replace(old, new, 1))


def end_chain(store):
    """Let report 3 say that it is the first one."""
    store.alter(3, lambda report: report.update(sequence=1, previous=None))


def rename(store, old, new):
    for end in ("json", "json.sig"):
        store.report(old, end).rename(store.report(new, end))


#: What is done, and the kinds of what is found.
ATTACKS = {
    "a day is dropped, with manifest": (lambda s: drop_day(s, 3), "file_removed"),
    "the first day is dropped": (lambda s: drop_day(s, 1), "file_removed"),
    "the last day that is covered is dropped": (lambda s: drop_day(s, 6), "file_removed"),
    "a supplement is dropped": (lambda s: drop_day(s, 2), "file_removed"),
    "only the file is dropped": (lambda s: drop(s.day(3)), "file_removed"),
    "only the manifest is dropped": (lambda s: drop(manifest_of(s.day(3))), "file_removed"),
    "a manifest is emptied": (lambda s: manifest_of(s.day(3)).write_bytes(b""), "file_removed"),
    "all files are dropped": (lambda s: shutil.rmtree(s.logs), "file_removed"),
    "a day is written again with its manifest": (replace_day, "replaced"),
    "two days are swapped": (lambda s: s.swap(manifest_of(s.day(3)), manifest_of(s.day(4))), "replaced"),
    "a day is renamed": (lambda s: s.day(3).rename(s.logs / "x.jsonl"), "file_removed"),
    "a report is dropped": (lambda s: drop_report(s, 2), "report_missing"),
    "the first report is dropped": (lambda s: drop_report(s, 1), "report_missing"),
    "a report is renamed": (lambda s: rename(s, 2, 9), "forked report_missing"),
    "two reports are swapped": (
        lambda s: [s.swap(s.report(2, end), s.report(3, end)) for end in ("json", "json.sig", "html")],
        "forked report_altered",
    ),
    "a report is replaced by an older one": (
        lambda s: [shutil.copy(s.report(1, end), s.report(3, end)) for end in ("json", "json.sig")],
        "report_altered",
    ),
    "a report covers less": (
        lambda s: s.alter(2, lambda report: report["covers"].pop()),
        "bad_signature report_altered",
    ),
    "a report names another manifest": (
        lambda s: s.alter(4, lambda report: report["covers"][0].update(manifest_sha256="0" * 64)),
        "bad_signature",
    ),
    "a report is signed with another key": (
        lambda s: s.alter(2, lambda report: report.update(signing_key=key_id(OTHER_KEY.public_key)), OTHER_KEY),
        "report_altered unknown_key",
    ),
    "a report is signed with another key under the id of the first": (
        lambda s: s.alter(4, lambda report: report["covers"].pop(), OTHER_KEY),
        "bad_signature",
    ),
    "only the signature is of another key": (lambda s: s.sign(s.report(3), OTHER_KEY), "bad_signature"),
    "the signature of a report is dropped": (lambda s: drop(s.report(3, "json.sig")), "unsigned"),
    "the signature of the last report is dropped": (lambda s: drop(s.report(4, "json.sig")), "unsigned"),
    "the signatures of two reports are swapped": (
        lambda s: s.swap(s.report(2, "json.sig"), s.report(3, "json.sig")),
        "bad_signature",
    ),
    "a signature is truncated": (
        lambda s: s.report(3, "json.sig").write_bytes(s.report(3, "json.sig").read_bytes()[:63]),
        "bad_signature",
    ),
    "a report is truncated": (
        lambda s: s.report(3).write_bytes(s.report(3).read_bytes()[:-9]),
        "report_altered report_invalid",
    ),
    "a report is empty": (lambda s: s.report(3).write_bytes(b""), "report_altered report_invalid"),
    "a name is twice in a report": (
        lambda s: edit(s.report(4), b'"signing_key"', b'"covers": [], "signing_key"'),
        "report_invalid",
    ),
    "a name is twice in what a report covers": (
        lambda s: edit(s.report(4), b'"path":', b'"path": "x.jsonl", "path":'),
        "report_invalid",
    ),
    "a space is added to a report": (lambda s: edit(s.report(2), b"\n}\n", b"\n} \n"), "bad_signature report_altered"),
    "a report is of a later version": (
        lambda s: s.alter(4, lambda report: report.update(report_version=2)),
        "report_invalid",
    ),
    "a report has another number": (
        lambda s: s.alter(4, lambda report: report.update(sequence=7)),
        "report_invalid",
    ),
    "the chain is ended": (end_chain, "bad_signature report_altered"),
    "the page of a report is altered": (
        lambda s: edit(s.report(2, "html"), b"complete", b"COMPLETE"),
        "report_altered",
    ),
    "the page of a report is dropped": (lambda s: drop(s.report(2, "html")), "report_altered"),
    "the pages of two reports are swapped": (
        lambda s: s.swap(s.report(2, "html"), s.report(3, "html")),
        "report_altered",
    ),
    "a report is added, not signed": (
        lambda s: (s.reports / "another.json").write_bytes(s.report(2).read_bytes()),
        "forked",
    ),
    "a report is added that follows none": (
        lambda s: (s.reports / "a.json").write_text('{"report_version": 1, "sequence": 1, "previous": null}'),
        "forked",
    ),
    "a report covers a file outside of its folders": (
        lambda s: s.alter(4, lambda report: report["covers"][0].update(path="../../etc/x.jsonl")),
        "report_invalid",
    ),
    "a report names a report in another folder": (
        lambda s: s.alter(4, lambda report: report["previous"].update(name="../000003.json")),
        "report_invalid",
    ),
}


def test_an_untouched_store_has_no_finding(store):
    """Nothing was changed and nothing is found, with and without a key; days that were added since are fine."""
    write(store.logs / "2026-03-01.jsonl", UNTIL, UNTIL + DAY, [])
    assert store.kinds() == store.kinds(keys=None) == []


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_found(store, name):
    """The change is found, by the name of the finding, and nothing else is."""
    attack, expected = ATTACKS[name]
    attack(store)
    assert " ".join(store.kinds()) == expected


def test_a_state_of_before_is_found(store):
    """A manifest that is put back in the state that an earlier report covers is named, although it was valid then."""
    path = store.day(5)
    before = path.read_bytes(), manifest_of(path).read_bytes()
    replace_day(store, logs_of(UNTIL - 3 * DAY, UNTIL - 2 * DAY)[:-1])
    store.write_report()
    last = f"{REPORTS + 1:06}.json"
    replaced = store.check(last).findings.listed
    assert [finding.kind for finding in replaced] == ["replaced"]
    assert f"between report {REPORTS} and report {REPORTS + 1}" in replaced[0].text
    path.write_bytes(before[0])
    manifest_of(path).write_bytes(before[1])
    findings = store.check(last).findings.listed
    assert [(finding.kind, finding.other_path) for finding in findings] == [
        ("replaced", str(path)),
        ("rolled_back", str(path)),
    ]
    assert f"after report {REPORTS + 1}" in findings[1].text
    assert f"again the one that report {REPORTS} covers" in findings[1].text


def test_a_state_of_before_that_a_report_covers(store):
    """A manifest that was put back between two reports is named, too."""
    path = store.day(5)
    before = path.read_bytes(), manifest_of(path).read_bytes()
    replace_day(store)
    store.write_report()
    path.write_bytes(before[0])
    manifest_of(path).write_bytes(before[1])
    store.write_report()
    assert store.kinds(f"{REPORTS + 2:06}.json") == ["replaced", "rolled_back"]


def test_the_next_report_names_what_was_done(store):
    """A check that writes the next report finds what was removed or replaced, also a supplement."""
    drop_day(store, 2)
    replace_day(store)
    report = json.loads(Path(store.write_report().json_path).read_text())
    assert report["changes"]["counts"] == {"file_removed": 1, "replaced": 1}
    assert report["status"] == "failed"


def test_a_store_in_another_place(store):
    """The folder may be passed if it is not where the reports say; another number of folders is an error."""
    store.logs.rename("elsewhere")
    assert store.kinds() == ["file_removed"]
    assert store.kinds(stores=["elsewhere"]) == []
    with pytest.raises(ValueError, match=r"1 folder \(logs\), but 2 paths were passed"):
        store.check(stores=["elsewhere", "logs"])


@pytest.mark.parametrize(("key", "expected"), [(None, ["unsigned"]), (OTHER_KEY, ["unknown_key"])])
def test_a_forged_last_report_is_found(store, key, expected):
    """A report that is added at the end of the chain has no signature by the key; what it names is checked anyway."""
    forge_last(store, key)
    drop_day(store, 3)
    found = store.kinds(f"{REPORTS + 1:06}.json")
    assert [kind for kind in found if kind != "file_removed"] == expected
    assert "file_removed" in found


def test_an_older_report_as_the_last_one_is_found(store):
    """A copy of an older report under the name of the last one does not hide what came later."""
    for end in ("json", "json.sig"):
        shutil.copy(store.report(2, end), store.report(REPORTS, end))
    assert store.kinds() == ["forked"]


def test_without_a_key_the_digests_find_changes(store):
    """Without a public key, the digests in later reports still find what was changed in earlier ones."""
    store.alter(2, lambda report: report["covers"].pop(), OTHER_KEY)
    assert store.kinds(keys=None) == ["report_altered"]
    drop_day(store, 3)
    assert store.kinds(keys=None) == ["file_removed", "report_altered"]


def test_what_is_named_by_a_signed_report_is_relied_on(store):
    """A report without a signature that a signed report names is still compared with the later ones."""
    path = write(store.logs / "2026-03-01.jsonl", UNTIL, UNTIL + DAY, [])
    store.write_report()
    write(path, UNTIL, UNTIL + DAY, [log("late", UNTIL)])
    store.write_report()
    drop(store.report(REPORTS + 1, "json.sig"))
    assert store.kinds(f"{REPORTS + 2:06}.json") == ["replaced", "unsigned"]


def test_a_report_that_the_signer_left_out(store):
    """A report that names the last but one as the one before it, signed with the key, does not hide the one between."""
    report = json.loads(store.report(REPORTS).read_text())
    digest = hashlib.sha256(store.report(REPORTS - 1).read_bytes()).hexdigest()
    previous = {"name": store.report(REPORTS - 1).name, "sequence": REPORTS, "sha256": digest}
    path = store.report(REPORTS + 1)
    path.write_text(json.dumps({**report, "sequence": REPORTS + 1, "previous": previous}))
    store.sign(path, KEY)
    assert store.kinds(path.name) == ["forked", "report_altered"]


def test_what_a_forged_report_covers_does_not_count(store):
    """What reports without a valid signature cover is not compared: it would hide findings, or cause others."""
    store.alter(3, lambda report: report["covers"].append({**report["covers"][0], "path": "x.jsonl"}))
    digest = hashlib.sha256(store.report(3).read_bytes()).hexdigest()
    store.alter(4, lambda report: report["previous"].update(sha256=digest))
    assert store.kinds() == ["bad_signature"]


def test_a_chain_that_does_not_exist(tmp_path):
    """A report that does not exist is an error, not a finding."""
    result = chain.check_chain(str(tmp_path / "none.json"))
    assert (result.exit_code, len(result.errors)) == (2, 1)
    assert Path(result.report).name == "none.json"
