"""The page as a new user sees it: the README's run command, the model's result in two clicks, and a scale-up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.deploy.local.old_client import ask
from tests.deploy.local.service import RunCommand
from tests.gateway.page.browser import opened

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.fault, pytest.mark.slow]

# A start takes a moment, and the scaler would have a worker for each job that waits.
AUTO = {
    "WORKERS": "auto",
    "MAX_REPLICAS": "2",
    "MODEL_SETUP_S": "2",
    "MODEL_PREDICT_S": "3",
    "SERVICE_GUESS_S": "3",
    "STARTUP_GUESS_S": "3",
}


async def test_two_clicks_lead_to_a_result_and_the_scaler_is_seen_to_start_workers(tmp_path: Path) -> None:
    with RunCommand(tmp_path, **AUTO) as service:
        await service.says("leadtime | ready: ")
        async with opened(f"{service.base}/") as (page, complaints):
            watching = await page.context.new_page()
            await watching.goto(f"{service.base}/#/now")
            await watching.get_by_text("No worker is there. The scaler starts one when jobs come.").wait_for()

            await page.get_by_role("link", name="Try a job").click()
            await page.get_by_role("button", name="Run").click()
            for n in range(6):
                ask(f"{service.base}/push?input=hello{n}", "POST")

            scaler = watching.get_by_role("region", name="Scaler")
            await scaler.get_by_text("2 workers: ").wait_for()
            workers = watching.get_by_role("region", name="Workers", exact=True)
            await workers.get_by_text("starting", exact=False).first.wait_for()
            await workers.get_by_text("2 busy").wait_for()

            result = page.get_by_label("Result")
            await result.get_by_text("finished").wait_for()
            await result.get_by_text("ran on hello").wait_for()
            assert complaints == []
        assert service.interrupt() == 0
