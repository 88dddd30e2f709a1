"""Published evaluation protocols: what is scored, against which labels, and the figures of others."""

from zero_shot.protocols.apply import ProtocolPlan, apply_protocol
from zero_shot.protocols.protocol import Protocol, load_protocol, protocol_names
from zero_shot.protocols.published import beside_published, beside_text, with_headline
from zero_shot.protocols.radiologists import Readings, find_readings, read_readings
from zero_shot.protocols.truth import truth_table

__all__ = [
    "Protocol",
    "ProtocolPlan",
    "Readings",
    "apply_protocol",
    "beside_published",
    "beside_text",
    "find_readings",
    "load_protocol",
    "protocol_names",
    "read_readings",
    "truth_table",
    "with_headline",
]
