"""The tools of the black-box tests, one class a tool."""

from .certificates import Certificates
from .curl import Curl
from .gate import Gate
from .rawhttp import RawHttp
from .repository import Repository
from .server import Server
from .waiting import PATIENCE, until

__all__ = ["PATIENCE", "Certificates", "Curl", "Gate", "RawHttp", "Repository", "Server", "until"]
