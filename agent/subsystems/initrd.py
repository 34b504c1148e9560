"""The target's initrds: made anew exactly when what goes into them was changed.

Two subsystems that share what they know: `Inputs` looks at the target as the image left it,
`Initrd` looks again when everything was configured.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from agent.api.errors import Kind, TridentError
from agent.engine.context import Context
from agent.engine.subsystem import Effect, Phase, Step, Verb
from agent.linux import initrd
from agent.subsystems.boot import families, staging

log = logging.getLogger(__name__)


class Inputs:
    """Remembers what the image's initrds were made of. First of all that write to the target."""

    name = "initrd-inputs"

    def __init__(self) -> None:
        self.fingerprint: str | None = None

    def tools(self, _: Context) -> Sequence[str]:
        return ()

    def validate(self, _: Context) -> None:
        """Nothing here depends on the servicing host."""

    def stage(self, context: Context) -> Sequence[Step]:
        if context.image is None:
            return ()
        return (
            Step(
                "initrd/inputs",
                Phase.PROVISION,
                "looking at what the image's initrd was made of",
                self._look,
            ),
        )

    def finalize(self, _: Context) -> Sequence[Step]:
        return ()

    def _look(self, context: Context) -> None:
        self.fingerprint = fingerprint(context)


class Initrd:
    """Makes the initrds anew. Last of all that change the target's configuration."""

    name = "initrd"

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs

    def tools(self, _: Context) -> Sequence[str]:
        return ("chroot",)

    def validate(self, _: Context) -> None:
        """Which program makes the initrds shows when the image is there."""

    def stage(self, context: Context) -> Sequence[Step]:
        if context.image is None:
            return ()
        return (
            Step(
                "initrd/regenerate",
                Phase.CONFIGURE,
                "making the initrd anew, if what goes into it was changed",
                self._regenerate,
                (Effect(Verb.CHANGE, "the initrds in /boot", "if they have to be"),),
            ),
        )

    def finalize(self, _: Context) -> Sequence[Step]:
        return ()

    def _regenerate(self, context: Context) -> None:
        debug = context.configuration.internal_params.dracut_debug
        changed = fingerprint(context) != self._inputs.fingerprint
        metadata = staging.image(context).metadata
        if metadata.is_uki:
            if changed:
                log.warning(
                    "the initrd is part of the image's UKI and does not see what was configured "
                    "for it (modules, crypttab, mdadm.conf, udev rules)"
                )
            return
        if changed or debug:
            make(context, families.of_image(metadata).initrd_tools, debug=debug)
        else:
            log.info("the initrd stays: nothing that goes into it was changed")


def fingerprint(context: Context) -> str:
    """Of what goes into the newroot's initrds, when its own tool makes them."""
    tools = families.of_image(staging.image(context).metadata).initrd_tools
    return initrd.fingerprint(context.newroot, initrd.find(context.newroot, tools))


def make(context: Context, tools: Sequence[initrd.Tool], *, debug: bool) -> None:
    """Make all initrds of the newroot anew. Raises regenerate-initrd."""
    tool = initrd.find(context.newroot, tools)
    if tool is None:
        names = " or ".join(f"'{tool.program}'" for tool in tools)
        raise _failed(
            f"the initrd has to be made anew, and the image has no {names}",
            "add a package to the image that makes initrds",
        )
    try:
        result = initrd.regenerate(context.newroot, tool, tool.debug if debug else ())
    except TridentError as error:
        raise _failed(
            error.message, "see whether the target's /boot is full; correct what goes into it"
        ) from error
    log.debug("%s said:\n%s", tool.program, result.stdout)


def _failed(message: str, hint: str) -> TridentError:
    return TridentError(Kind.SERVICING, "regenerate-initrd", message, hint=hint)
