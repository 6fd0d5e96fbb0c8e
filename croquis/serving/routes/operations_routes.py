"""For those who run the server: health, version, metrics, and the change of models."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from croquis.catalog.images import FORMATS
from croquis.registry.bundle_options import ModelSourceError
from croquis.serving.answers.answer_models import LimitValues, Status, Swap, Version
from croquis.serving.answers.problems import Problem
from croquis.serving.background.readiness import Readiness
from croquis.serving.background.timed_calls import CallLimitError, TimedCalls
from croquis.serving.limits.access import AccessControl
from croquis.serving.limits.http_meter import Meter
from croquis.serving.models.served_models import ReloadUnderWayError, ServedModels
from croquis.serving.requests.request_body import described
from croquis.serving.requests.request_models import MOST_RESULTS
from croquis.serving.server_settings import Limits
from croquis.serving.worker_processes import reload_all, several

RELOADS = 8  # requests that wait for one


def operations_router(
    fleet: ServedModels, readiness: Readiness, gatekeeper: AccessControl, meter: Meter, limits: Limits
) -> APIRouter:
    router = APIRouter(tags=["operations"])
    reloads = TimedCalls("reload", RELOADS)

    def stores() -> dict[str, str] | None:
        return {label: name for label, model in fleet.models().items() if (name := model.identity.store)} or None

    @router.get("/healthz", response_model_exclude_none=True)
    async def healthz() -> Status:
        """Whether the process lives."""
        return Status(status="ok", stores=stores())

    @router.get("/readyz", response_model_exclude_none=True)
    async def readyz(request: Request) -> Status:
        """Whether the models are loaded, a store that they search answers, and the server is not about to end;
        within a second. Models that could not be looked up again are `stale` and go on answering."""
        if not request.app.state.ready:
            raise Problem(503, "not-ready", "the server is starting or ending")
        return await readiness.status()

    @router.get("/version")
    async def version() -> Version:
        """The loaded models with their metrics, the modes of any of them, and the limits."""
        models = fleet.models()
        modes = dict.fromkeys(mode for model in models.values() for mode in model.modes)
        values = LimitValues(
            k=MOST_RESULTS, image_bytes=limits.image_bytes, pixels=limits.pixels, formats=list(FORMATS)
        )
        return Version(models=[model.info(label) for label, model in models.items()], modes=list(modes), limits=values)

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics() -> Response:
        """Prometheus's text format."""
        return Response(meter.text(), media_type=meter.media_type)

    @router.post(
        "/admin/reload", dependencies=[Depends(gatekeeper.admin)], responses=described({409: "A reload is under way."})
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
