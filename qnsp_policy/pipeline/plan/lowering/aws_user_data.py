"""What instances are told at boot. Nothing here is secret or trusted: a parent instance is the adversary of its enclave.

A Nitro parent fetches the enclave image from S3, holds it to its digest (for a clear error only; what counts is PCR0), runs it
without debug mode, carries its bytes (docs/howto/build-an-enclave-image.md lists the vsock ports), hands it the fleet's own
temporary credentials, and reports it as in service once the enclave's own gateway answers with evidence. Where a step fails it writes what was
said into the fleet's log and, after a minute, reports that instead: AWS ends it and starts another then, and whoever applies need not wait for its
time to pass.
A measured image (NitroTPM, SEV-SNP) takes its configuration from itself and reads two names for its report from here.
"""

from __future__ import annotations

import shlex

KMS_PORT, CREDENTIALS_PORT = 8000, 8001
"""vsock ports of the parent: a way to KMS, and the fleet's temporary credentials as the metadata service writes them."""

_METADATA = "http://169.254.169.254/latest"
_CREDENTIALS = f"""cat > /run/qnsp/credentials <<'END'
#!/bin/bash
token=$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' {_METADATA}/api/token) || exit 1
roles={_METADATA}/meta-data/iam/security-credentials/
role=$(curl -sf -H "X-aws-ec2-metadata-token: $token" "$roles") || exit 1
exec curl -sf -H "X-aws-ec2-metadata-token: $token" "$roles$role"
END
chmod 0755 /run/qnsp/credentials"""
_HEAD = "#!/bin/bash\nset -euo pipefail\n"


def enclave_parent(
    *,
    location: str,
    digest: str,
    vcpus: int,
    mebibytes: int,
    ports: list[int],
    broker: tuple[str, int] | None,
    region: str,
    suffix: str,
    group: str,
    hook: str,
    log: str,
) -> str:
    """The script of a parent instance; `broker` is where its enclave's key broker is reached, None for a broker's own."""
    algorithm, _, value = digest.partition(":")
    lines = [
        f"token=$(curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' {_METADATA}/api/token)",
        f'id=$(curl -sf -H "X-aws-ec2-metadata-token: $token" {_METADATA}/meta-data/instance-id)',
        "exec 2>> /run/qnsp-boot",
        "report() {",
        (
            f'  aws --region {region} autoscaling complete-lifecycle-action --lifecycle-action-result "$1"'
            f' --instance-id "$id" --auto-scaling-group-name {group} --lifecycle-hook-name {hook}'
        ),
        "}",
        "failed() {",
        "  cat /run/qnsp-boot",
        "  said=$(tail -c 2000 /run/qnsp-boot | tr -c 'A-Za-z0-9 ._:/=-' ' ')",
        f'  logs() {{ aws --region {region} logs "$1" --log-group-name {log} --log-stream-name "boot-$id" "${{@:2}}"; }}',
        "  logs create-log-stream || true",
        """  logs put-log-events --log-events "[{\\"timestamp\\": $(date +%s)000, \\"message\\": \\"$said\\"}]" || true""",
        "  sleep 60",
        "  report ABANDON",
        "}",
        "trap 'test $? = 0 || failed' EXIT",
        "dnf install -y -q aws-nitro-enclaves-cli socat",
        "install -d -m 0755 /run/qnsp",
        f"printf -- '---\\nmemory_mib: {mebibytes}\\ncpu_count: {vcpus}\\n' > /etc/nitro_enclaves/allocator.yaml",
        "systemctl enable --now nitro-enclaves-allocator.service",
        f"aws s3 cp --quiet {shlex.quote(location)} /run/qnsp/image.eif",
        f"echo {shlex.quote(f'{value}  /run/qnsp/image.eif')} | {algorithm}sum -c --quiet -",
        f"printf 'allowlist:\\n- {{address: kms.{region}.{suffix}, port: 443}}\\n' > /run/qnsp/vsock-proxy.yaml",
        _kept("kms", f"/usr/bin/vsock-proxy {KMS_PORT} kms.{region}.{suffix} 443 --config /run/qnsp/vsock-proxy.yaml"),
        _CREDENTIALS,
        _kept(
            "credentials", f"/usr/bin/socat VSOCK-LISTEN:{CREDENTIALS_PORT},fork,reuseaddr EXEC:/run/qnsp/credentials"
        ),
    ]
    if broker is not None:
        host, port = broker
        lines.append(
            _kept("broker", f"/usr/bin/socat VSOCK-LISTEN:{port},fork,reuseaddr TCP:{shlex.quote(host)}:{port}")
        )
    lines += [
        f"nitro-cli run-enclave --eif-path /run/qnsp/image.eif --cpu-count {vcpus} --memory {mebibytes} --enclave-cid 16",
    ]
    lines += [
        _kept(f"port-{port}", f"/usr/bin/socat TCP-LISTEN:{port},fork,reuseaddr VSOCK-CONNECT:16:{port}")
        for port in ports
    ]
    if ports:
        # In service means that the enclave has attested: before that its gateway has no key and answers nobody.
        url = f"https://127.0.0.1:{ports[0]}/.well-known/qnsp/evidence"
        health = f"https://127.0.0.1:{ports[0]}/healthz"
        lines.append(f"until curl -skf -o /dev/null {url} || curl -skf -o /dev/null {health}; do sleep 5; done")
    lines.append("report CONTINUE")
    return _HEAD + "\n".join(lines) + "\n"


def _kept(name: str, command: str) -> str:
    """A carrier of bytes that comes back when it ends."""
    return f"systemd-run --quiet --unit qnsp-{name} -p Restart=always -p RestartSec=2 {command}"


def measured_image(group: str, hook: str) -> str:
    """What an attestable image reads: where to report that it attested. Not trusted, and not code."""
    return f"group = {group}\nhook = {hook}\n"


__all__ = ["enclave_parent", "measured_image"]
