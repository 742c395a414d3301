"""Publish a run on the Hugging Face hub."""

from __future__ import annotations

from jsonargparse import ArgumentParser

from ..command import SWITCH, trust


def add_arguments(p: ArgumentParser) -> None:
    p.add_argument("run", type=str, help="what `colddiff train` wrote")
    p.add_argument("repo", type=str, help="owner/name on the Hugging Face hub; made if it is not there")
    p.add_argument("--private", action=SWITCH, default=False, help="for nobody else to see")
    p.add_argument("--revision", type=str | None, default=None, help="a branch; made if it is not there")
    p.add_argument("--message", type=str | None, default=None, help="of the commit")
    p.add_argument("--license", type=str | None, default=None, help="of the model, as the hub names it: cc-by-4.0")
    p.add_argument(
        "--prior", action=SWITCH, default=None,
        help="publish where generation starts; to be said where that is training images of your own",
    )  # fmt: skip
    trust(p)


def run(
    run: str, repo: str, private: bool, revision: str | None, message: str | None, license: str | None,
    prior: bool | None,
) -> None:  # fmt: skip
    """Publish a run, and print where it is."""
    from ....interop.huggingface import push

    url = push(run, repo, private=private, revision=revision, message=message, license=license, prior=prior)
    print(f"{run} is at {url}; load it with cd.load({repo + (f'@{revision}' if revision else '')!r})")
