"""Runs nv-attestation-sdk's own functions within its own environment: one JSON object in, one out, no network.

Started by `qnsp-policy` with the SDK's interpreter, in an empty folder (the SDK writes its log there). `judge` takes recorded evidence of a
GPU, or by the SDK's other verifier of a switch, through what the SDK does, step by step, but for what it does over the network only: it has no way to be given an OCSP answer, so
revocation is `not judged`. The SDK reads the wall clock; here each certificate store is given the time of the request instead.
`collect` takes evidence of the GPUs of this machine.
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import sys
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

OK, REFUSED, NOT_JUDGED = "ok", "refused", "not judged"


def _at(now: datetime) -> None:
    """Every certificate store of OpenSSL judges at this time."""
    from OpenSSL import SSL, crypto

    class Store(crypto.X509Store):
        def __init__(self) -> None:
            super().__init__()
            self.set_time(now)

    own = SSL.Context.get_cert_store

    def dated(context: Any) -> Any:
        store = own(context)
        if store is not None:
            store.set_time(now)
        return store

    crypto.X509Store = Store
    SSL.Context.get_cert_store = dated


class _Steps:
    """What was judged so far; a step that raises or returns False is refused, and what needs it is not judged."""

    def __init__(self) -> None:
        self.found: list[dict[str, str]] = []

    def add(self, step: str, verdict: str, detail: str = "") -> None:
        self.found.append({"step": step, "verdict": verdict, "detail": " ".join(detail.split())[:400]})

    def run(self, step: str, judge: Callable[[], Any], good: str = "") -> Any:
        try:
            value = judge()
        except Exception as error:  # noqa: BLE001  whatever the SDK raises is its refusal
            self.add(step, REFUSED, f"{type(error).__name__}: {error}")
            return None
        verdict = value[0] if isinstance(value, tuple) else value
        if verdict is False:
            self.add(step, REFUSED, good and f"not: {good}")
            return None
        self.add(step, OK, good)
        return True if value is None else value


def _roots(base: Any, request: dict[str, Any]) -> None:
    """Puts the roots of the request in place of those that the SDK ships."""
    for name in ("device", "rim"):
        path = Path(f"{name}-root.pem")
        path.write_text(request[f"{name}Root"], encoding="ascii")
        setattr(base, f"{name.upper()}_ROOT_CERT", str(path.resolve()))
    base.ROOT_CERT_DIR = str(Path.cwd())


def _judge_switch(request: dict[str, Any]) -> list[dict[str, str]]:
    """The same for a switch: one RIM, no FWID in the reports of LS10."""
    from nv_attestation_sdk.verifiers.nv_switch_verifier import config
    from nv_attestation_sdk.verifiers.nv_switch_verifier.attestation import AttestationReport
    from nv_attestation_sdk.verifiers.nv_switch_verifier.nvswitch_admin_utils import NVSwitchAdminUtils
    from nv_attestation_sdk.verifiers.nv_switch_verifier.nvswitch_verifier import SwitchVerifier
    from nv_attestation_sdk.verifiers.nv_switch_verifier.utils import cert_chain_utils, format_vbios_version
    from OpenSSL import crypto

    settings = config.LS10Settings()
    _roots(config.BaseSettings, request)
    modes = config.BaseSettings.Certificate_Chain_Verification_Mode
    steps, log = _Steps(), logging.getLogger("switch")
    data = base64.b64decode(request["report"])
    report = steps.run("framing", lambda: AttestationReport(data, log, log), "the report was parsed")
    if report is None:
        return steps.found
    opaque = report.get_response_message().get_opaque_data()
    root = crypto.load_certificate(crypto.FILETYPE_PEM, request["deviceRoot"])
    chain = steps.run(
        "certificates",
        lambda: [*cert_chain_utils.extract_cert_chain(request["chain"].encode())[:-1], root],
        "the chain was read",
    )
    if chain:
        steps.run(
            "chain",
            lambda: NVSwitchAdminUtils.verify_certificate_chain(chain, settings, modes.SWITCH_ATTESTATION),
            "ends in the device root, valid at the time asked",
        )
        _signed(steps, report, chain[0], settings)
    _fresh(steps, report, request)
    text = request.get("vbiosRim")
    if not text:
        steps.add("rim", NOT_JUDGED, "no BIOS RIM was given")
        steps.add("measurements", NOT_JUDGED, "no BIOS RIM was given")
        return steps.found

    def read_rim() -> Any:
        stated = format_vbios_version(opaque.get_data("OPAQUE_FIELD_ID_VBIOS_VERSION"))
        return _switch_rim(text, stated, settings, NVSwitchAdminUtils, modes.VBIOS_RIM_CERT)

    rim = steps.run("rim", read_rim, "BIOS RIM")
    if rim is None:
        steps.add("measurements", NOT_JUDGED, "the RIM was refused")
    else:
        steps.run(
            "measurements",
            lambda: SwitchVerifier(report, rim, settings).verify(settings),
            "each active one is an alternative of its RIM",
        )
    return steps.found


def _switch_rim(text: str, stated: str, settings: Any, utils: Any, mode: Any) -> Any:
    from nv_attestation_sdk.verifiers.nv_switch_verifier import rim as module

    log = logging.getLogger("switch-rim")
    rim = module.RIM("switch", settings, log, log, content=text)
    if not rim.validate_schema(schema_path=str(Path(module.__file__).parent / "swidSchema2015.xsd")):
        raise ValueError("not of the SWID schema")
    return _judged_rim(rim, stated, settings, utils, mode)


def _signed(steps: _Steps, report: Any, leaf: Any, settings: Any) -> None:
    steps.run(
        "signature",
        lambda: report.verify_signature(leaf.to_cryptography(), settings.signature_length, settings.HashFunction),
        "by the leaf",
    )


def _fresh(steps: _Steps, report: Any, request: dict[str, Any]) -> None:
    """The nonce, and what the SDK cannot be given: recorded OCSP answers."""
    if request.get("nonce"):
        wanted = bytes.fromhex(request["nonce"])
        steps.run("freshness", lambda: report.get_request_message().get_nonce() == wanted, "the nonce of the request")
    else:
        steps.add("freshness", NOT_JUDGED, "no nonce was given")
    steps.add("revocation", NOT_JUDGED, "the SDK asks OCSP over the network only and takes no recorded answer")


def _judge(request: dict[str, Any]) -> list[dict[str, str]]:
    from OpenSSL import crypto
    from verifier.attestation import AttestationReport
    from verifier.cc_admin_utils import CcAdminUtils
    from verifier.config import GPU_ARCHITECTURE_MAP, BaseSettings
    from verifier.nvml.gpu_cert_chains import GpuCertificateChains
    from verifier.utils import format_vbios_version
    from verifier.verifier import Verifier

    settings = GPU_ARCHITECTURE_MAP[10 if request["architecture"] == "blackwell" else 9]
    _roots(BaseSettings, request)
    steps = _Steps()
    data = base64.b64decode(request["report"])
    report = steps.run("framing", lambda: AttestationReport(data, settings), "the report was parsed")
    if report is None:
        return steps.found
    opaque = report.get_response_message().get_opaque_data()
    chain = steps.run(
        "certificates",
        lambda: [
            *GpuCertificateChains.extract_cert_chain(request["chain"].encode())[:-1],
            crypto.load_certificate(crypto.FILETYPE_PEM, request["deviceRoot"]),
        ],
        "the chain was read",
    )
    if chain:
        fwid = opaque.get_data("OPAQUE_FIELD_ID_FWID").hex()
        if fwid:
            steps.run(
                "firmware-id", lambda: CcAdminUtils.extract_fwid(chain[0], settings) == fwid, "the leaf names this FWID"
            )
        else:
            steps.add("firmware-id", NOT_JUDGED, "the report states none, which the SDK passes over")
        mode = BaseSettings.Certificate_Chain_Verification_Mode.GPU_ATTESTATION
        steps.run(
            "chain",
            lambda: CcAdminUtils.verify_certificate_chain(chain, settings, mode),
            "ends in the device root, valid at the time asked",
        )
        _signed(steps, report, chain[0], settings)
    _fresh(steps, report, request)
    rims: dict[str, Any] = {}
    for name, stated in (
        ("driver", lambda: opaque.get_data("OPAQUE_FIELD_ID_DRIVER_VERSION").decode().rstrip("\0")),
        ("vbios", lambda: format_vbios_version(opaque.get_data("OPAQUE_FIELD_ID_VBIOS_VERSION"))),
    ):
        text = request.get(f"{name}Rim")
        if not text:
            steps.add("rim", NOT_JUDGED, f"no {name} RIM was given")
            continue
        rim = steps.run(
            "rim", lambda name=name, text=text, stated=stated: _rim(name, text, stated(), settings), f"{name} RIM"
        )
        if rim is not None:
            rims[name] = rim
    if len(rims) == 2:
        steps.run(
            "measurements",
            lambda: Verifier(report, rims["driver"], rims["vbios"], settings).verify(settings),
            "each active one is an alternative of its RIM",
        )
    else:
        steps.add("measurements", NOT_JUDGED, "the SDK compares with both RIMs or not at all")
    return steps.found


def _rim(name: str, text: str, stated: str, settings: Any) -> Any:
    """A RIM as the SDK verifies it, but for OCSP: schema, version, chain to the root, signature, measurements."""
    from verifier.cc_admin_utils import CcAdminUtils
    from verifier.config import BaseSettings
    from verifier.rim import RIM

    path = Path(f"{name}.xml")
    path.write_text(text, encoding="utf-8")
    rim = RIM(rim_name=name, settings=settings, rim_path=str(path))
    if not rim.validate_schema():
        raise ValueError("not of the SWID schema")
    modes = BaseSettings.Certificate_Chain_Verification_Mode
    mode = modes.DRIVER_RIM_CERT if name == "driver" else modes.VBIOS_RIM_CERT
    return _judged_rim(rim, stated, settings, CcAdminUtils, mode)


def _judged_rim(rim: Any, stated: str, settings: Any, utils: Any, mode: Any) -> Any:
    """Version, chain to the root, signature, measurements: read again from what was signed."""
    from OpenSSL import crypto

    if rim.get_colloquial_version().lower() != stated.lower():
        raise ValueError(f"is for version {rim.get_colloquial_version()}, the report states {stated}")
    root = crypto.load_certificate(crypto.FILETYPE_PEM, Path(settings.RIM_ROOT_CERT).read_text(encoding="ascii"))
    good, expired, end = utils.verify_certificate_chain([*rim.extract_certificates(), root], settings, mode)
    if not good:
        raise ValueError(f"its chain {'ended on ' + str(end) if expired else 'does not end in the RIM root'}")
    rim.verify_signature(settings)
    rim.parse_measurements(settings)
    return rim


def _collect(request: dict[str, Any]) -> list[dict[str, str]]:
    from verifier.cc_admin import collect_gpu_evidence_remote

    found = collect_gpu_evidence_remote(request["nonce"], ppcie_mode=False)
    return [{name: str(one[name]) for name in ("arch", "evidence", "certificate")} for one in found]


def main() -> int:
    """Answers one request; what the SDK prints goes to standard error."""
    request = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):
        answer: dict[str, Any] = {"version": version("nv-attestation-sdk")}
        try:
            if request["op"] == "judge":
                _at(datetime.fromisoformat(request["now"]))
                answer["steps"] = _judge_switch(request) if request["switch"] else _judge(request)
            else:
                answer["devices"] = _collect(request)
        except Exception as error:  # noqa: BLE001  the caller is told, in JSON
            cause = error.__cause__
            answer["error"] = f"{type(error).__name__}: {error}" + (f": {cause}" if cause else "")
    print(json.dumps(answer))  # noqa: T201  the answer
    return 0


if __name__ == "__main__":
    sys.exit(main())
