"""The tools of the black-box tests, one class a tool."""

from .bench import Bench
from .certificates import Certificates
from .curl import Curl
from .gate import Gate
from .http2 import Http2
from .rawhttp import RawHttp
from .repository import Repository
from .server import Server
from .waiting import PATIENCE, until

__all__ = ["PATIENCE", "Bench", "Certificates", "Curl", "Gate", "Http2", "RawHttp", "Repository",
           "Server", "until"]
