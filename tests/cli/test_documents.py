"""The command line's view of the documents against the model they come from."""

from typing import get_type_hints

import msgspec
import pytest
from qvl.client import documents
from qvl.model import api, event, gpu, plan, status, worker

PAIRS = [
    (documents.ConfigDoc, status.ConfigStatus),
    (documents.SupervisorDoc, status.SupervisorStatus),
    (documents.SwitchDoc, status.SwitchStatus),
    (documents.ExternalDoc, status.ExternalStatus),
    (documents.GatewayDoc, status.GatewayStatus),
    (documents.PoolDoc, status.PoolStatus),
    (documents.ProgressDoc, worker.Progress),
    (documents.ExitDoc, status.ExitStatus),
    (documents.MetricsDoc, status.WorkerMetrics),
    (documents.WorkerDoc, status.WorkerStatus),
    (documents.HolderDoc, gpu.GpuHolder),
    (documents.GpuDoc, gpu.GpuSample),
    (documents.StatusDoc, status.Status),
    (documents.KeyChangeDoc, plan.KeyChange),
    (documents.PlanStepDoc, plan.PlanStep),
    (documents.PlanWarningDoc, plan.PlanWarning),
    (documents.PlanDoc, plan.Plan),
    (documents.AcceptedDoc, api.Accepted),
    (documents.ProfileInfoDoc, api.ProfileInfo),
    (documents.ArgOriginDoc, api.ArgOrigin),
    (documents.ProfileDoc, api.ProfileDetail),
    (documents.ResolvedValueDoc, api.ResolvedValue),
    (documents.ResolvedDoc, api.Resolved),
    (documents.VersionDoc, api.VersionInfo),
]
FRAMES = (event.Snapshot, event.Event, event.Change, event.Heartbeat, event.Lost)


def wire_names(struct: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(struct)}


@pytest.mark.parametrize(("document", "struct"), PAIRS, ids=lambda kind: kind.__name__)
def test_every_key_is_a_field_of_the_model(document: type, struct: type[msgspec.Struct]) -> None:
    assert set(get_type_hints(document)) <= wire_names(struct)


def test_every_document_is_compared() -> None:
    here = {name for name in vars(documents) if name.endswith("Doc")}
    assert here == {document.__name__ for document, _ in PAIRS} | {"FrameDoc"}


def test_a_frame_has_the_keys_of_all_frames() -> None:
    known = set().union(*(wire_names(frame) for frame in FRAMES)) | {"type"}
    assert set(get_type_hints(documents.FrameDoc)) <= known


@pytest.mark.parametrize("frame", FRAMES)
def test_the_types_of_frames_are_those_that_are_looked_for(frame: type[msgspec.Struct]) -> None:
    assert frame.__struct_config__.tag == frame.__name__.lower()
