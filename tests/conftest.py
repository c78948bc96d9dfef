"""What all Python tests share: the binary, the default model, the reference tools."""

import os
import pathlib
import signal
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests")]
# A shell starts what runs in its background with SIGINT ignored, nohup with SIGHUP, and programs started here would
# inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def pensieve():
    path = pathlib.Path(os.environ.get("PENSIEVE_BINARY", ROOT / "build" / "pensieve"))
    if not path.exists():
        pytest.fail(f"{path} is not there: run `make` first")
    return str(path)


@pytest.fixture(scope="session")
def default_model():
    path = os.environ.get("PN_TEST_MODEL")
    if not path:
        folder = pathlib.Path(os.environ.get("PENSIEVE_MODELS", ROOT / "models"))
        path = folder / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not pathlib.Path(path).exists():
        pytest.fail(f"{path} is not there: run `tools/fetch-model` first")
    return str(path)


@pytest.fixture(scope="session")
def sample_text():
    """About 100 kB of English prose that every Python installation carries: the licence and the documentation strings
    of the standard library."""
    import argparse, asyncio, collections, concurrent.futures, contextlib, csv, datetime, decimal, difflib, doctest
    import email, fractions, ftplib, functools, gettext, heapq, http.client, inspect, ipaddress, itertools, json, locale
    import logging, mailbox, optparse, pathlib as pl, pickle, pickletools, pydoc, random, re, shutil, smtplib, socket
    import ssl, statistics, string, subprocess, tarfile, textwrap, threading, tokenize, typing, unittest, urllib.request
    import uuid, zipfile

    modules = [argparse, asyncio, collections, concurrent.futures, contextlib, csv, datetime, decimal, difflib, doctest,
               email, fractions, ftplib, functools, gettext, heapq, http.client, inspect, ipaddress, itertools, json,
               locale, logging, mailbox, optparse, pl, pickle, pickletools, pydoc, random, re, shutil, smtplib, socket,
               ssl, statistics, string, subprocess, tarfile, textwrap, threading, tokenize, typing, unittest,
               urllib.request, uuid, zipfile]
    parts, size = [], 0
    for m in modules:
        for _, v in sorted(vars(m).items(), key=lambda kv: kv[0]):
            doc = inspect.getdoc(v) if callable(v) else None
            if doc and len(doc) > 200 and doc not in parts:
                parts.append(doc)
                size += len(doc)
                if size > 100_000:
                    return "\n\n".join(parts)
    return "\n\n".join(parts)
