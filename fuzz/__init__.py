"""Coverage-guided fuzz targets: every reader of what others wrote, fed with what nobody would
write.

python -m fuzz --list                        the targets
python -m fuzz matfile --seconds 60          one target (Atheris; pip install -e ".[fuzz]")
python -m fuzz all --seconds 7200 --work W   all, sharing the time; corpora, logs and findings stay in W
python -m fuzz matfile --replay FILE ...     inputs once more, without Atheris: what tests/project/test_fuzz_corpus.py does
python -m fuzz all --keep --work W           the corpora anew, with what W found, minimised
python -m fuzz matfile --add FILE ...        keep findings, by these names; findings.json describes them, by hand
python -m fuzz --prune                       drop what belongs to targets that are no longer there
python -m fuzz all --report OUT --work W     hours, executions, coverage and findings as fuzz.md and fuzz.json

target.py      what a target is
corpora.py     the inputs that are kept, in corpora.zip: some from which fuzzing starts, and what was a finding once
guard.py       what no reader may do, seen by audit hooks
examining.py   what a finding is: the same for all targets
mending.py     checksums and lengths of containers made to fit, so that damage goes deeper
fuzzing.py     a target under libFuzzer, in a process of its own; begun again after a crash
instrument.py  that process
reporting.py   what came of it
targets/       a file a family
"""
