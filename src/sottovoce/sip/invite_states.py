"""The states of one call, as a table.  RFC 3261 sections 9, 13, 15.

::

    we call:      CALLING --1xx--> PROCEEDING --2xx--> CONFIRMED
                     |                 |
                  hang up           hang up
                     v                 v
              CANCEL_WAITING --1xx--> CANCELLING --final--> ENDED

    we are called: RINGING --answer--> ANSWERED --ACK--> CONFIRMED
                                           |
                                        hang up
                                           v
                                       HANGING_UP --ACK--> LEAVING

    CONFIRMED --hang up--> LEAVING --BYE answered--> ENDED
        +-----BYE---------------------------------> ENDED
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto


class State(Enum):
    CALLING = auto()
    PROCEEDING = auto()
    CANCEL_WAITING = auto()  # given up before a provisional response allowed a CANCEL
    CANCELLING = auto()
    RINGING = auto()
    ANSWERED = auto()
    HANGING_UP = auto()  # given up before the ACK allowed a BYE (section 15)
    CONFIRMED = auto()
    LEAVING = auto()
    ENDED = auto()
    __hash__ = object.__hash__


class Input(Enum):
    PROVISIONAL = auto()
    CHALLENGE = auto()  # sent once more, with credentials
    SUCCESS = auto()
    EMPTY_SUCCESS = auto()  # without the description that the exchange needs
    FAILURE = auto()
    HANG_UP = auto()
    PROGRESS = auto()
    ANSWER = auto()
    REJECT = auto()
    CANCEL = auto()
    ACK = auto()
    NO_ACK = auto()
    BYE = auto()
    BYE_OVER = auto()
    LOST = auto()  # the peer does not know the call, does not answer, or cannot be reached
    NO_ANSWER = auto()  # timer: rung long enough
    REPEAT_PROGRESS = auto()  # timer
    __hash__ = object.__hash__


class Action(Enum):
    NOTE_PROGRESS = auto()
    CONFIRM = auto()
    CONFIRM_AND_LEAVE = auto()
    SEND_CANCEL = auto()
    SEND_PROGRESS = auto()
    SEND_ANSWER = auto()
    SEND_REFUSAL = auto()
    SEND_BYE = auto()
    START_CHANGES = auto()
    REPORT_CONFIRMED = auto()
    REPORT_FAILED = auto()
    REPORT_ENDED = auto()
    __hash__ = object.__hash__


_S, _I, _A = State, Input, Action
_LEAVE = (_S.LEAVING, (_A.SEND_BYE, _A.REPORT_ENDED))
_REFUSE = (_S.ENDED, (_A.SEND_REFUSAL, _A.REPORT_ENDED))
_FAIL = (_S.ENDED, (_A.REPORT_FAILED,))
_CROSSED = (_S.LEAVING, (_A.CONFIRM_AND_LEAVE, _A.REPORT_FAILED))

#: A pair that is absent is ignored, or for what the user asks an error; the tests list them.
TABLE: Mapping[tuple[State, Input], tuple[State, tuple[Action, ...]]] = {
    (_S.CALLING, _I.PROVISIONAL): (_S.PROCEEDING, (_A.NOTE_PROGRESS,)),
    (_S.CALLING, _I.CHALLENGE): (_S.CALLING, ()),
    (_S.CALLING, _I.SUCCESS): (_S.CONFIRMED, (_A.CONFIRM,)),
    (_S.CALLING, _I.FAILURE): _FAIL,
    (_S.CALLING, _I.EMPTY_SUCCESS): _CROSSED,
    (_S.CALLING, _I.HANG_UP): (_S.CANCEL_WAITING, ()),
    (_S.CALLING, _I.NO_ANSWER): (_S.CANCEL_WAITING, ()),
    (_S.PROCEEDING, _I.PROVISIONAL): (_S.PROCEEDING, (_A.NOTE_PROGRESS,)),
    (_S.PROCEEDING, _I.CHALLENGE): (_S.CALLING, ()),
    (_S.PROCEEDING, _I.SUCCESS): (_S.CONFIRMED, (_A.CONFIRM,)),
    (_S.PROCEEDING, _I.FAILURE): _FAIL,
    (_S.PROCEEDING, _I.EMPTY_SUCCESS): _CROSSED,
    (_S.PROCEEDING, _I.HANG_UP): (_S.CANCELLING, (_A.SEND_CANCEL,)),
    (_S.PROCEEDING, _I.NO_ANSWER): (_S.CANCELLING, (_A.SEND_CANCEL,)),
    # RFC 5407 section 3.1.2: it overtook the 2xx; if that comes too, it is acknowledged.
    (_S.PROCEEDING, _I.BYE): (_S.CANCELLING, (_A.SEND_CANCEL,)),
    (_S.CANCEL_WAITING, _I.PROVISIONAL): (_S.CANCELLING, (_A.SEND_CANCEL,)),
    (_S.CANCEL_WAITING, _I.SUCCESS): _CROSSED,
    (_S.CANCEL_WAITING, _I.EMPTY_SUCCESS): _CROSSED,
    (_S.CANCEL_WAITING, _I.FAILURE): _FAIL,
    (_S.CANCELLING, _I.SUCCESS): _CROSSED,
    (_S.CANCELLING, _I.EMPTY_SUCCESS): _CROSSED,
    (_S.CANCELLING, _I.FAILURE): _FAIL,
    (_S.RINGING, _I.PROGRESS): (_S.RINGING, (_A.SEND_PROGRESS,)),
    (_S.RINGING, _I.REPEAT_PROGRESS): (_S.RINGING, (_A.SEND_PROGRESS,)),
    (_S.RINGING, _I.ANSWER): (_S.ANSWERED, (_A.SEND_ANSWER,)),
    (_S.RINGING, _I.REJECT): _REFUSE,
    (_S.RINGING, _I.HANG_UP): _REFUSE,
    (_S.RINGING, _I.NO_ANSWER): _REFUSE,
    (_S.RINGING, _I.CANCEL): _REFUSE,
    (_S.RINGING, _I.BYE): _REFUSE,
    (_S.RINGING, _I.LOST): (_S.ENDED, (_A.REPORT_ENDED,)),
    (_S.ANSWERED, _I.ACK): (_S.CONFIRMED, (_A.START_CHANGES, _A.REPORT_CONFIRMED)),
    (_S.ANSWERED, _I.NO_ACK): _LEAVE,
    (_S.ANSWERED, _I.HANG_UP): (_S.HANGING_UP, (_A.REPORT_ENDED,)),
    (_S.ANSWERED, _I.BYE): (_S.ENDED, (_A.REPORT_ENDED,)),
    (_S.HANGING_UP, _I.ACK): (_S.LEAVING, (_A.SEND_BYE,)),
    (_S.HANGING_UP, _I.NO_ACK): (_S.LEAVING, (_A.SEND_BYE,)),
    (_S.HANGING_UP, _I.BYE): (_S.ENDED, ()),
    (_S.CONFIRMED, _I.HANG_UP): _LEAVE,
    (_S.CONFIRMED, _I.LOST): _LEAVE,
    (_S.CONFIRMED, _I.BYE): (_S.ENDED, (_A.REPORT_ENDED,)),
    (_S.LEAVING, _I.BYE_OVER): (_S.ENDED, ()),
}

_TIMERS = (Input.NO_ANSWER, Input.REPEAT_PROGRESS)
#: Timers that still mean something in each state; entering a state drops the rest.
LIVE_TIMERS: Mapping[State, frozenset[Input]] = {
    state: frozenset(timer for timer in _TIMERS if (state, timer) in TABLE) for state in State
}


@dataclass(frozen=True, slots=True)
class Why:
    """Why a step is taken: what is answered, and what the user is told."""

    status: int = 0
    reason: str = ""
    warning: str = ""
    by_remote: bool = False

    phrase: str = ""
    "Reason phrase to answer with; the usual one if empty."
