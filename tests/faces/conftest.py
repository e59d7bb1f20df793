"""One stage and one of each face for the whole book."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .asgi_face import AsgiFace
from .engine_face import EngineFace
from .proxy_face import ProxyFace, Thread, Upstream
from .stage import Stage


@pytest.fixture(scope="session")
def thread() -> Iterator[Thread]:
    thread = Thread()
    yield thread
    thread.stop()


@pytest.fixture(scope="session")
def upstream(thread: Thread) -> Iterator[Upstream]:
    upstream = Upstream(thread)
    yield upstream
    thread.run(upstream.stop())


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, upstream: Upstream) -> Stage:
    return Stage(tmp_path_factory.mktemp("stage"), upstream.url)


@pytest.fixture(scope="session")
def engine_face(stage: Stage) -> EngineFace:
    return EngineFace(stage)


@pytest.fixture(scope="session")
def proxy_face(stage: Stage, thread: Thread, upstream: Upstream) -> Iterator[ProxyFace]:
    face = ProxyFace(stage, thread, upstream)
    yield face
    face.close()


@pytest.fixture(scope="session")
def asgi_face(stage: Stage) -> Iterator[AsgiFace]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIXFOLD_STATE", str(stage.state))
        face = AsgiFace(stage)
        yield face
        face.close()
