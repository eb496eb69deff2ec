"""Coverage-guided fuzz targets: every reader of what others wrote, fed with what nobody would write.

python -m fuzz --list                        the targets
python -m fuzz matfile --seconds 60          one target (Atheris; pip install -e ".[fuzz]")
python -m fuzz all --seconds 7200 --work W   all, sharing the time; corpora, logs and findings stay in W
python -m fuzz matfile --replay FILE ...     inputs once more, without Atheris: what tests/project/test_fuzz_corpus.py does
python -m fuzz all --seeds                   write the seeds of the corpora anew, by the project's own writers
python -m fuzz all --keep --work W           add to the corpora what W found, minimised
python -m fuzz all --report OUT --work W     hours, executions, coverage and findings as fuzz.md and fuzz.json

target.py      what a target is, and where its files lie
guard.py       what no reader may do, seen by audit hooks
examining.py   what a finding is: the same for all targets
mending.py     checksums and lengths of containers made to fit, so that damage goes deeper
fuzzing.py     a target under libFuzzer, in a process of its own; begun again after a crash
instrument.py  that process
reporting.py   what came of it
targets/       a file a family
corpus/        small inputs from which fuzzing starts; crashes/: inputs that were findings once
"""
