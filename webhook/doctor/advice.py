"""Commands and sentences that more than one finding gives as advice. `docs/operations.md` has the same ones."""

from __future__ import annotations

from webhook.kube import names

APPLY = "apply your overlay again, `kubectl apply -k manifests/overlays/audit` or the one you chose"

OPEN_PORT = (
    "let the control plane reach TCP port 8443 of the nodes that run Warmpod. On EKS the cluster security group must "
    "allow 8443 from the control plane to the nodes; on a private GKE cluster a firewall rule must allow the master's "
    "range; with an overlay network that the control plane is not part of, run the pods with hostNetwork; then look at "
    "NetworkPolicies of the namespace"
)


def logs(namespace: str, container: str) -> str:
    """The end of one container's log, of every replica."""
    return (
        f"`kubectl -n {namespace} logs -l app.kubernetes.io/name={names.DEPLOYMENT} -c {container} --tail=50 --prefix`"
    )


def readyz(namespace: str, port: int) -> str:
    """What a process says of its own readiness. By port-forward, which no NetworkPolicy stands in the way of."""
    return (
        f"`kubectl -n {namespace} port-forward pod/POD {port}` and, beside it, "
        f"`curl 'http://localhost:{port}/readyz?verbose'`"
    )
