"""The settings of a run: one frozen model a section, unknown keys refused."""

from __future__ import annotations

from pydantic import Field, field_validator

from so8t_core.contract.settings.base import Section
from so8t_core.contract.settings.cleanse import CleanseSettings
from so8t_core.contract.settings.crawl import CrawlSettings
from so8t_core.contract.settings.engine import EngineSettings, NotifySettings
from so8t_core.contract.settings.evaluate import EvaluateSettings
from so8t_core.contract.settings.export import ExportSettings
from so8t_core.contract.settings.model import IntegrateSettings, ModelSettings, VerifySettings
from so8t_core.contract.settings.report import ReportSettings
from so8t_core.contract.settings.serve import ServeSettings
from so8t_core.contract.settings.train import TrainSettings


class Settings(Section):
    """Everything that one YAML file says."""

    name: str = Field(
        "so8t", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Stem of the run's name."
    )
    seed: int = Field(42, ge=0, lt=2**32, description="Seed of everything random in the run.")
    engine: EngineSettings = Field(default_factory=EngineSettings, description="Retries, guards.")
    crawl: CrawlSettings = Field(default_factory=CrawlSettings, description="Phase 1.")
    cleanse: CleanseSettings = Field(default_factory=CleanseSettings, description="Phase 2.")
    model: ModelSettings = Field(default_factory=ModelSettings, description="Base model and gate.")
    verify: VerifySettings = Field(default_factory=VerifySettings, description="Phase 3.")
    integrate: IntegrateSettings = Field(default_factory=IntegrateSettings, description="Phase 4.")
    train: TrainSettings = Field(default_factory=TrainSettings, description="Phase 5.")
    evaluate: EvaluateSettings = Field(default_factory=EvaluateSettings, description="Phase 6.")
    export: ExportSettings = Field(default_factory=ExportSettings, description="Phase 7.")
    report: ReportSettings = Field(default_factory=ReportSettings, description="Phase 8.")
    serve: ServeSettings = Field(default_factory=ServeSettings, description="The server.")
    notify: NotifySettings = Field(default_factory=NotifySettings, description="The end of a run.")

    @field_validator("name")
    @classmethod
    def _no_dots_only(cls, value: str) -> str:
        if set(value) <= {"."}:
            raise ValueError("must not consist of dots")
        return value
