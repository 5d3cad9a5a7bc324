"""Which collateral a piece of evidence needs, and where its vendor serves it.

Comes in: evidence with its endorsements, unverified, and the base addresses of the vendors. Goes out: requests, each with the name under
which the answer is kept. Nothing is fetched here. Sources: AMD 57230 (KDS); Intel PCS API v4; NVIDIA RIM, OCSP and NRAS services.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from lxml import etree

from qnsp_policy.kernel.attestation import appraisal_codes as codes
from qnsp_policy.kernel.attestation import der
from qnsp_policy.kernel.attestation.dcap import abi as dcap
from qnsp_policy.kernel.attestation.dcap import chain as pck_chain
from qnsp_policy.kernel.attestation.dcap.codes import Tee
from qnsp_policy.kernel.attestation.dcap.pck import read as read_pck
from qnsp_policy.kernel.attestation.nvidia_gpu import abi as nvidia
from qnsp_policy.kernel.attestation.refusal import EvidenceError
from qnsp_policy.kernel.attestation.sev_snp import abi as snp
from qnsp_policy.kernel.attestation.sev_snp import hcl
from qnsp_policy.kernel.attestation.values import Evidence, EvidenceKind
from qnsp_policy.kernel.attestation.x509 import CertificateError, load_certificate, split_pem

ENDPOINTS: Final[Mapping[str, str]] = {
    "amd-kds": "https://kdsintf.amd.com",
    "intel-pcs": "https://api.trustedservices.intel.com",
    "intel-root-crl": "https://certificates.trustedservices.intel.com",
    "nvidia-rim": "https://rim.attestation.nvidia.com",
    "nvidia-ocsp": "https://ocsp.ndis.nvidia.com",
    "nras": "https://nras.attestation.nvidia.com",
}
"""Base addresses by name; a caller may give others (a caching service, an air-gapped mirror)."""
_MAX_CHAIN: Final = 8
_X509: Final = "{http://www.w3.org/2000/09/xmldsig#}X509Certificate"


@dataclass(frozen=True, slots=True)
class Need:
    """One thing to fetch.

    Attributes:
        name: file name of the answer.
        url: where.
        body: what to POST, b"" for a GET.
        chain_header: response header that holds the issuer chain, kept as `<name>.issuer-chain`; "" for none.
        form: "as served", or "rim" for JSON around a base64 RIM.
        what: what the answer must be, in the words of `collateral_times`; an error page answered with 200 is none of it.
    """

    name: str
    url: str
    what: str
    body: bytes = b""
    chain_header: str = ""
    form: str = "as served"
    headers: Mapping[str, str] = field(default_factory=dict)


def needs_of(evidence: Evidence, endpoints: Mapping[str, str] = ENDPOINTS) -> tuple[Need, ...]:
    """What the evidence and its devices need, each thing once.

    Raises:
        EvidenceError: the evidence cannot be read, or does not say what it needs.
    """
    base = {name: endpoints.get(name, url).rstrip("/") for name, url in ENDPOINTS.items()}
    found: dict[str, Need] = {}
    for one in (evidence, *evidence.devices):
        for need in _of(one, base):
            found.setdefault(need.name, need)
    return tuple(found.values())


def _of(evidence: Evidence, base: Mapping[str, str]) -> Iterator[Need]:
    match evidence.kind:
        case EvidenceKind.SEV_SNP:
            return _amd(evidence, base["amd-kds"])
        case EvidenceKind.TDX | EvidenceKind.SGX:
            return _intel(evidence, base["intel-pcs"], base["intel-root-crl"])
        case EvidenceKind.NVIDIA_GPU | EvidenceKind.NVSWITCH:
            return _nvidia(evidence, base["nvidia-rim"], base["nvidia-ocsp"])
        case EvidenceKind.NRAS:
            return iter((Need("nras-jwks.json", f"{base['nras']}/.well-known/jwks.json", "key set"),))
        case _:
            return iter(())  # Nitro documents bring their chain and have no revocation list; samples have nothing


def _amd(evidence: Evidence, kds: str) -> Iterator[Need]:
    report = snp.parse(hcl.parse(evidence.data).report if hcl.is_wrapped(evidence.data) else evidence.data)
    line = snp.line_of_cpuid(report.cpuid[0], report.cpuid[1]) if report.cpuid else None
    if line is None:
        raise EvidenceError(codes.NEEDS, "the report names no processor (version 2): fetch for a newer one of its host")
    vlek = report.signing_key == snp.SigningKey.VLEK
    endorser = "vlek" if vlek else "vcek"
    yield Need(f"{line.value}-{endorser}-chain.pem", f"{kds}/{endorser}/v1/{line.value}/cert_chain", "certificates")
    yield Need(f"{line.value}.crl.der", f"{kds}/{endorser}/v1/{line.value}/crl", "CRL")
    if vlek or evidence.endorsements.keys() & {"vcek", "chain", "auxblob"}:
        return  # a VLEK is its cloud's to give; a leaf that came along is not fetched again
    if not any(report.chip_id):
        raise EvidenceError(codes.NEEDS, "CHIP_ID is masked: the host must give the VCEK")
    hwid = report.chip_id[:8] if line is snp.Line.TURIN else report.chip_id
    tcb = snp.Tcb.unpack(report.reported_tcb, line)
    query = {"blSPL": tcb.bootloader, "teeSPL": tcb.tee, "snpSPL": tcb.snp, "ucodeSPL": tcb.microcode}
    if tcb.fmc is not None:
        query = {"fmcSPL": tcb.fmc, **query}
    text = "&".join(f"{name}={value:02d}" for name, value in query.items())
    yield Need(
        f"vcek-{hwid.hex()[:16]}-{report.reported_tcb:016x}.der",
        f"{kds}/vcek/v1/{line.value}/{hwid.hex()}?{text}",
        "certificates",
    )


def _intel(evidence: Evidence, pcs: str, root_crl: str) -> Iterator[Need]:
    tee = Tee.TDX if evidence.kind is EvidenceKind.TDX else Tee.SGX
    quote = dcap.parse(evidence.data, tee)
    given = evidence.endorsements.get("pck-chain")
    leaf = pck_chain.certificates(tee, quote.certification_type, quote.certification, given)[0]
    try:
        fmspc = read_pck(leaf.der).fmspc.hex()
    except der.DerError as error:
        raise EvidenceError(codes.NEEDS, "the leaf of the quote is no PCK certificate") from error
    ca = "platform" if "Platform" in leaf.issuer_cn else "processor"
    own = f"{pcs}/{tee.prefix.lower()}/certification/v4"
    yield Need(
        f"{tee.prefix.lower()}-tcb-{fmspc}.json",
        f"{own}/tcb?fmspc={fmspc}",
        "TCB info",
        chain_header="TCB-Info-Issuer-Chain",
    )
    yield Need(
        f"{tee.prefix.lower()}-qe-identity.json",
        f"{own}/qe/identity",
        "QE identity",
        chain_header="SGX-Enclave-Identity-Issuer-Chain",
    )
    yield Need(
        f"pck-{ca}.crl.der",
        f"{pcs}/sgx/certification/v4/pckcrl?ca={ca}&encoding=der",
        "CRL",
        chain_header="SGX-PCK-CRL-Issuer-Chain",
    )
    yield Need("intel-root.crl.der", f"{root_crl}/IntelSGXRootCA.der", "CRL")


def _nvidia(evidence: Evidence, rim: str, responder: str) -> Iterator[Need]:
    report = nvidia.parse(evidence.data)
    try:
        chain = [load_certificate(data) for data in split_pem(evidence.endorsements.get("device-chain", b""))]
    except CertificateError as error:
        raise EvidenceError(codes.NEEDS, str(error), subject="device-chain") from error
    if len(chain) < 3:
        raise EvidenceError(codes.NEEDS, "the device chain must come with the report", subject="device-chain")
    vbios = report.vbios_version().replace(".", "")
    board = "_".join(report.text(kind).upper() for kind in (nvidia.PROJECT, nvidia.PROJECT_SKU, nvidia.CHIP_SKU))
    names: list[str] = []
    if nvidia.is_switch(report.opaque):
        names += [f"NV_SWITCH_BIOS_{board}_{vbios}"] if board.strip("_") else []
    else:
        chip = report.text(nvidia.CHIP) or chain[0].subject_cn.split(" ")[0]
        names += [f"NV_GPU_DRIVER_{chip.upper()}_{report.text(nvidia.DRIVER_VERSION)}", f"NV_GPU_VBIOS_{board}_{vbios}"]
    for name in names:
        if not all(character.isascii() and (character.isalnum() or character in "._-") for character in name):
            raise EvidenceError(codes.NEEDS, "a version in the report cannot stand in an address", subject=name[:80])
        yield Need(f"{name}.xml", f"{rim}/v1/rim/{name}", "RIM", form="rim")
    for index, (child, issuer) in enumerate(itertools.pairwise(chain)):
        if index > 0:  # the leaf is issued by the device itself
            yield _ocsp(child.der, issuer.der, responder)


def needs_of_rim(document: bytes, endpoints: Mapping[str, str] = ENDPOINTS) -> tuple[Need, ...]:
    """OCSP answers about the signers of a RIM: known only once the RIM is there.

    Raises:
        EvidenceError: it names no signers that can be read.
    """
    responder = endpoints.get("nvidia-ocsp", ENDPOINTS["nvidia-ocsp"]).rstrip("/")
    try:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
        texts = ["".join((node.text or "").split()) for node in etree.fromstring(document, parser).iter(_X509)]
        chain = [load_certificate(base64.b64decode(text, validate=True)).der for text in texts]
    except (etree.XMLSyntaxError, ValueError) as error:
        raise EvidenceError(codes.NEEDS, "the signers of a RIM cannot be read", subject="RIM") from error
    if not 2 <= len(chain) <= _MAX_CHAIN:
        raise EvidenceError(codes.NEEDS, f"{len(chain)} certificates of signers", subject="RIM")
    return tuple(_ocsp(child, issuer, responder) for child, issuer in itertools.pairwise(chain))


def _ocsp(child: bytes, issuer: bytes, responder: str) -> Need:
    return Need(
        f"{hashlib.sha256(child).hexdigest()[:16]}.ocsp",
        responder,
        "OCSP answer",
        body=_ocsp_request(child, issuer),
        headers={"Content-Type": "application/ocsp-request"},
    )


def _ocsp_request(child: bytes, issuer: bytes) -> bytes:
    try:
        builder = ocsp.OCSPRequestBuilder().add_certificate(
            x509.load_der_x509_certificate(child), x509.load_der_x509_certificate(issuer), hashes.SHA384()
        )
        return builder.build().public_bytes(Encoding.DER)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise EvidenceError(codes.NEEDS, str(error), subject="device-chain") from error


__all__ = ["ENDPOINTS", "Need", "needs_of", "needs_of_rim"]
