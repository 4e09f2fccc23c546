"""The logger of example 08: a coloured console, and a file that rotates."""

import logging
import os
from logging.handlers import RotatingFileHandler

COLOURS = {"DEBUG": 36, "INFO": 32, "WARNING": 33, "ERROR": 31, "CRITICAL": 35}


class ColourFormatter(logging.Formatter):
    def format(self, record):
        return f"\033[{COLOURS[record.levelname]}m{super().format(record)}\033[0m"


def make_logger(name):
    directory = os.environ.get("LOG_DIR", "logs")
    os.makedirs(directory, exist_ok=True)
    logger = logging.getLogger(name)
    logger.setLevel(logging.DEBUG)

    console = logging.StreamHandler()
    console.setFormatter(ColourFormatter("%(levelname)s %(message)s"))
    logger.addHandler(console)

    size = int(os.environ.get("LOG_BYTES", 1024 * 1024))
    path = os.path.join(directory, f"{name}.log")
    file = RotatingFileHandler(path, maxBytes=size, backupCount=10)
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(file)
    return lambda level, text: getattr(logger, level)(text)
