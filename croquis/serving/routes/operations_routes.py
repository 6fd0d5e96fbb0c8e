"""For those who run the server: health, version, metrics, and the change of models."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from croquis.catalog.images import FORMATS
from croquis.registry.bundle_options import ModelSourceError
from croquis.serving.answers.answer_models import LimitValues, Status, Swap, Version
from croquis.serving.answers.problems import Problem, described
from croquis.serving.background.readiness import Readiness
from croquis.serving.background.timed_calls import CallLimitError, TimedCalls
from croquis.serving.limits.access import AccessControl
from croquis.serving.limits.http_meter import Meter
from croquis.serving.models.served_models import ReloadUnderWayError, ServedModels
from croquis.serving.requests.request_models import MOST_RESULTS
from croquis.serving.server_settings import Limits
from croquis.serving.worker_processes import reload_all, several

RELOADS = 8  # requests that wait for one
RELOAD_ERRORS = {
    401: "No admin token.",
    403: "The server has no admin token.",
    409: "A reload is under way.",
    503: "A model could not be looked up or loaded; all stay as they are.",
}


def operations_router(
    fleet: ServedModels, readiness: Readiness, gatekeeper: AccessControl, meter: Meter, limits: Limits
) -> APIRouter:
    """`/healthz`, `/readyz`, `/version` and `/metrics` without a key, and `/admin/reload` with the admin token."""
    router = APIRouter(tags=["operations"])
    reloads = TimedCalls("reload", RELOADS)

    def stores() -> dict[str, str] | None:
        return {label: name for label, model in fleet.models().items() if (name := model.identity.store)} or None

    @router.get(
        "/healthz",
        summary="Whether the process lives",
        response_description="It does.",
        response_model_exclude_none=True,
    )
    async def healthz() -> Status:
        """Asks nothing of models and stores: for a supervisor that restarts the process."""
        return Status(status="ok", stores=stores())

    @router.get(
        "/readyz",
        summary="Whether searches can be answered",
        response_description="They can.",
        responses=described({503: "The server starts or ends, or a store does not answer."}),
        response_model_exclude_none=True,
    )
    async def readyz(request: Request) -> Status:
        """Whether the models are loaded, a store that they search answers, and the server is not about to end;
        within a second. Models that could not be looked up again are `stale` and go on answering."""
        if not request.app.state.ready:
            raise Problem(503, "not-ready", "the server is starting or ending")
        return await readiness.status()

    @router.get("/version", summary="Models, modes and limits", response_description="What runs here.")
    async def version() -> Version:
        """The loaded models with their metrics, the modes of any of them, and the limits."""
        models = fleet.models()
        modes = dict.fromkeys(mode for model in models.values() for mode in model.modes)
        values = LimitValues(
            k=MOST_RESULTS, image_bytes=limits.image_bytes, pixels=limits.pixels, formats=list(FORMATS)
        )
        return Version(models=[model.info(label) for label, model in models.items()], modes=list(modes), limits=values)

    @router.get(
        "/metrics",
        summary="Counters and times for Prometheus",
        response_class=Response,
        response_description="Prometheus's text format.",
        responses={200: {"content": {"text/plain": {}}}},
    )
    async def metrics() -> Response:
        """Requests, latency, steps of a search, queue, refusals, and what the models and stores do."""
        return Response(meter.text(), media_type=meter.media_type)

    @router.post(
        "/admin/reload",
        summary="Look the models up again",
        response_description="What was done to each label.",
        dependencies=[Depends(gatekeeper.admin)],
        responses=described(RELOAD_ERRORS),
    )
    async def reload() -> list[Swap]:
        """Looks every model up again and loads what has changed; requests go on meanwhile.
        All processes of the server do."""
        try:
            swaps = await reloads.run(fleet.reload, None)
        except (ReloadUnderWayError, CallLimitError) as error:
            raise Problem(409, "reload-under-way", str(error), headers={"Retry-After": "5"}) from None
        except ModelSourceError as error:
            raise Problem(503, "reload-failed", f"the models stay as they are: {error}") from None
        if several():
            reload_all()
        return swaps

    return router
