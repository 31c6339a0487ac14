"""One server after the other, until one takes us.  RFC 3263 section 4.3."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from ..errors import CertificateRefused, Unreachable
from ..sip.transport import Target

log = logging.getLogger("sottovoce.phone")

#: For all servers together: one that alone is there may let a REGISTER wait its full 32 s
#: (RFC 3261 timer F) after the connection has taken its time.
MAX_FAILOVER_S: Final = 45.0
#: For one server, as long as there are others: no living one takes longer.
MAX_SERVER_S: Final = 8.0


async def use_first(
    targets: Sequence[Target],
    attempt: Callable[[Target], Awaitable[None]],
    *,
    total_s: float = MAX_FAILOVER_S,
) -> None:
    """Attempt each target in turn until one attempt succeeds.

    A target that cannot be reached, does not answer, is overloaded (503) or shows a wrong
    certificate is followed by the next.  After a wrong certificate only targets with TLS
    are: whoever can spoil our connection to the right server gets no clear text for it.

    Args:
        targets: At least one, the best first.
        attempt: Raises Unreachable or CertificateRefused where the next should be tried;
            anything else ends the search.
        total_s: For all together; each has an equal share of what is left.

    Raises:
        CertificateRefused: None succeeded, and one at least showed a wrong certificate.
        Unreachable: None succeeded; with several, the message names each and its reason.

    """
    loop = asyncio.get_running_loop()
    end_at = loop.time() + total_s
    failures: list[tuple[Target, Unreachable | CertificateRefused]] = []
    refused = False
    for number, target in enumerate(targets):
        # Departs from RFC 3263 4.3, which goes on to whatever the DNS named next.
        if refused and not target.transport.secure:
            log.warning("%s is not tried: no clear text after a wrong certificate", target)
            continue
        share_s = (end_at - loop.time()) / (len(targets) - number)
        if number + 1 < len(targets):
            share_s = min(share_s, MAX_SERVER_S)
        try:
            async with asyncio.timeout(share_s):
                await attempt(target)
        except TimeoutError:
            late = f"no answer from {target} within {share_s:.1f} s"
            failures.append((target, Unreachable(408, late)))
        except (Unreachable, CertificateRefused) as error:
            failures.append((target, error))
            refused = refused or isinstance(error, CertificateRefused)
        else:
            return
        if number + 1 < len(targets):  # the last one's is told by the exception
            log.warning("%s", _told(*failures[-1]))
    if len(failures) == 1:
        raise failures[0][1]
    told = " / ".join(_told(target, error) for target, error in failures)
    if refused:
        raise CertificateRefused(f"no server can be used: {told}")
    raise Unreachable(503, f"no server can be used: {told}")


def _told(target: Target, error: Unreachable | CertificateRefused) -> str:
    reason = error.reason if isinstance(error, Unreachable) else str(error)
    return reason if str(target) in reason else f"{target}: {reason}"
