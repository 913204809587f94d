from dataclasses import dataclass

@dataclass(frozen=True, slots=True)
class Cpu:
    level: str
    levels: tuple[str, ...]

def cpu() -> Cpu: ...
