from fake_phases.counting import run as run
